import pytest
import torch

from memo_core.experiment import Experiment, ModelConfig
from memo_core.model import build_denoiser
from memo_core.training import Trainer
from memo_core.training.saving.checkpoint import load_checkpoint, save_checkpoint
from memo_core.training.steps.captured import CapturedStep, choose_step, compiled_loss, compiled_step, loss_or_plain
from memo_core.training.steps.step import TrainingState, training_step

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("without_shape_checks")


def small_state(device=CPU, **settings):
    config = ModelConfig(width=8, depth=1, channel_multipliers=(2, 2), **settings)
    denoiser, ema = (build_denoiser(config, 8, 1, 0, seed=seed, device=device) for seed in (1, 2))
    return TrainingState.create(denoiser.train(), ema, weight_decay=0.01)


def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8, generator=generator)
    return images, None, torch.tensor([0.1, 0.5, 2.0, 30.0]), torch.randn(4, 1, 8, 8, generator=generator)


def test_on_a_cpu_steps_run_operation_by_operation_unless_asked_otherwise():
    assert choose_step("auto", CPU) is training_step
    assert choose_step("none", CPU) is training_step
    assert choose_step("graph", CPU) is training_step
    assert choose_step("full", CPU) is not training_step


def test_on_a_gpu_steps_are_captured_unless_asked_otherwise():
    gpu = torch.device("cuda")
    assert choose_step("none", gpu) is training_step
    assert all(isinstance(choose_step(mode, gpu), CapturedStep) for mode in ("auto", "graph", "full"))


def test_where_the_compiler_fails_the_step_runs_without_it(caplog):
    def failing(*_):
        raise RuntimeError("no C++ compiler\nis installed")

    plain, fallen, told = small_state(dropout=0), small_state(dropout=0), []
    step = compiled_step(loss_or_plain(failing, lambda: told.append(True)))
    for _ in range(2):
        expected = training_step(plain, *batch(), 1e-3, 0.9)
        assert torch.equal(step(fallen, *batch(), 1e-3, 0.9), expected)
    assert torch.equal(fallen.parameters.values, plain.parameters.values)
    (message,) = caplog.messages
    assert "not compiled (no C++ compiler); it runs operation by operation" in message
    assert told == [True]
    with pytest.raises(RuntimeError, match="no C"):
        compiled_step(failing)(fallen, *batch(), 1e-3, 0.9)


def test_a_failed_compiler_is_remembered_by_the_training(tiny, monkeypatch):
    def failing(*_, **__):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr("memo_core.training.steps.mode._compiling_pays", lambda *_: True)
    monkeypatch.setattr("memo_core.training.steps.mode._has_compiler", lambda: True)
    monkeypatch.setattr("memo_core.training.steps.captured.compiled_loss", lambda device: failing)
    trainer = Trainer(Experiment.from_flat(tiny), "cpu")
    assert trainer.mode.compile == "full"
    next(trainer.evaluations())
    assert trainer.mode.compile == trainer.state_dict()["step_mode"]["compile"] == "none"
    with pytest.raises(RuntimeError, match="no C"):
        next(Trainer(Experiment.from_flat({**tiny, "training.compile": "full"}), "cpu").evaluations())


def test_rates_as_tensors_move_as_numbers_do():
    numbers, tensors = small_state(dropout=0), small_state(dropout=0)
    for rate, decay in ((0.0, 0.0), (1e-3, 0.9), (2e-3, 0.99929)):
        first = training_step(numbers, *batch(), rate, decay)
        second = training_step(tensors, *batch(), torch.tensor(rate), torch.tensor(decay, dtype=torch.float64))
        assert torch.equal(first, second)
    for own, other in zip(numbers.denoiser.parameters(), tensors.denoiser.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(numbers.ema_parameters.values, tensors.ema_parameters.values, rtol=1e-6, atol=1e-8)


def test_a_compiled_step_moves_as_the_readable_one():
    plain, compiled = small_state(dropout=0), small_state(dropout=0)
    step = compiled_step(compiled_loss(CPU, "eager"))
    for rate, decay in ((0.0, 0.0), (1e-3, 0.9), (2e-3, 0.9)):
        expected = training_step(plain, *batch(), rate, decay)
        torch.testing.assert_close(step(compiled, *batch(), rate, decay), expected)
    torch.testing.assert_close(compiled.parameters.values, plain.parameters.values, rtol=0, atol=1e-5)
    torch.testing.assert_close(compiled.ema_parameters.values, plain.ema_parameters.values, rtol=0, atol=1e-5)


def test_a_compiled_run_is_resumed_bit_for_bit(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "memo_core.training.steps.captured.compiled_loss",
        lambda device: compiled_loss(device, "eager"),
    )
    experiment = Experiment.from_flat({**tiny, "training.compile": "full", "model.dropout": 0.2})
    whole, resumed = Trainer(experiment, "cpu"), Trainer(experiment, "cpu")
    reports = whole.evaluations()
    next(reports)
    save_checkpoint(whole, tmp_path)
    for _ in reports:
        pass
    load_checkpoint(resumed, tmp_path)
    assert not torch.equal(whole.state.parameters.values, resumed.state.parameters.values)
    for _ in resumed.evaluations():
        pass
    assert torch.equal(whole.state.parameters.values, resumed.state.parameters.values)
    assert torch.equal(whole.state.ema_parameters.values, resumed.state.ema_parameters.values)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("mode", ["graph", "full"])
def test_a_captured_step_moves_as_the_readable_one(mode):
    gpu = torch.device("cuda")
    plain, captured = small_state(gpu, dropout=0), small_state(gpu, dropout=0)
    step = choose_step(mode, gpu)
    on_gpu = [None if part is None else part.to(gpu) for part in batch()]
    for rate, decay in ((0.0, 0.0), (1e-3, 0.9), (2e-3, 0.9)):
        expected = training_step(plain, *on_gpu, rate, decay)
        torch.testing.assert_close(step(captured, *on_gpu, rate, decay), expected, rtol=1e-3, atol=1e-3)
