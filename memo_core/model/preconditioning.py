"""VP, VE and EDM preconditioning with their noise distributions and loss weights.

Source: Karras et al. 2022, Table 1 and eq. 7-8; constants as published there.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Coefficients(NamedTuple):
    """The scalings of eq. 7 in Karras et al. 2022, each of the shape of sigma."""

    skip: Tensor
    out: Tensor
    input: Tensor
    noise: Tensor


class Preconditioning(ABC):
    """How a network becomes a denoiser, and how it is trained: D = c_skip x + c_out F(c_in x, c_noise)."""

    name: str
    sigma_min: float
    """The smallest noise level that the network takes."""
    sigma_max: float
    """The largest."""

    @abstractmethod
    def coefficients(self, sigma: Float[Tensor, "..."]) -> Coefficients:
        """Return the scalings at noise levels `sigma` (float32, > 0)."""

    @abstractmethod
    def draw_sigma(self, count: int, generator: torch.Generator) -> Float[Tensor, " n"]:
        """Draw `count` training noise levels on the generator's device, float32."""

    @abstractmethod
    def loss_weight(self, sigma: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return lambda(sigma), the weight of the squared error."""


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator, device=generator.device)


class VP(Preconditioning):
    """Variance preserving (Song et al. 2021b), the configuration of the paper's experiments."""

    name = "vp"
    beta_d, beta_min, epsilon, steps = 19.9, 0.1, 1e-5, 1000

    def __init__(self) -> None:
        self.sigma_min, self.sigma_max = (
            math.sqrt(math.expm1(0.5 * self.beta_d * t**2 + self.beta_min * t)) for t in (self.epsilon, 1.0)
        )

    def sigma(self, t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the noise level at time t in [0, 1]."""
        return (0.5 * self.beta_d * t.square() + self.beta_min * t).expm1().sqrt()

    def time(self, sigma: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the time of a noise level, the inverse of `sigma`."""
        # log(1 + sigma^2), not log1p: the rounding that published networks were trained with.
        root = (self.beta_min**2 + 2 * self.beta_d * (1 + sigma.square()).log()).sqrt()
        return (root - self.beta_min) / self.beta_d

    def coefficients(self, sigma: Float[Tensor, "..."]) -> Coefficients:
        """Return c_skip 1, c_out -sigma, c_in 1 / sqrt(sigma^2 + 1), c_noise 999 t."""
        scale = 1 / (sigma.square() + 1).sqrt()
        return Coefficients(torch.ones_like(sigma), -sigma, scale, (self.steps - 1) * self.time(sigma))

    def draw_sigma(self, count: int, generator: torch.Generator) -> Float[Tensor, " n"]:
        """Draw noise levels uniform in time from epsilon to 1."""
        return self.sigma(1 + _uniform(count, generator) * (self.epsilon - 1))

    def loss_weight(self, sigma: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return 1 / sigma^2."""
        return 1 / sigma.square()


class VE(Preconditioning):
    """Variance exploding (Song et al. 2021b): sigma 0.02 to 100."""

    name = "ve"
    sigma_min, sigma_max = 0.02, 100.0

    def coefficients(self, sigma: Float[Tensor, "..."]) -> Coefficients:
        """Return c_skip 1, c_out sigma, c_in 1, c_noise ln(sigma / 2)."""
        one = torch.ones_like(sigma)
        return Coefficients(one, sigma, one, (0.5 * sigma).log())

    def draw_sigma(self, count: int, generator: torch.Generator) -> Float[Tensor, " n"]:
        """Draw noise levels log-uniform from sigma_min to sigma_max."""
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** _uniform(count, generator)

    def loss_weight(self, sigma: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return 1 / sigma^2."""
        return 1 / sigma.square()


class EDM(Preconditioning):
    """The improved preconditioning of Karras et al. 2022: sigma_data 0.5, P_mean -1.2, P_std 1.2."""

    name = "edm"
    sigma_min, sigma_max = 0.0, math.inf
    sigma_data, p_mean, p_std = 0.5, -1.2, 1.2

    def coefficients(self, sigma: Float[Tensor, "..."]) -> Coefficients:
        """Return the unit-variance scalings of Table 1, c_noise ln(sigma) / 4."""
        total = sigma.square() + self.sigma_data**2
        return Coefficients(
            self.sigma_data**2 / total,
            sigma * self.sigma_data / total.sqrt(),
            1 / total.sqrt(),
            sigma.log() / 4,
        )

    def draw_sigma(self, count: int, generator: torch.Generator) -> Float[Tensor, " n"]:
        """Draw log-normal noise levels."""
        normal = torch.randn(count, generator=generator, device=generator.device)
        return (normal * self.p_std + self.p_mean).exp()

    def loss_weight(self, sigma: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return (sigma^2 + sigma_data^2) / (sigma sigma_data)^2."""
        return (sigma.square() + self.sigma_data**2) / (sigma * self.sigma_data).square()


PRECONDITIONINGS: dict[str, Preconditioning] = {kind.name: kind() for kind in (VP, VE, EDM)}
