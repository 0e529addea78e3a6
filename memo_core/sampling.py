"""Sampling with Heun's second-order method: the probability-flow ODE and a stochastic variant of it.

Source: Karras et al. 2022, Algorithms 1 and 2. Every image draws from a generator of its own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from memo_core.errors import MemosweepError, NotFiniteError
from memo_core.model.denoiser import Denoiser
from memo_core.model.precision import gpu_arithmetic

SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0


class ImageStreams:
    """One random generator per image, so that an image does not depend on its neighbors in the batch.

    Each draws its image's latents first, then the label, then the noise of a stochastic sampler. All live on
    the CPU, so that a seed gives the same image on every device.

    Args:
        seeds: one per image; taken modulo 2^32, as published samples were.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed % 2**32) for seed in seeds]

    def normal(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Float[Tensor, "n ..."]:
        """Draw standard normal values (N, *shape)."""
        values = torch.empty(len(self._generators), *shape, dtype=dtype)
        for row, generator in zip(values, self._generators, strict=True):
            row.copy_(torch.randn(shape, generator=generator, dtype=dtype))
        return values

    def labels(self, num_labels: int) -> Int[Tensor, " n"]:
        """Draw labels (N,) uniform in 0..num_labels-1, int64."""
        labels = torch.empty(len(self._generators), dtype=torch.int64)
        for index, generator in enumerate(self._generators):
            labels[index] = torch.randint(num_labels, (), generator=generator)
        return labels


def draw_latents(
    seeds: Sequence[int], image_shape: tuple[int, int, int], num_labels: int
) -> tuple[Float[Tensor, "n c h w"], Int[Tensor, " n"] | None]:
    """Draw each image's latents, then its label.

    Args:
        seeds: one per image.
        image_shape: (C, H, W).
        num_labels: C of the condition; 0 draws no labels.

    Returns:
        Latents (N, C, H, W), float32 standard normal, and labels (N,) uniform in 0..num_labels-1 or None; on
        the CPU.
    """
    return _latents_and_labels(ImageStreams(seeds), image_shape, num_labels)


def _latents_and_labels(
    streams: ImageStreams, image_shape: tuple[int, int, int], num_labels: int
) -> tuple[Tensor, Tensor | None]:
    latents = streams.normal(image_shape)
    return latents, streams.labels(num_labels) if num_labels else None


def sigma_steps(steps: int, sigma_min: float, sigma_max: float, rho: float = RHO) -> Float[Tensor, " s"]:
    """Return the noise levels of Karras et al. 2022, eq. 5: `steps` of them, descending, then 0; float64.

    Args:
        steps: at least 2.
        sigma_min: of the denoiser; the range 0.002..80 is cut to it.
        sigma_max: of the denoiser.
        rho: 7 spends most steps at low noise.
    """
    low, high = max(SIGMA_MIN, sigma_min) ** (1 / rho), min(SIGMA_MAX, sigma_max) ** (1 / rho)
    ramp = torch.arange(steps, dtype=torch.float64) / (steps - 1)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])


@torch.inference_mode()
def sample_heun(
    denoiser: Denoiser,
    latents: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"] | None = None,
    steps: int = 18,
) -> Float[Tensor, "n c h w"]:
    """Solve the probability-flow ODE from noise to images: Karras et al. 2022, Algorithm 1.

    Args:
        denoiser: any; evaluated in float32, 2 x steps - 1 times.
        latents: standard normal (N, C, H, W) on the denoiser's device.
        labels: (N,) or None.
        steps: noise levels, 18 in the paper.

    Returns:
        Images (N, C, H, W), float64, about [-1, 1].
    """
    sigmas = sigma_steps(steps, denoiser.sigma_min, denoiser.sigma_max).tolist()
    x: Tensor = latents.double() * sigmas[0]
    for sigma, following in pairwise(sigmas):
        x = _heun_step(denoiser, x, labels, sigma, following)
    return x


@dataclass(frozen=True)
class Churn:
    """How a stochastic sampler renews noise; the values of Karras et al. 2022, Table 5, for ImageNet."""

    amount: float = 40.0
    """S_churn: the noise level rises by amount / steps of itself before a step, by sqrt(2) - 1 at most."""
    sigma_low: float = 0.05
    """S_tmin: below this noise level nothing is renewed."""
    sigma_high: float = 50.0
    """S_tmax: nor above this one."""
    scale: float = 1.003
    """S_noise: standard deviation of the new noise, which makes up for detail that networks lose."""


