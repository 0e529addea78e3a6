import pytest
import torch

from memo_core.data import load_training_set
from memo_core.experiment import Experiment
from memo_core.interop.snapshot import load_snapshot
from memo_core.training import Trainer, precision
from memo_core.training.companion import Companion
from memo_core.training.precision import fastest_mode
from memo_core.training.saving.checkpoint import load_checkpoint, save_checkpoint
from memo_core.training.steps.mode import StepMode
from tests.conftest import TINY

CPU = torch.device("cpu")
AUTO = {**TINY, "training.precision": "auto"}


@pytest.fixture(scope="module")
def data():
    return load_training_set(Experiment.from_flat(AUTO).data)


def measured(monkeypatch, seconds):
    """Let a processor with instructions for bfloat16 take so many seconds a step."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    monkeypatch.setattr(
        precision, "_seconds_a_step", lambda experiment, data, device, precision, ranks: seconds[precision]
    )


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"float32": 0.2, "bfloat16": 0.1}, "bfloat16"),
        ({"float32": 0.1, "bfloat16": 0.2}, "float32"),
        ({"float32": 0.104, "bfloat16": 0.1}, "float32"),
    ],
)
def test_the_fastest_precision_is_taken_where_it_is_clearly_faster(data, monkeypatch, seconds, chosen):
    measured(monkeypatch, seconds)
    mode, note = fastest_mode(Experiment.from_flat(AUTO), data, CPU)
    assert mode == StepMode(chosen, "none", "cpu")
    assert note.startswith(f"training.precision = auto: {chosen} (a step takes ")
    assert f"{1e3 * seconds['bfloat16']:.3g} ms in bfloat16" in note


def test_what_compiling_will_save_counts(data, monkeypatch):
    measured(monkeypatch, {"float32": 0.1, "bfloat16": 0.1})
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    long = Experiment.from_flat({**AUTO, "training.images": 10**9})
    assert fastest_mode(long, data, CPU)[0] == StepMode("bfloat16", "full", "cpu")
    assert fastest_mode(Experiment.from_flat(AUTO), data, CPU)[0].precision == "float32"


def test_every_candidate_is_measured_on_one_batch_that_takes_about_a_second(data):
    small = Experiment.from_flat({**AUTO, "training.batch_size": 8})
    wide = Experiment.from_flat({**AUTO, "training.batch_size": 4096, "model.width": 128, "training.images": 10**9})
    assert precision._images(small, data, CPU, ranks=1) == 8
    assert precision._images(small, data, CPU, ranks=4) == 2
    assert 1 <= precision._images(wide, data, CPU, ranks=1) < 100


def test_a_processor_that_emulates_bfloat16_computes_in_float32(data, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    mode, note = fastest_mode(Experiment.from_flat(AUTO), data, CPU)
    assert mode.precision == "float32"
    assert "no instructions for bfloat16" in note
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    assert precision._candidates(torch.device("mps")) == ("float32",)


def test_a_measurement_leaves_no_trace(data, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    monkeypatch.setattr(precision, "_SECONDS", 0.01)
    before, images = torch.get_rng_state(), data.images.clone()
    mode, _ = fastest_mode(Experiment.from_flat({**AUTO, "model.dropout": 0.5}), data, CPU)
    assert mode.precision in ("float32", "bfloat16")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(data.images, images)


def rows_of(trainer):
    for _ in trainer.evaluations():
        pass
    return [{key: value for key, value in row.items() if key != "images_per_second"} for row in trainer.rows]


def test_what_was_decided_trains_as_if_it_had_been_asked_for(monkeypatch):
    measured(monkeypatch, {"float32": 0.2, "bfloat16": 0.1})
    trainer = Trainer(Experiment.from_flat(AUTO), "cpu")
    assert "bfloat16" in (trainer.decide_mode() or "")
    assert trainer.decide_mode() is None
    asked = Trainer(Experiment.from_flat({**TINY, "training.precision": "bfloat16"}), "cpu")
    assert rows_of(trainer) == rows_of(asked)
    assert torch.equal(trainer.state.parameters.values, asked.state.parameters.values)


def test_a_training_goes_on_in_its_precision_whatever_would_be_measured_now(monkeypatch, tmp_path):
    measured(monkeypatch, {"float32": 0.2, "bfloat16": 0.1})
    trainer = Trainer(Experiment.from_flat(AUTO), "cpu")
    next(trainer.evaluations())
    save_checkpoint(trainer, tmp_path)
    measured(monkeypatch, {"float32": 0.1, "bfloat16": 0.2})
    resumed = Trainer(Experiment.from_flat(AUTO), "cpu")
    load_checkpoint(resumed, tmp_path)
    assert resumed.decide_mode() is None
    assert rows_of(resumed) == rows_of(trainer)
    assert load_snapshot(tmp_path / "checkpoint.pt").denoiser.precision == "bfloat16"


def test_companions_follow_the_decision(monkeypatch):
    measured(monkeypatch, {"float32": 0.2, "bfloat16": 0.1})
    leader = Trainer(Experiment.from_flat(AUTO), "cpu")
    companion = Companion(leader, Experiment.from_flat({**AUTO, "training.ema_decay": 0.5}))
    leader.decide_mode()
    later = Companion(leader, Experiment.from_flat({**AUTO, "training.ema_decay": 0.1}))
    assert companion.state.ema.precision == later.state.ema.precision == "bfloat16"
