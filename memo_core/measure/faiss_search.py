"""Candidates for nearest neighbors from faiss, confirmed or searched again; the only module that imports faiss."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from memo_core.errors import MemosweepError
from memo_core.measure.nearest import Neighbors, exact_distances, nearest_neighbors
from memo_core.measure.products import centered, squared_norms

_SPARE = 16
"""Candidates beyond 2k: the last one tells that nothing nearer was left out."""
_ROUNDINGS = 16
"""Operations of faiss for a distance beyond the products' sum, generously."""
_QUERIES_AT_ONCE = 2048
_UNIT_ROUNDOFF = 2.0**-24


Search = Callable[[Tensor, Tensor, int], Neighbors]
"""A function like `nearest_neighbors`."""


def neighbor_search(name: str) -> Search:
    """Return the search for `evaluation.neighbors`: `exact` or `faiss`, which give the same numbers.

    Raises:
        MemosweepError: faiss is not installed.
    """
    if name == "exact":
        return nearest_neighbors
    _faiss()
    return faiss_neighbors


def _faiss() -> Any:
    try:
        import faiss  # noqa: PLC0415
    except ImportError:
        raise MemosweepError(
            "neighbors = faiss: faiss is not installed; pip install 'memosweep[faiss-cpu]' (or 'memosweep[faiss-gpu]', "
            "never both), or choose exact, which gives the same numbers"
        ) from None
    return faiss


@torch.inference_mode()
def faiss_neighbors(queries: UInt8[Tensor, "n c h w"], training: UInt8[Tensor, "m c h w"], k: int = 2) -> Neighbors:
    """Search like `nearest_neighbors`, with candidates from a flat faiss index; on all GPUs that faiss-gpu sees.

    The distances are exact integers. faiss rounds its own: queries whose last candidate is not clearly farther than
    the k-th are searched again without it, so that the result is that of `nearest_neighbors`. The training set is held
    in float32.

    Args:
        queries: generated images, on any device.
        training: training images.
        k: neighbors, at most m.

    Raises:
        MemosweepError: faiss is not installed.
    """
    faiss = _faiss()
    features = centered(training.cpu())
    index = faiss.IndexFlatL2(features.shape[1])
    if getattr(faiss, "get_num_gpus", lambda: 0)() > 0:
        index = faiss.index_cpu_to_all_gpus(index)
    index.add(features.float().numpy())
    norms = squared_norms(features)
    largest = norms.max().sqrt()
    count = min(2 * k + _SPARE, len(training))
    parts = [
        _confirmed(index, block.cpu(), training, norms, float(largest), k, count)
        for block in torch.split(queries, _QUERIES_AT_ONCE)
    ]
    return Neighbors(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _confirmed(
    index: Any, block: Tensor, training: Tensor, norms: Tensor, largest: float, k: int, count: int
) -> Neighbors:
    queries = centered(block)
    own = squared_norms(queries)
    found, candidates = (torch.from_numpy(array) for array in index.search(queries.float().numpy(), count))
    rows = torch.arange(len(block)).repeat_interleave(count)
    cpu_training = centered(training[candidates.flatten().to(training.device)].cpu())
    every = torch.arange(len(cpu_training))
    squared = exact_distances(queries, cpu_training, own, norms[candidates.flatten()], rows, every).view(-1, count)
    # By index first: among equal distances the lower one wins.
    order = candidates.argsort(dim=1, stable=True)
    order = order.gather(1, squared.gather(1, order).argsort(dim=1, stable=True))[:, :k]
    distances, indices = squared.gather(1, order), candidates.gather(1, order)
    # What was left out is, for faiss, at least as far as its last candidate.
    roundings = (queries.shape[1] + _ROUNDINGS) * _UNIT_ROUNDOFF
    doubt = 2 * roundings / (1 - roundings) * (own.sqrt() + largest).square()
    unsure = (found[:, -1].double() - doubt <= distances[:, -1]) & torch.tensor(count < len(training))
    if bool(unsure.any()):
        again = nearest_neighbors(block[unsure], training, k)
        distances[unsure], indices[unsure] = again
    return Neighbors(distances, indices)
