"""SHA-256 of a training set's images."""

import hashlib

import torch
from jaxtyping import Int, UInt8
from torch import Tensor


def pixels_sha256(images: UInt8[Tensor, "n c h w"], labels: Int[Tensor, " n"] | None) -> str:
    """Return the SHA-256, in hexadecimal, over shape, pixels and labels; the same on every device."""
    found = hashlib.sha256(f"{tuple(images.shape)}".encode())
    found.update(images.cpu().contiguous().numpy().data)
    if labels is not None:
        found.update(labels.to("cpu", torch.int64).numpy().astype("<i8").tobytes())
    return found.hexdigest()
