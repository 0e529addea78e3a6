import json
import math

import numpy as np
import pytest
import torch

from memo_core.errors import MemosweepError, NotFiniteError
from memo_core.experiment import Experiment, ModelConfig
from memo_core.interop import load_snapshot
from memo_core.model import build_denoiser
from memo_core.sampling import draw_latents, generate
from memo_core.sampling.room import bytes_per_image
from tests.memo_core.sampling.conftest import GaussianData

NAMES = ("ddpmpp_edm_cond_8", "ddpmpp_vp_16", "ncsnpp_ve_8")


@pytest.mark.parametrize("name", NAMES)
def test_seeds_give_the_published_latents_labels_and_samples(golden, name):
    snapshot = load_snapshot(golden / f"{name}.safetensors")
    with np.load(golden / f"{name}.npz") as reference:
        latents, labels = draw_latents(range(16), snapshot.denoiser.image_shape, snapshot.num_labels)
        np.testing.assert_array_equal(latents.numpy(), reference["latents"])
        if snapshot.num_labels:
            np.testing.assert_array_equal(labels.numpy(), reference["sample_labels"])
        images, drawn = generate(snapshot.denoiser, range(16))
        difference = np.abs(images.numpy().astype(int) - reference["samples"].astype(int))
    assert images.dtype == torch.uint8
    assert difference.max() <= 1
    assert (drawn is None) == (labels is None)


@pytest.mark.parametrize("sampler", ["ode", "sde"])
def test_an_image_does_not_depend_on_its_neighbors(sampler):
    denoiser = GaussianData(num_labels=10)
    together, labels = generate(denoiser, [5, 0, 9, 2**32 + 7], batch_size=3, sampler=sampler)
    for index, seed in enumerate((5, 0, 9, 7)):
        alone, label = generate(denoiser, [seed], sampler=sampler)
        assert torch.equal(alone[0], together[index])
        assert label[0] == labels[index]


def test_both_samplers_start_from_the_same_latents_and_labels():
    denoiser = GaussianData(num_labels=10)
    _, first = generate(denoiser, range(20))
    _, second = generate(denoiser, range(20), sampler="sde")
    assert torch.equal(first, second)


@pytest.mark.parametrize("sampler", ["ode", "sde"])
def test_the_first_broken_sample_is_named_by_its_seed(sampler):
    class Broken(GaussianData):
        def __call__(self, x, sigma, labels=None, /):
            denoised = super().__call__(x, sigma, labels)
            # The label stands for what is wrong with some images only.
            return torch.where((labels == 3)[:, None, None, None], math.nan, denoised)

    denoiser, seeds = Broken(num_labels=4), range(100, 120)
    _, labels = draw_latents(seeds, denoiser.image_shape, 4)
    first = 100 + labels.tolist().index(3)
    with pytest.raises(NotFiniteError) as caught:
        generate(denoiser, seeds, batch_size=3, sampler=sampler)
    message = f"sample of seed {first} is not finite: the network is broken or its training diverged"
    assert str(caught.value) == message


def test_progress_counts_images():
    seen = []
    generate(GaussianData(), range(7), batch_size=3, on_batch=seen.append)
    assert seen == [3, 3, 1]


@pytest.mark.parametrize("options", [{"seeds": []}, {"steps": 1}, {"batch_size": 0}, {"sampler": "euler"}], ids=str)
def test_bad_settings_are_named(options):
    with pytest.raises(MemosweepError):
        generate(GaussianData(), **{"seeds": [0], **options})


@pytest.fixture
def network():
    config = ModelConfig(width=8, depth=1, channel_multipliers=(2, 2), preconditioning="edm")
    denoiser = build_denoiser(config, 8, 1, 5).eval()
    generator = torch.Generator().manual_seed(1)
    # Its last layer starts near 0, and so do its images.
    denoiser.model.dec["8x8_aux_conv"].weight.data.normal_(std=0.2, generator=generator)
    return denoiser


@pytest.mark.parametrize("sampler", ["ode", "sde"])
def test_the_pixels_of_a_seed_are_the_same_in_batches_of_any_size(network, sampler):
    together, labels = generate(network, range(20, 37), 6, sampler=sampler)
    assert len(together.unique()) > 50
    for size in (1, 3, 7):
        images, drawn = generate(network, range(20, 37), 6, size, sampler=sampler)
        assert torch.equal(drawn, labels)
        # Sums in another order move single values across the border of two gray levels, by the processor.
        apart = (images.int() - together.int()).abs()
        assert apart.max() <= 1
        assert (apart > 0).float().mean() < 0.005


@pytest.mark.parametrize(("most_at_once", "batches"), [(16, [10, 10]), (4, [3] * 6 + [2]), (1, [1] * 20)])
def test_batches_are_halved_until_the_memory_holds_them(caplog, most_at_once, batches):
    class Limited(GaussianData):
        def __call__(self, x, sigma, labels=None, /):
            if len(x) > most_at_once:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB")
            return super().__call__(x, sigma, labels)

    seen = []
    images, labels = generate(Limited(num_labels=10), range(20), on_batch=seen.append)
    assert seen == batches
    expected, drawn = generate(GaussianData(num_labels=10), range(20))
    assert torch.equal(images, expected) and torch.equal(labels, drawn)
    assert caplog.messages[0] == "out of memory with 20 images at once: 10 are drawn instead"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_one_image_that_the_memory_does_not_hold_is_an_error(error):
    class Exhausted(GaussianData):
        def __call__(self, x, sigma, labels=None, /):
            raise error

    with pytest.raises(type(error)) as caught:
        generate(Exhausted(), range(4))
    assert caught.value is error


def test_other_errors_are_not_tried_again():
    class Broken(GaussianData):
        calls = 0

        def __call__(self, x, sigma, labels=None, /):
            self.calls += 1
            raise RuntimeError("shapes differ")

    denoiser = Broken()
    with pytest.raises(RuntimeError, match="shapes differ"):
        generate(denoiser, range(4))
    assert denoiser.calls == 1


def test_a_network_is_given_batches_that_the_free_memory_holds(network, monkeypatch):
    monkeypatch.setattr("memo_core.sampling.room.free_bytes", lambda _: 2 * 6 * bytes_per_image(network))
    seen = []
    generate(network, range(17), 2, on_batch=seen.append)
    assert seen == [5, 5, 5, 2]
    seen.clear()
    generate(GaussianData(), range(17), 2, on_batch=seen.append)
    assert seen == [17]


def test_the_experiment_chooses_the_sampler():
    flat = {"training.images": 100, "evaluation.count": 1}
    assert Experiment.from_flat(flat).evaluation.sampler == "ode"
    chosen = Experiment.from_flat({**flat, "evaluation.sampler": "sde"})
    assert json.loads(json.dumps(chosen.to_flat()))["evaluation.sampler"] == "sde"
    with pytest.raises(MemosweepError, match=r"evaluation\.sampler"):
        Experiment.from_flat({**flat, "evaluation.sampler": "euler"})
