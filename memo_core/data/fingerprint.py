"""SHA-256 of images: of a training set, and of the sources that it is taken from."""

import hashlib

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from memo_core.data.sources import open_source
from memo_core.data.subset import from_second_source
from memo_core.experiment import DataConfig


def pixels_sha256(images: UInt8[Tensor, "n c h w"], labels: Int[Tensor, " n"] | None) -> str:
    """Return the SHA-256, in hexadecimal, over shape, pixels and labels; the same on every device."""
    found = hashlib.sha256(f"{tuple(images.shape)}".encode())
    found.update(images.cpu().contiguous().numpy().data)
    if labels is not None:
        found.update(_little_endian(labels.to("cpu", torch.int64).numpy()))
    return found.hexdigest()


def source_sha256(*sections: DataConfig) -> dict[str, str]:
    """Return what the images of sources are, by their names or paths as the settings have them.

    The SHA-256 goes over all decoded images of a source, at its own resolution, and their labels: whatever is chosen
    of them. Each source is read once; of large ones this takes as long as decoding all of their images.

    Args:
        sections: `data` of one or more experiments; a second source counts where images are taken from it.

    Raises:
        MemosweepError: no such source, or a broken image.
    """
    names: dict[str, None] = {}
    for data in sections:
        second = from_second_source(data.size, data.blend_ratio)
        if not second.all():
            names[data.dataset] = None
        if data.blend_dataset is not None and second.any():
            names[data.blend_dataset] = None
    return {name: _sha256_of(name) for name in names}


def _sha256_of(dataset: str) -> str:
    source = open_source(dataset)
    found = hashlib.sha256(f"{source.size}".encode())
    for index in range(source.size):
        image = source.read(index)
        found.update(f"{image.shape}".encode())
        found.update(np.ascontiguousarray(image).data)
    if source.labels is not None:
        found.update(_little_endian(source.labels))
    return found.hexdigest()


def _little_endian(labels: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> bytes:
    return labels.astype("<i8").tobytes()
