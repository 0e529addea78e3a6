import pytest
import torch

from memo_core.experiment import Experiment, ModelConfig
from memo_core.model import build_denoiser
from memo_core.sampling import CompiledDenoiser, compiled_if_it_pays, generate
from memo_core.training import Trainer

pytestmark = pytest.mark.usefixtures("without_shape_checks")


@pytest.fixture
def network():
    config = ModelConfig(width=8, depth=1, channel_multipliers=(2, 2), preconditioning="edm")
    denoiser = build_denoiser(config, 8, 1, 5).eval()
    denoiser.model.dec["8x8_aux_conv"].weight.data.normal_(std=0.2, generator=torch.Generator().manual_seed(1))
    return denoiser


@pytest.mark.parametrize("sampler", ["ode", "sde"])
def test_a_compiled_network_draws_the_same_images(network, sampler):
    expected, labels = generate(network, range(10), 4, sampler=sampler)
    images, drawn = generate(CompiledDenoiser(network, "eager"), range(10), 4, 4, sampler=sampler)
    assert torch.equal(drawn, labels)
    assert (images.int() - expected.int()).abs().max() <= 1


def test_nothing_is_compiled_again_for_the_last_batch_or_moved_weights(network):
    shapes = []

    def backend(graph, inputs):
        shapes.append(max(len(x) for x in inputs if x.dim() == 4 and x.shape[1:] == (1, 8, 8)))
        return graph.forward

    seen = []
    generate(CompiledDenoiser(network, backend), range(7), 3, 3, on_batch=seen.append)
    network.model.map_layer0.weight.data.mul_(2)
    moved, _ = generate(CompiledDenoiser(network, backend), range(7), 3, 3)
    assert seen == [3, 3, 1]
    assert shapes == [3]
    assert torch.equal(moved, generate(network, range(7), 3, 3)[0])


def test_a_compiler_that_fails_is_said_once_and_done_without(network, caplog):
    def backend(graph, inputs):
        raise RuntimeError("no compiler here")

    denoiser = CompiledDenoiser(network, backend)
    images, _ = generate(denoiser, range(7), 3, 3)
    generate(denoiser, range(7), 3, 3)
    assert torch.equal(images, generate(network, range(7), 3)[0])
    said = [record.getMessage() for record in caplog.records if record.name.startswith("memo_core")]
    assert said == ["sampling is not compiled (no compiler here)"]


def test_memory_that_does_not_suffice_is_not_the_compilers_failure(network, caplog):
    denoiser = CompiledDenoiser(network)

    def exhausted(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB")

    denoiser._pass = exhausted
    with pytest.raises(torch.OutOfMemoryError):
        denoiser(torch.zeros(2, 1, 8, 8), torch.ones(2))
    assert not caplog.messages


def test_on_a_cpu_only_long_evaluations_are_compiled(network):
    # 8 x 8 pixels of 8 channels.
    assert compiled_if_it_pays(network, 1_000_000) is network
    assert isinstance(compiled_if_it_pays(network, 10_000_000), CompiledDenoiser)


MODES = [("full", 10**6, True), ("full", 8, False), ("none", 10**6, False)]


@pytest.mark.parametrize(("mode", "samples", "is_compiled"), MODES)
def test_samples_of_a_training_are_compiled_where_its_steps_are_and_it_pays(tiny, mode, samples, is_compiled):
    settings = {**tiny, "training.compile": mode, "evaluation.num_samples": samples, "evaluation.steps": 18}
    learner = Trainer(Experiment.from_flat(settings), "cpu")._learner
    assert isinstance(learner.sampled(), CompiledDenoiser) == is_compiled
    assert learner.sampled() is learner.sampled()