@torch.inference_mode()
def sample_stochastic(
    denoiser: Denoiser,
    latents: Float[Tensor, "n c h w"],
    draw_noise: Callable[[], Float[Tensor, "n c h w"]],
    labels: Int[Tensor, " n"] | None = None,
    steps: int = 18,
    churn: Churn = Churn(),
) -> Float[Tensor, "n c h w"]:
    """Solve the reverse SDE (paper, eq. 33) from noise to images: Karras et al. 2022, Algorithm 2.

    Before each step fresh noise lifts the image to a higher noise level, which stands for the diffusion term;
    then Heun's method solves the ODE from there. Euler-Maruyama's rule (paper, eq. 55) has the same limit,
    but oversteps wherever one step halves the noise level, as 18 steps do.

    Args:
        denoiser: any; evaluated in float32, 2 x steps - 1 times.
        latents: standard normal (N, C, H, W) on the denoiser's device.
        draw_noise: gives standard normal (N, C, H, W) for one step; called at each, whether it is used or
            not, as published samples were drawn.
        labels: (N,) or None.
        steps: noise levels.
        churn: how much noise is renewed, and where.

    Returns:
        Images (N, C, H, W), float64, about [-1, 1].
    """
    sigmas = sigma_steps(steps, denoiser.sigma_min, denoiser.sigma_max).tolist()
    x: Tensor = latents.double() * sigmas[0]
    for sigma, following in pairwise(sigmas):
        renewed = churn.sigma_low <= sigma <= churn.sigma_high
        lifted = sigma * (1 + (min(churn.amount / steps, math.sqrt(2) - 1) if renewed else 0.0))
        noise = draw_noise().to(x)
        x = x + math.sqrt(lifted**2 - sigma**2) * churn.scale * noise
        x = _heun_step(denoiser, x, labels, lifted, following)
    return x


def _heun_step(denoiser: Denoiser, x: Tensor, labels: Tensor | None, sigma: float, following: float) -> Tensor:
    """Step from noise level `sigma` to `following`, float64; a plain Euler step to 0."""

    def slope(x: Tensor, sigma: float) -> Tensor:
        level = torch.full((len(x),), sigma, dtype=torch.float32, device=x.device)
        return (x - denoiser(x.float(), level, labels).double()) / sigma

    first = slope(x, sigma)
    euler = x + (following - sigma) * first
    if following == 0:
        return euler
    return x + (following - sigma) * 0.5 * (first + slope(euler, following))


def to_uint8(images: Float[Tensor, "n c h w"], seeds: Sequence[int] | None = None) -> UInt8[Tensor, "n c h w"]:
    """Return pixels as an image file holds them: clip(127.5 x + 128, 0, 255), truncated.

    Args:
        images: (N, C, H, W), about [-1, 1].
        seeds: of the images, for the message; 0..N-1 by default.

    Raises:
        NotFiniteError: an image has NaN or infinite values, which would pass for black or white pixels.
    """
    broken = (~images.isfinite()).flatten(1).any(1)
    if bool(broken.any()):
        first = int(broken.int().argmax())
        raise NotFiniteError(
            f"sample of seed {first if seeds is None else seeds[first]} is not finite: "
            "the network is broken or its training diverged"
        )
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def generate(
    denoiser: Denoiser,
    seeds: Sequence[int],
    steps: int = 18,
    batch_size: int = 500,
    on_batch: Callable[[int], None] | None = None,
    sampler: str = "ode",
) -> tuple[UInt8[Tensor, "n c h w"], Int[Tensor, " n"] | None]:
    """Draw one image per seed, in batches; an image does not depend on its neighbors in the batch.

    Args:
        denoiser: any.
        seeds: one per image.
        steps: noise levels.
        batch_size: images at once; bounds the memory.
        on_batch: called with the number of images just finished.
        sampler: `ode` (`sample_heun`) or `sde` (`sample_stochastic`).

    Returns:
        Images (N, C, H, W) uint8 and labels (N,) or None, on the CPU.

    Raises:
        MemosweepError: no seeds, fewer than two steps, or a sampler of another name.
        NotFiniteError: a sample is NaN or infinite.
    """
    if not seeds or steps < 2 or batch_size < 1:
        raise MemosweepError(
            f"{len(seeds)} seeds, {steps} steps, batches of {batch_size}: at least 1, 2 and 1 are needed"
        )
    if sampler not in ("ode", "sde"):
        raise MemosweepError(f"sampler {sampler!r}: choose ode or sde")
    device, shape = denoiser.device, denoiser.image_shape
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for start in range(0, len(seeds), batch_size):
        batch_seeds = seeds[start : start + batch_size]
        streams = ImageStreams(batch_seeds)
        latents, batch_labels = _latents_and_labels(streams, shape, denoiser.num_labels)
        latents = latents.to(device)
        if batch_labels is not None:
            labels.append(batch_labels)
            batch_labels = batch_labels.to(device)
        with gpu_arithmetic(getattr(denoiser, "precision", "float32"), device):
            if sampler == "sde":
                draw = partial(streams.normal, shape, torch.float64)
                batch = sample_stochastic(denoiser, latents, draw, batch_labels, steps)
            else:
                batch = sample_heun(denoiser, latents, batch_labels, steps)
        images.append(to_uint8(batch, batch_seeds).cpu())
        if on_batch is not None:
            on_batch(len(batch))
    return torch.cat(images), torch.cat(labels) if labels else None
