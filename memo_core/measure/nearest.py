"""Exact nearest training images in l2, in bounded memory: one matrix product, integers where it leaves a doubt."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int8, Int64, UInt8
from torch import Tensor

from memo_core.measure.products import EXACT_FEATURES, Products, centered, choose_products, squared_norms


class _Chunk(NamedTuple):
    """How much is looked at together: scores of `queries` x `training` pairs, and the float32 pixels of each side."""

    queries: int
    training: int
    pixel_bytes: int
    pair_bytes: int
    """Of the pixels that exact distances take at once: on a CPU they stay in the cache."""


_CHUNKS = {
    "cpu": _Chunk(2048, 8192, 128 * 2**20, 4 * 2**20),
    # Here a chunk takes less time than to launch its kernels.
    "cuda": _Chunk(8192, 16_384, 512 * 2**20, 256 * 2**20),
}
_GROUPS = 4
"""Groups of a chunk for each neighbor, at least: as many smallest scores are near the smallest ones of all."""
_LARGEST_GROUP = 64


class Neighbors(NamedTuple):
    """The k nearest training images of each query, nearest first; ties go to the lower index."""

    squared_distances: Float64[Tensor, "n k"]
    """Sums over pixels of squared differences of 0..255 values: integers, exactly."""
    indices: Int64[Tensor, "n k"]


class _Candidates(NamedTuple):
    """Pairs of a query and a training image that may be neighbors."""

    rows: Int64[Tensor, " p"]
    columns: Int64[Tensor, " p"]
    scores: Float64[Tensor, " p"]

    def where(self, keep: Tensor) -> "_Candidates":
        return _Candidates(*(part[keep] for part in self))

    def and_also(self, others: "_Candidates") -> "_Candidates":
        return _Candidates(*(torch.cat(parts) for parts in zip(self, others, strict=True)))


def _chunk(images: Tensor) -> _Chunk:
    return _CHUNKS.get(images.device.type, _CHUNKS["cpu"])


def _rows(most: int, images: Tensor) -> int:
    """Return how many images to take at once, so that their float32 pixels stay within the bytes of a chunk."""
    return max(1, min(most, _chunk(images).pixel_bytes // (4 * images[0].numel())))


@contextlib.contextmanager
def _float32_throughout() -> Iterator[None]:
    """Keep float32 products exact where the process allows TF32 or bfloat16 factors."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@torch.inference_mode()
def nearest_neighbors(
    queries: UInt8[Tensor, "n c h w"],
    training: UInt8[Tensor, "m c h w"],
    k: int = 2,
    products: Products | None = None,
) -> Neighbors:
    """Return the k nearest training images of each query, with exact squared l2 distances.

    One pass of matrix products (int8 with int32 sums where that is faster, float32 otherwise) scores all pairs. What is
    among the k smallest scores of a query, or within twice the bound on their rounding, is a candidate; the distances
    of candidates are integers, computed exactly. Memory beyond the two sets and the result stays under 1 GiB for any
    size, and under 4 GiB on a GPU.

    Args:
        queries: generated images, on any device.
        training: training images; the search runs on their device.
        k: neighbors, at most m.
        products: how scores are computed; the fastest way by default. The result is the same.

    Returns:
        Distances and indices (N, k) on the CPU.
    """
    products = products or choose_products(training.device, training[0].numel())
    parts: list[Neighbors] = []
    with _float32_throughout():
        chunk = _chunk(training)
        rows = _rows(chunk.training, training)
        norms = torch.cat([squared_norms(centered(part)) for part in torch.split(training, rows)])
        for block in torch.split(queries, _rows(chunk.queries, training)):
            search = _Search(centered(block.to(training.device)), training, norms, k, products)
            parts.append(search.neighbors(rows))
    return Neighbors(*(torch.cat(part) for part in zip(*parts, strict=True)))


