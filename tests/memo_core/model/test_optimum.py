import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from memo_core.errors import MemosweepError
from memo_core.model import Denoiser, optimum
from memo_core.model.optimum import OptimalDenoiser
from memo_core.sampling import generate

SIGMAS = (1e-4, 0.002, 0.02, 0.2, 1.0, 5.0, 80.0)


def training_set(count: int = 60, side: int = 4, seed: int = 0) -> torch.Tensor:
    """Random images, with a copy of the first and a twin of it one gray level away."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    images[1] = images[0]
    images[2] = images[0]
    images[2, 0, 0, 0] ^= 1
    return images


def as_float(images: torch.Tensor) -> torch.Tensor:
    return images.double() / 127.5 - 1


def naive(x: torch.Tensor, sigma: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """eq. 32 term by term, in float64."""
    difference = x.double()[:, None] - as_float(images)[None]
    logits = -difference.square().flatten(2).sum(2) / (2 * sigma.double()[:, None] ** 2)
    return torch.einsum("qn,nchw->qchw", logits.softmax(1), as_float(images))


def noisy(images: torch.Tensor, sigma: float, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (as_float(images) + sigma * torch.randn(images.shape, generator=generator)).float()


def memorization_ratio(samples: torch.Tensor, images: torch.Tensor) -> float:
    distance = torch.cdist(samples.double().flatten(1), images.double().flatten(1))
    nearest = distance.topk(2, largest=False).values
    return float((nearest[:, 0] < nearest[:, 1] / 3).double().mean())


@pytest.mark.parametrize("sigma", SIGMAS)
def test_equals_the_naive_softmax_at_every_noise_level(sigma, monkeypatch):
    # Chunks of 7 images and 5 queries, so that every border is crossed.
    monkeypatch.setattr(optimum, "CHUNK_BYTES", 7 * 48 * 8)
    monkeypatch.setattr(optimum, "QUERIES_AT_ONCE", 5)
    images = training_set()
    x, level = noisy(images[:23], sigma), torch.full((23,), sigma)
    torch.testing.assert_close(OptimalDenoiser(images)(x, level).double(), naive(x, level, images), rtol=0, atol=2e-5)


def test_takes_a_noise_level_per_image():
    images = training_set()
    level = torch.tensor(SIGMAS)
    x = torch.cat([noisy(images[i : i + 1], sigma) for i, sigma in enumerate(SIGMAS)])
    torch.testing.assert_close(OptimalDenoiser(images)(x, level).double(), naive(x, level, images), rtol=0, atol=2e-5)


def test_far_from_all_images_nothing_overflows():
    images = training_set()
    x = torch.full((2, 3, 4, 4), 1e4)
    result = OptimalDenoiser(images)(x, torch.tensor([1e-4, 0.002]))
    assert torch.isfinite(result).all()
    torch.testing.assert_close(result.double(), naive(x, torch.tensor([1e-4, 0.002]), images), rtol=0, atol=1e-5)


def test_tells_images_apart_that_differ_by_one_gray_level():
    # In a large image <x, x_n> is of the order of 1,000, and the twins differ by 6e-5 in squared distance.
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    images[1] = images[0]
    images[1, 2, 5, 7] ^= 1
    denoised = OptimalDenoiser(images)(as_float(images).float(), torch.full((4,), 1e-4))
    assert torch.equal((denoised.double() * 127.5 + 128).to(torch.uint8), images)


def test_limits_are_the_mean_and_the_nearest_image():
    images = training_set()[2:]
    x = noisy(images[:9], 0.1)
    optimal = OptimalDenoiser(images)
    mean = as_float(images).mean(0).expand_as(x)
    torch.testing.assert_close(optimal(x, torch.full((9,), 1e5)).double(), mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(optimal(x, torch.full((9,), 0.01)), as_float(images[:9]).float())


def test_gives_the_score_of_the_noisy_training_set():
    # eq. 2 and 30: (D - x) / sigma^2 is the gradient of the log density of a Gaussian mixture.
    images, sigma = training_set(20), 3.0
    x = noisy(images[:6], sigma).double().requires_grad_()
    squared = (x[:, None] - as_float(images)[None]).square().flatten(2).sum(2)
    (-squared / (2 * sigma**2)).logsumexp(1).sum().backward()
    denoised = OptimalDenoiser(images)(x.detach().float(), torch.full((6,), sigma)).double()
    torch.testing.assert_close((denoised - x.detach()) / sigma**2, x.grad, rtol=0, atol=1e-5)


def test_per_class_averages_over_the_images_of_the_label_only():
    images = training_set()
    labels = torch.arange(60) % 7
    asked = torch.tensor([0, 3, 3, 6, 0, 5])
    x, level = noisy(images[:6], 1.0), torch.full((6,), 1.0)
    expected = torch.cat(
        [naive(x[i : i + 1], level[i : i + 1], images[labels == c]) for i, c in enumerate(asked.tolist())]
    )
    optimal = OptimalDenoiser(images, labels)
    assert optimal.num_labels == 7
    torch.testing.assert_close(optimal(x, level, asked).double(), expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(optimal(x, level).double(), naive(x, level, images), rtol=0, atol=2e-5)


def test_unique_labels_recall_their_image_from_pure_noise():
    images = training_set()
    optimal = OptimalDenoiser(images, torch.arange(60).flip(0))
    asked = torch.tensor([4, 59, 0])
    denoised = optimal(torch.randn(3, 3, 4, 4), torch.full((3,), 80.0), asked)
    torch.testing.assert_close(denoised, as_float(images.flip(0)[asked]).float())


@pytest.mark.parametrize("sampler", ["ode", "sde"])
@pytest.mark.parametrize("labeled", [False, True])
def test_samples_are_training_images(sampler, labeled):
    images = training_set(40, 8)[2:]
    labels = torch.arange(38) % 4 if labeled else None
    samples, drawn = generate(OptimalDenoiser(images, labels), range(100), sampler=sampler)
    found = (samples[:, None] == images[None]).flatten(2).all(2)
    assert found.any(1).all()
    assert memorization_ratio(samples, images) == 1.0
    assert found.any(0).sum() > 20
    if labeled:
        assert torch.equal(labels[found.int().argmax(1)], drawn)


def test_samples_of_digits_are_replicas():
    from sklearn.datasets import load_digits

    digits = np.rint(load_digits().images[:300] * 255 / 16).astype(np.uint8)
    images = torch.from_numpy(digits)[:, None]
    for sampler in ("ode", "sde"):
        samples, _ = generate(OptimalDenoiser(images), range(200), sampler=sampler)
        assert memorization_ratio(samples, images) == 1.0


def test_is_a_denoiser_with_the_samplers_whole_range():
    optimal = OptimalDenoiser(training_set())
    assert isinstance(optimal, Denoiser)
    assert (optimal.sigma_min, optimal.sigma_max) == (0, math.inf)
    assert (optimal.image_shape, optimal.num_labels, optimal.device.type) == ((3, 4, 4), 0, "cpu")
    assert optimal(torch.randn(2, 3, 4, 4), torch.ones(2)).dtype == torch.float32


def test_is_the_best_denoiser_of_its_training_set():
    # It minimizes the denoising loss: any other denoiser, here a blurred one, does worse on average.
    images = training_set(30)
    optimal, generator = OptimalDenoiser(images), torch.Generator().manual_seed(5)
    clean = as_float(images).float().repeat(40, 1, 1, 1)
    x = clean + 2.0 * torch.randn(clean.shape, generator=generator)
    denoised = optimal(x, torch.full((len(x),), 2.0))
    other = denoised + 0.05 * torch.randn(x.shape, generator=generator)
    assert F.mse_loss(denoised, clean) < F.mse_loss(other, clean)


def test_memory_stays_bounded_over_a_large_training_set():
    program = """
