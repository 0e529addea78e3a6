"""Scores of pairs of images from one matrix product: |b|^2 / 2 - a b, or twice that, orders b by its distance to a.

Pixels enter as v - 128, integers from -128 to 127.
"""

import functools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float64, Int8, UInt8
from torch import Tensor

EXACT_FEATURES = 1024
"""Products of such pixels are at most 2^14; float32 adds 2^10 of them without rounding (2^24)."""

_UNIT_ROUNDOFF = 2.0**-24
"""Of float32."""
_MULTIPLE = 8
"""Rows and columns of int8 products on a GPU come in multiples of it."""
_FEWEST_ROWS = 32
"""Of the first factor of int8 products: a GPU takes more than 16."""
_TRIAL_SHAPE = 256, 1024, 1536
"""Rows, columns and features of the products that decide what is faster."""


def centered(images: UInt8[Tensor, "n ..."]) -> Int8[Tensor, "n f"]:
    """Return pixel values -128..127, a row per image."""
    # Flipping the highest bit and reading two's complement subtracts 128.
    return images.flatten(1).bitwise_xor(128).view(torch.int8)


def squared_norms(features: Int8[Tensor, "n f"]) -> Float64[Tensor, " n"]:
    """Return exact squared norms: float32 holds each square, and sums of 1,024 of them."""
    slices = features.float().square_().split(EXACT_FEATURES, dim=1)  # type: ignore[no-untyped-call]
    return torch.stack([part.sum(1).double() for part in slices]).sum(0)


class Products(ABC):
    """A way to compute scores; `factor` turns centered pixels into what it multiplies."""

    factor_of_distance: float
    """|a - b|^2 = |a|^2 + this x score."""
    padding: float
    """The score of padding."""

    @abstractmethod
    def factor(self, features: Int8[Tensor, "n f"]) -> Tensor:
        """Return the rows as one factor of `scores`."""

    @abstractmethod
    def scores(self, queries: Tensor, training: Tensor, norms: Float64[Tensor, " m"]) -> Tensor:
        """Return scores (N, M), float32 or int32, of factors (N, F) and (M, F); `norms` squared, inf for padding."""

    @abstractmethod
    def bound(self, norms: Float64[Tensor, " n"], largest: float, features: int) -> Float64[Tensor, " n"]:
        """Bound how far scores of queries with squared `norms` can be off; `largest` is the largest of the training."""


class Float32Products(Products):
    """Products in float32, whose rounding is bounded."""

    factor_of_distance, padding = 2.0, float("inf")

    def factor(self, features: Int8[Tensor, "n f"]) -> Tensor:
        """Return float32."""
        return features.float()

    def scores(self, queries: Tensor, training: Tensor, norms: Float64[Tensor, " m"]) -> Tensor:
        """Return float32."""
        return torch.addmm((norms / 2).float(), queries, training.T, alpha=-1)

    def bound(self, norms: Float64[Tensor, " n"], largest: float, features: int) -> Float64[Tensor, " n"]:
        """Bound a sum of n terms: in any order it is off by at most n u / (1 - n u) times the sum of their magnitudes.

        Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 4.2; that sum is at most
        |b|^2 / 2 + |a| |b| (Cauchy and Schwarz). It is 0 where all partial sums are small multiples of 1/2.
        """
        # The norm rounded to float32 and added to the products: two operations more; two are to spare.
        relative = (features + 4) * _UNIT_ROUNDOFF
        magnitude = largest / 2 + (norms * largest).sqrt()
        return torch.where(magnitude < 2**23, 0.0, magnitude * relative / (1 - relative))


class Int8Products(Products):
    """Products of int8 with sums in int32: exact."""

    factor_of_distance, padding = 1.0, torch.iinfo(torch.int32).max

    def factor(self, features: Int8[Tensor, "n f"]) -> Tensor:
        """Return int8, padded with zeros."""
        missing = -features.shape[1] % _MULTIPLE
        return torch.nn.functional.pad(features, (0, missing)) if missing else features

    def scores(self, queries: Tensor, training: Tensor, norms: Float64[Tensor, " m"]) -> Tensor:
        """Return int32, twice the score."""
        count, columns = len(queries), len(training)
        queries = torch.nn.functional.pad(queries, (0, 0, 0, max(_FEWEST_ROWS - count, 0)))
        training = torch.nn.functional.pad(training, (0, 0, 0, -columns % _MULTIPLE))
        products = torch._int_mm(queries, training.T)[:count, :columns]
        scores = torch.sub(norms.nan_to_num(posinf=0).int(), products, alpha=2)
        # Padding is at the end.
        scores[:, columns - int(norms.isinf().sum()) :] = self.padding
        return scores

    def bound(self, norms: Float64[Tensor, " n"], largest: float, features: int) -> Float64[Tensor, " n"]:
        """Return 0."""
        return torch.zeros_like(norms)


_INT8_FEATURES = 2**15
"""3 x 2^14 x this stays below 2^31."""


def choose_products(device: torch.device, features: int) -> Products:
    """Choose the faster way on a device by a short measurement, once a process; the results are the same."""
    return Int8Products() if features <= _INT8_FEATURES and _int8_wins(device) else Float32Products()


@functools.cache
def _int8_wins(device: torch.device) -> bool:
    rows, columns, features = _TRIAL_SHAPE
    a = torch.arange(rows * features, device=device).remainder(251).view(rows, features).to(torch.uint8)
    b = torch.arange(columns * features, device=device).remainder(241).view(columns, features).to(torch.uint8)
    # The largest sums; some processors saturate at 16 bits.
    a[0], b[0], b[1] = 0, 0, 255
    small, other = centered(a), centered(b)
    single, single_other = small.float(), other.float()
    try:
        exact = small[:4].double() @ other.T.double()
        if not torch.equal(torch._int_mm(small, other.T)[:4].double(), exact):
            return False
        int8 = min(_seconds(lambda: torch._int_mm(small, other.T), device) for _ in range(3))
    # No such product for this device, this build of PyTorch or these shapes.
    except (RuntimeError, NotImplementedError):
        return False
    return int8 < min(_seconds(lambda: single @ single_other.T, device) for _ in range(3))


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
