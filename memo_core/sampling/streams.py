"""What an image is drawn from: a random generator of its own, whatever its batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


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
            row.normal_(generator=generator)
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
    return latents_and_labels(ImageStreams(seeds), image_shape, num_labels)


def latents_and_labels(
    streams: ImageStreams, image_shape: tuple[int, int, int], num_labels: int
) -> tuple[Tensor, Tensor | None]:
    """Draw latents and labels, as `draw_latents` does, from streams that go on with the noise of a sampler."""
    latents = streams.normal(image_shape)
    return latents, streams.labels(num_labels) if num_labels else None