def exact_distances(
    queries: Int8[Tensor, "n f"],
    training: UInt8[Tensor, "m c h w"] | Int8[Tensor, "m f"],
    own: Float64[Tensor, " n"],
    norms: Float64[Tensor, " p"],
    rows: Int64[Tensor, " p"],
    columns: Int64[Tensor, " p"],
) -> Float64[Tensor, " p"]:
    """Return the squared distances of pairs, integers.

    Args:
        queries: centered pixels.
        training: images, or their centered pixels.
        own: squared norms of the queries.
        norms: of the training image of each pair.
        rows: the query of each pair.
        columns: its training image.
    """
    at_once = max(1, _chunk(queries).pair_bytes // (4 * queries.shape[1]))
    distances = own[rows] + norms
    for start in range(0, len(rows), at_once):
        pairs = slice(start, start + at_once)
        # Several times faster than indexing, on a CPU.
        factor = torch.index_select(training, 0, columns[pairs])
        factor = factor if factor.dtype == torch.int8 else centered(factor)
        products = torch.index_select(queries, 0, rows[pairs]).float().mul_(factor)
        distances[pairs] -= 2 * torch.stack(
            [pixels.sum(1).double() for pixels in torch.split(products, EXACT_FEATURES, dim=1)]
        ).sum(0)
    return distances


class _Search:
    """The neighbors of one block of queries."""

    def __init__(
        self, queries: Tensor, training: UInt8[Tensor, "m c h w"], norms: Tensor, k: int, products: Products
    ) -> None:
        self._queries, self._training, self._norms, self._k, self._products = queries, training, norms, k, products
        self._factor, self._own = products.factor(queries), squared_norms(queries)
        # Twice: the score that sets the limit may be too low as well.
        self._slack = 2 * products.bound(self._own, float(norms.max()), queries.shape[1])
        device = queries.device
        self._smallest = torch.full((len(queries), k), torch.inf, dtype=torch.float64, device=device)
        """Of each query, the k smallest scores of groups so far: at least k scores are not above the last."""
        empty = torch.empty(0, dtype=torch.int64, device=device)
        self._found = _Candidates(empty, empty, empty.double())
        # More candidates than that are settled by their exact distances, so that equal images cannot pile up.
        self._most = len(queries) * (8 * k + 64)

    def neighbors(self, rows: int) -> Neighbors:
        """Look through the training set, `rows` images at a time."""
        for start in range(0, len(self._training), rows):
            self._look_at(start, min(rows, len(self._training) - start))
        distances, found = self._settled()
        shape = len(self._queries), self._k
        return Neighbors(distances.view(shape).cpu(), found.columns.view(shape).cpu())

    def _look_at(self, start: int, count: int) -> None:
        """Add the candidates among `count` training images from `start` on, and drop those that others have beaten."""
        size = max(1, min(_LARGEST_GROUP, count // (_GROUPS * self._k)))
        width = -(-count // size)
        part = centered(self._training[start : start + count])
        norms = self._norms[start : start + count]
        if padding := width * size - count:
            part = torch.nn.functional.pad(part, (0, 0, 0, padding))
            norms = torch.nn.functional.pad(norms, (0, padding), value=torch.inf)
        # A group is every width-th column: its smallest score comes from reading the scores in one sweep.
        scores = self._products.scores(self._factor, self._products.factor(part), norms).view(-1, size, width)
        smallest = scores.amin(1)
        ours = smallest.topk(min(self._k, width), largest=False).values.double()
        ours = ours.where(ours != self._products.padding, torch.inf)
        self._smallest = torch.cat([self._smallest, ours], 1).sort(dim=1).values[:, : self._k]
        limit = self._smallest[:, -1] + self._slack
        rows, groups = (smallest <= limit[:, None]).nonzero(as_tuple=True)
        values = scores.transpose(1, 2)[rows, groups]
        near = values <= limit[rows, None]
        if int(near.sum()) > self._most:
            added = self._nearest_exactly(start, count)
        else:
            pairs, members = near.nonzero(as_tuple=True)
            columns = members * width + groups[pairs]
            added = _Candidates(rows[pairs], columns + start, values[pairs, members].double())
            added = added.where(columns < count)
        self._found = self._found.where(self._found.scores <= limit[self._found.rows]).and_also(added)
        if len(self._found.rows) > 2 * self._most:
            self._found = self._settled()[1]

    def _nearest_exactly(self, start: int, count: int) -> _Candidates:
        """Return the k nearest of each query among `count` images where rounding or ties leave too many candidates."""
        training = centered(self._training[start : start + count]).float()
        queries, norms = self._queries.float(), self._norms[start : start + count]
        scores = (norms / 2).expand(len(queries), count).clone()
        for part in range(0, queries.shape[1], EXACT_FEATURES):
            pixels = slice(part, part + EXACT_FEATURES)
            scores -= queries[:, pixels] @ training[:, pixels].T
        k = min(self._k, count)
        # Score and position in one number below 2^53, so that no two are equal and ties have an order.
        keys = scores.mul_(2 * count).add_(torch.arange(count, device=scores.device))
        keys = keys.topk(k, largest=False).values
        positions = keys.remainder(count)
        rows = torch.arange(len(queries), device=keys.device).repeat_interleave(k)
        scores = (keys - positions) / count / self._products.factor_of_distance
        return _Candidates(rows, positions.long().flatten() + start, scores.flatten())

    def _settled(self) -> tuple[Tensor, _Candidates]:
        """Return exact squared distances of the k nearest candidates of each query, and these, query by query."""
        rows, columns, scores = self._found
        distances = self._own[rows] + self._products.factor_of_distance * scores
        doubtful = (self._slack[rows] > 0).nonzero().squeeze(1)
        some, others = rows[doubtful], columns[doubtful]
        distances[doubtful] = exact_distances(
            self._queries, self._training, self._own, self._norms[others], some, others
        )
        order = columns.argsort(stable=True)
        order = order[distances[order].argsort(stable=True)]
        order = order[rows[order].argsort(stable=True)]
        counts = rows.bincount(minlength=len(self._queries))
        place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows[order]]
        order = order[place < self._k]
        return distances[order], _Candidates(rows[order], columns[order], scores[order])
