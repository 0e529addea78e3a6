"""A denoiser is a function of (x, sigma, labels); here: a U-Net under a preconditioning."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from memo_core.errors import MemosweepError, first_line
from memo_core.experiment import ModelConfig
from memo_core.model.layers import initialize
from memo_core.model.preconditioning import PRECONDITIONINGS, Preconditioning
from memo_core.model.unet import UNet


@runtime_checkable
class Denoiser(Protocol):
    """Anything that samplers and measures take: a network, the closed-form optimum, a published snapshot."""

    sigma_min: float
    sigma_max: float
    image_shape: tuple[int, int, int]
    """(C, H, W)."""
    num_labels: int
    """C of the condition; 0 for an unconditional denoiser."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def __call__(
        self,
        x: Float[Tensor, "n c h w"],
        sigma: Float[Tensor, " n"],
        labels: Int[Tensor, " n"] | None = None,
        /,
    ) -> Float[Tensor, "n c h w"]:
        """Return the denoised images E[y | x, sigma, label] for y + sigma noise = x, float32, pixels in [-1, 1]."""
        ...


class NetworkDenoiser(nn.Module):
    """D(x; sigma) of Karras et al. 2022, eq. 7, around a U-Net named `model` as in published snapshots."""

    def __init__(self, model: UNet, preconditioning: Preconditioning, precision: str = "float32") -> None:
        super().__init__()
        self.model = model
        self.preconditioning = preconditioning
        self.precision = precision
        self.sigma_min, self.sigma_max = preconditioning.sigma_min, preconditioning.sigma_max
        self.image_shape = (model.channels, model.resolution, model.resolution)
        self.num_labels = model.num_labels

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def forward(
        self, x: Float[Tensor, "n c h w"], sigma: Float[Tensor, " n"], labels: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n c h w"]:
        """Denoise; computed in float32 (the network under bfloat16 autocast where so configured)."""
        x, sigma = x.float(), sigma.float()
        scale = self.preconditioning.coefficients(sigma[:, None, None, None])
        scaled = (scale.input * x).contiguous(memory_format=torch.channels_last)
        mixed = self.precision == "bfloat16"
        with torch.autocast(x.device.type, torch.bfloat16, enabled=mixed):
            output = self.model(scaled, scale.noise.flatten(), labels)
        denoised: Tensor = scale.skip * x + scale.out * output.float()
        return denoised


def build_network(config: ModelConfig, resolution: int, channels: int, num_labels: int) -> UNet:
    """Build the U-Net alone, on PyTorch's default device.

    Raises:
        MemosweepError: it does not fit the resolution, or is too large for the memory or for PyTorch; one line.
    """
    try:
        return UNet(config, resolution, channels, num_labels)
    # What PyTorch raises over sizes that it cannot hold or count.
    except (RuntimeError, MemoryError, OverflowError, TypeError) as error:
        settings = ", ".join(f"model.{key} = {getattr(config, key)}" for key in ("width", "depth"))
        multipliers = list(config.channel_multipliers)
        raise MemosweepError(
            f"{settings}, model.channel_multipliers = {multipliers}: the network cannot be built "
            f"({first_line(error)}); make it smaller"
        ) from None


def build_denoiser(
    config: ModelConfig,
    resolution: int,
    channels: int,
    num_labels: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> NetworkDenoiser:
    """Build a freshly initialized denoiser; each layer draws from a stream of its own.

    Args:
        config: the model's settings.
        resolution: pixels a side.
        channels: of the images.
        num_labels: C of the condition, 0 for none.
        seed: the experiment's seed.
        device: where it will live; initialization is drawn on the CPU, so it is the same everywhere.
        precision: `float32`, `tf32` or `bfloat16` (autocast); see `gpu_arithmetic`.

    Raises:
        MemosweepError: a network that cannot be built.
    """
    # Construction draws from the default generator, which is the caller's.
    with torch.random.fork_rng(devices=[]):
        model = build_network(config, resolution, channels, num_labels)
    initialize(model, seed)
    return NetworkDenoiser(model, PRECONDITIONINGS[config.preconditioning], precision).to(device)
