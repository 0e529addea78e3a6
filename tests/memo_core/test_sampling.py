import json
import math

import numpy as np
import pytest
import torch

from memo_core.errors import MemosweepError, NotFiniteError
from memo_core.experiment import Experiment
from memo_core.interop import load_snapshot
from memo_core.sampling import (
    Churn,
    ImageStreams,
    draw_latents,
    generate,
    sample_heun,
    sample_stochastic,
    sigma_steps,
    to_uint8,
)

NAMES = ("ddpmpp_edm_cond_8", "ddpmpp_vp_16", "ncsnpp_ve_8")


class GaussianData:
    """The exact denoiser of pixels that are independent and normal with standard deviation `spread`."""

    sigma_min, sigma_max, device = 0.0, math.inf, torch.device("cpu")

    def __init__(self, spread=0.5, num_labels=0, image_shape=(1, 2, 2)):
        self.spread, self.num_labels, self.image_shape = spread, num_labels, image_shape
        self.sigmas = []

    def __call__(self, x, sigma, labels=None, /):
        assert x.dtype == sigma.dtype == torch.float32
        self.sigmas.append(float(sigma[0]))
        level = sigma[:, None, None, None]
        offset = 0 if labels is None else labels[:, None, None, None] / 10
        return offset + (x - offset) * self.spread**2 / (self.spread**2 + level.square())


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


def test_streams_draw_latents_then_label_then_noise():
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(1, 2, 2, generator=generator)
    label = torch.randint(10, (), generator=generator)
    noise = torch.randn(1, 2, 2, generator=generator, dtype=torch.float64)
    streams = ImageStreams([8, 3])
    assert torch.equal(streams.normal((1, 2, 2))[1], latents)
    assert streams.labels(10)[1] == label
    assert torch.equal(streams.normal((1, 2, 2), torch.float64)[1], noise)


def test_noise_levels_follow_equation_5():
    sigmas = sigma_steps(18, 0.0, math.inf)
    expected = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    torch.testing.assert_close(sigmas, torch.tensor([*expected, 0.0], dtype=torch.float64), rtol=1e-12, atol=0)
    narrow = sigma_steps(5, 0.02, 50.0)
    assert narrow[0].item() == pytest.approx(50)
    assert narrow[-2].item() == pytest.approx(0.02)


def test_the_ode_is_solved_to_second_order():
    # For Gaussian data the ODE's solution is known: x scales with sqrt(spread^2 + sigma^2).
    denoiser = GaussianData()
    latents = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    exact = latents.double() * 80 * 0.5 / math.hypot(0.5, 80)
    errors = [(sample_heun(denoiser, latents, steps=n) - exact).abs().max().item() for n in (16, 32, 64)]
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3
    assert errors[2] < 5e-3


def test_evaluates_the_denoiser_twice_a_step_but_once_in_the_last():
    for sample in (
        lambda d, z: sample_heun(d, z, steps=7),
        lambda d, z: sample_stochastic(d, z, lambda: torch.zeros(2, 1, 2, 2), steps=7),
    ):
        denoiser = GaussianData()
        sample(denoiser, torch.zeros(2, 1, 2, 2))
        assert len(denoiser.sigmas) == 13


def test_without_churn_the_stochastic_sampler_is_the_deterministic_one():
    denoiser, latents = GaussianData(), torch.randn(3, 1, 2, 2)
    still = sample_stochastic(denoiser, latents, lambda: torch.randn(3, 1, 2, 2), churn=Churn(amount=0.0))
    assert torch.equal(still, sample_heun(denoiser, latents))


def test_stochastic_sampling_is_algorithm_2():
    denoiser, steps, churn = GaussianData(), 9, Churn(amount=3.0, sigma_low=0.1, sigma_high=20.0, scale=1.01)
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, 1, 2, 2, generator=generator)
    noises = torch.randn(steps, 2, 1, 2, 2, generator=generator, dtype=torch.float64)

    def denoise(x, t):
        return denoiser(x.float(), torch.full((2,), t)).double()

    t = sigma_steps(steps, 0.0, math.inf).tolist()
    x = latents.double() * t[0]
    for i in range(steps):
        gamma = min(3 / steps, math.sqrt(2) - 1) if 0.1 <= t[i] <= 20 else 0
        t_hat = t[i] + gamma * t[i]
        x_hat = x + math.sqrt(t_hat**2 - t[i] ** 2) * 1.01 * noises[i]
        d = (x_hat - denoise(x_hat, t_hat)) / t_hat
        x = x_hat + (t[i + 1] - t_hat) * d
        if t[i + 1] != 0:
            x = x_hat + (t[i + 1] - t_hat) * (d + (x - denoise(x, t[i + 1])) / t[i + 1]) / 2
    drawn = iter(noises)
    result = sample_stochastic(denoiser, latents, lambda: next(drawn), steps=steps, churn=churn)
    torch.testing.assert_close(result, x, rtol=1e-9, atol=1e-9)
    assert next(drawn, None) is None


def test_stochastic_samples_follow_the_data_whatever_the_latents():
    # All images start alike, and only the renewed noise tells them apart.
    denoiser = GaussianData(image_shape=(1, 16, 16))
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(1, 1, 16, 16, generator=generator).expand(20, -1, -1, -1)
    samples = sample_stochastic(
        denoiser,
        latents,
        lambda: torch.randn(20, 1, 16, 16, generator=generator, dtype=torch.float64),
        steps=100,
        churn=Churn(amount=1000.0, sigma_low=0.0, sigma_high=math.inf, scale=1.0),
    )
    assert samples.std().item() == pytest.approx(0.5, rel=0.05)
    assert torch.corrcoef(samples[:2].flatten(1))[0, 1].abs() < 0.2


def test_pixels_are_truncated_as_in_an_image_file():
    values = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 2.0], dtype=torch.float64)
    assert to_uint8(values[None, None, None]).flatten().tolist() == [0, 0, 128, 255, 255, 255]
    gray = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8((gray.double() / 127.5 - 1)[None, None, None]).flatten(), gray)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_becomes_pixels(value):
    images = torch.zeros(4, 1, 2, 2, dtype=torch.float64)
    images[2, 0, 1, 0] = value
    with pytest.raises(NotFiniteError, match="sample of seed 2 is not finite"):
        to_uint8(images)


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


def test_the_experiment_chooses_the_sampler():
    flat = {"training.images": 100, "evaluation.count": 1}
    assert Experiment.from_flat(flat).evaluation.sampler == "ode"
    chosen = Experiment.from_flat({**flat, "evaluation.sampler": "sde"})
    assert json.loads(json.dumps(chosen.to_flat()))["evaluation.sampler"] == "sde"
    with pytest.raises(MemosweepError, match=r"evaluation\.sampler"):
        Experiment.from_flat({**flat, "evaluation.sampler": "euler"})
