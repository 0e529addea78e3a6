"""From a sampler's images to pixels, as an image file holds them."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from memo_core.errors import NotFiniteError


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
