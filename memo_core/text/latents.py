"""Latents of images, drawn anew at every step from the distribution that the VAE gives once."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from memo_core.training.steps.step import to_float

_IMAGES_AT_ONCE = 8


@dataclass(frozen=True)
class LatentMoments:
    """Mean and standard deviation of each image's latent, and the factor that the U-Net sees it scaled by."""

    mean: Float[Tensor, "n c h w"]
    deviation: Float[Tensor, "n c h w"]
    scaling_factor: float

    def draw(self, indices: Int64[Tensor, " b"], noise: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return (mean + deviation x noise) x scaling factor of some images, as `vae.encode` and a draw do."""
        return (self.mean[indices] + self.deviation[indices] * noise) * self.scaling_factor


@torch.no_grad()
def encode(vae: Any, images: UInt8[Tensor, "n c h w"]) -> LatentMoments:
    """Encode each image once.

    Args:
        vae: an `AutoencoderKL`.
        images: uint8, on its device; gray ones become RGB of equal values.
    """
    means, deviations = [], []
    for batch in torch.split(images, _IMAGES_AT_ONCE):
        distribution = vae.encode(to_float(as_rgb(batch))).latent_dist
        means.append(distribution.mean)
        deviations.append(distribution.std)
    return LatentMoments(torch.cat(means), torch.cat(deviations), float(vae.config.scaling_factor))


@torch.no_grad()
def decode(vae: Any, latents: Float[Tensor, "n c h w"], channels: int) -> Float[Tensor, "n d k l"]:
    """Decode scaled latents to images of about [-1, 1].

    Args:
        vae: an `AutoencoderKL`.
        latents: as the U-Net sees them.
        channels: 3, or 1 for the mean of the three.
    """
    images = torch.cat(
        [
            vae.decode(batch / vae.config.scaling_factor, return_dict=False)[0]
            for batch in torch.split(latents.float(), 64)
        ]
    )
    return images.mean(dim=1, keepdim=True) if channels == 1 else images


def as_rgb(images: Tensor) -> Tensor:
    """Return images (N, 3, H, W) of gray or color ones."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