import torch
from memo_core.model import optimum
from memo_core.model.optimum import OptimalDenoiser
from tests.peak_memory import peak_bytes
optimum.CHUNK_BYTES = 2**23
images = torch.full((8_000, 3, 32, 32), 7, dtype=torch.uint8)
x = torch.zeros(256, 3, 32, 32)
torch.mm(torch.ones(300, 300), torch.ones(300, 300))
before = peak_bytes()
OptimalDenoiser(images)(x, torch.full((256,), 0.01))
print((peak_bytes() - before) / 2**20)
"""
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    # 8,000 images in double precision alone would take 190 MiB.
    assert float(result.stdout) < 100


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OptimalDenoiser(torch.zeros(2, 3, 4, 4)), "torch.uint8"),
        (lambda: OptimalDenoiser(torch.zeros(0, 3, 4, 4, dtype=torch.uint8)), "at least one image"),
        (lambda: OptimalDenoiser(training_set(), torch.zeros(5, dtype=torch.int64)), "60 training images"),
        (lambda: OptimalDenoiser(training_set(), torch.arange(60), 10), "takes 0 to 9"),
        (lambda: OptimalDenoiser(training_set(), num_labels=10), "labels too"),
        (lambda: OptimalDenoiser(training_set())(torch.zeros(1, 1, 4, 4), torch.ones(1)), "takes"),
        (lambda: OptimalDenoiser(training_set())(torch.zeros(1, 3, 4, 4), torch.zeros(1)), "above 0"),
        (
            lambda: OptimalDenoiser(training_set())(
                torch.zeros(1, 3, 4, 4), torch.ones(1), torch.zeros(1, dtype=torch.int64)
            ),
            "unconditional",
        ),
        (
            lambda: OptimalDenoiser(training_set(), torch.zeros(60, dtype=torch.int64), 2)(
                torch.zeros(1, 3, 4, 4), torch.ones(1), torch.ones(1, dtype=torch.int64)
            ),
            "label 1: no training image",
        ),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(MemosweepError, match=message):
        make()
