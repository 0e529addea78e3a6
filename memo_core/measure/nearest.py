"""Exact nearest training images in l2, in bounded memory."""

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

# Products of values in -128..127 are at most 2^14; float32 adds 2^10 of them without rounding (2^24).
_EXACT_FEATURES = 1024
_QUERY_CHUNK = 2048
_TRAINING_CHUNK = 8192
_CHUNK_BYTES = 128 * 2**20


def _rows(most: int, images: Tensor) -> int:
    """Images at once, so that their float32 pixels stay within the bytes of a chunk."""
    return max(1, min(most, _CHUNK_BYTES // (4 * images[0].numel())))


class Neighbors(NamedTuple):
    """The k nearest training images of each query, nearest first; ties go to the lower index."""

    squared_distances: Float64[Tensor, "n k"]
    """Sums over pixels of squared differences of 0..255 values: integers, exactly."""
    indices: Int64[Tensor, "n k"]


def _features(images: UInt8[Tensor, "n c h w"]) -> Tensor:
    """Pixel values -128..127 as float32 (N, C x H x W)."""
    return images.flatten(1).float() - 128


def _squared_norms(features: Tensor) -> Tensor:
    """Exact in float64: float32 holds each square, and sums of 1,024 of them."""
    slices = features.square().split(_EXACT_FEATURES, dim=1)  # type: ignore[no-untyped-call]
    return torch.stack([part.sum(1).double() for part in slices]).sum(0)


def _exact_products(queries: Tensor, training: Tensor) -> Tensor:
    """Inner products (N, M) as exact integers in float64, from float32 matrix products."""
    total = torch.zeros(len(queries), len(training), dtype=torch.float64, device=queries.device)
    for start in range(0, queries.shape[1], _EXACT_FEATURES):
        part = slice(start, start + _EXACT_FEATURES)
        total += queries[:, part] @ training[:, part].T
    return total


@torch.inference_mode()
def nearest_neighbors(queries: UInt8[Tensor, "n c h w"], training: UInt8[Tensor, "m c h w"], k: int = 2) -> Neighbors:
    """The k nearest training images of each query, with exact squared l2 distances.

    The distances are integers: |a|^2 + |b|^2 - 2ab is assembled from float32 matrix products over slices of
    1,024 pixels, each of which is exact. Memory beyond the two sets and the result stays under 1 GiB for any size.

    Args:
        queries: generated images, on any device.
        training: training images; the search runs on their device.
        k: neighbours, at most m.

    Returns:
        Distances and indices (N, k) on the CPU.
    """
    device = training.device
    distances = torch.empty(len(queries), k, dtype=torch.float64)
    indices = torch.empty(len(queries), k, dtype=torch.int64)
    query_rows, training_rows = _rows(_QUERY_CHUNK, queries), _rows(_TRAINING_CHUNK, training)
    norms = torch.cat([_squared_norms(_features(part)) for part in torch.split(training, training_rows)])
    for start in range(0, len(queries), query_rows):
        block = _features(queries[start : start + query_rows].to(device))
        own = _squared_norms(block)[:, None]
        best = torch.empty(len(block), 0, dtype=torch.float64, device=device)
        at = torch.empty(len(block), 0, dtype=torch.int64, device=device)
        for offset in range(0, len(training), training_rows):
            part = _features(training[offset : offset + training_rows])
            squared = own + norms[offset : offset + len(part)] - 2 * _exact_products(block, part)
            # Distance and index in one number (below 2^53), so that no two are equal and ties have an order.
            keys = squared.mul_(_TRAINING_CHUNK) + torch.arange(len(part), device=device)
            keys = keys.topk(min(k, len(part)), largest=False, sorted=True).values
            positions = keys.remainder(_TRAINING_CHUNK)
            best = torch.cat([best, (keys - positions) / _TRAINING_CHUNK], 1)
            at = torch.cat([at, positions.long() + offset], 1)
            order = torch.argsort(best, dim=1, stable=True)[:, :k]
            best, at = best.gather(1, order), at.gather(1, order)
        distances[start : start + len(block)] = best.cpu()
        indices[start : start + len(block)] = at.cpu()
    return Neighbors(distances, indices)
