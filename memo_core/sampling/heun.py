"""Sampling with Heun's second-order method: the probability-flow ODE and a stochastic variant of it.

Source: Karras et al. 2022, Algorithms 1 and 2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memo_core.model.denoiser import Denoiser

SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0


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
