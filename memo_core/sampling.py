"""Deterministic sampling: Heun's second-order method of Karras et al. 2022, Algorithm 1."""

import itertools
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from memo_core.model.denoiser import Denoiser

SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0


def draw_latents(
    seeds: Sequence[int], image_shape: tuple[int, int, int], num_labels: int
) -> tuple[Float[Tensor, "n c h w"], Int[Tensor, " n"] | None]:
    """Draw each image's latents, then its label, from a generator of its own.

    Args:
        seeds: one per image; taken modulo 2^32, as published samples were.
        image_shape: (C, H, W).
        num_labels: C of the condition; 0 draws no labels.

    Returns:
        Latents (N, C, H, W), float32 standard normal, and labels (N,) uniform in 0..num_labels-1 or None;
        on the CPU, so that a seed gives the same image on every device.
    """
    latents, labels = torch.empty(len(seeds), *image_shape), torch.empty(len(seeds), dtype=torch.int64)
    generator = torch.Generator()
    for index, seed in enumerate(seeds):
        generator.manual_seed(seed % 2**32)
        latents[index] = torch.randn(image_shape, generator=generator)
        if num_labels:
            labels[index] = torch.randint(num_labels, (), generator=generator)
    return latents, labels if num_labels else None


def sigma_steps(steps: int, sigma_min: float, sigma_max: float, rho: float = RHO) -> Float[Tensor, " s"]:
    """The noise levels of Karras et al. 2022, eq. 5: `steps` of them, descending, then 0; float64.

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
    """Solve the probability-flow ODE from noise to images (2 x steps - 1 evaluations).

    Args:
        denoiser: any; evaluated in float32.
        latents: standard normal (N, C, H, W) on the denoiser's device.
        labels: (N,) or None.
        steps: noise levels, 18 in the paper.

    Returns:
        Images (N, C, H, W), float64, about [-1, 1].
    """
    sigmas = sigma_steps(steps, denoiser.sigma_min, denoiser.sigma_max).tolist()

    def slope(x: Tensor, sigma: float) -> Tensor:
        level = torch.full((len(x),), sigma, dtype=torch.float32, device=x.device)
        return (x - denoiser(x.float(), level, labels).double()) / sigma

    x = latents.double() * sigmas[0]
    for sigma, following in itertools.pairwise(sigmas):
        first = slope(x, sigma)
        euler = x + (following - sigma) * first
        if following == 0:
            return euler
        x = x + (following - sigma) * 0.5 * (first + slope(euler, following))
    raise AssertionError("unreachable: the last noise level is 0")


def to_uint8(images: Float[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Pixels as an image file holds them: clip(127.5 x + 128, 0, 255), truncated."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def generate(
    denoiser: Denoiser,
    seeds: Sequence[int],
    steps: int = 18,
    batch_size: int = 500,
    on_batch: Callable[[int], None] | None = None,
) -> tuple[UInt8[Tensor, "n c h w"], Int[Tensor, " n"] | None]:
    """Draw one image per seed, in batches; an image does not depend on its neighbours in the batch.

    Args:
        denoiser: any.
        seeds: one per image.
        steps: noise levels.
        batch_size: images at once; bounds the memory.
        on_batch: called with the number of images just finished.

    Returns:
        Images (N, C, H, W) uint8 and labels (N,) or None, on the CPU.
    """
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for start in range(0, len(seeds), batch_size):
        latents, batch_labels = draw_latents(
            seeds[start : start + batch_size], denoiser.image_shape, denoiser.num_labels
        )
        if batch_labels is not None:
            labels.append(batch_labels)
            batch_labels = batch_labels.to(denoiser.device)
        batch = sample_heun(denoiser, latents.to(denoiser.device), batch_labels, steps)
        images.append(to_uint8(batch).cpu())
        if on_batch is not None:
            on_batch(len(batch))
    return torch.cat(images), torch.cat(labels) if labels else None
