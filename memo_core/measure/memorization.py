"""The memorization ratio: paper section 2 and Appendix F, criterion of Yoon et al. 2023."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from scipy.stats import binomtest
from torch import Tensor

from memo_core.errors import MemosweepError
from memo_core.measure.calibrated import NEIGHBORS, calibrated_distance
from memo_core.measure.faiss_search import neighbor_search


@dataclass(frozen=True)
class Memorization:
    """How much of a generated set replicates the training set."""

    memorized: Bool[Tensor, " n"]
    """Whether each generated image is a replica of its nearest training image."""
    nearest_index: Int64[Tensor, " n"]
    nearest_distance: Float64[Tensor, " n"]
    """l2 distance to the nearest training image, pixel values 0..255 divided by sqrt(C x H x W)."""
    second_distance: Float64[Tensor, " n"]
    """The same to the second nearest."""
    calibrated: Float64[Tensor, " n"]
    """The distance to the nearest relative to those to the 50 nearest (`calibrated_distance`), without unit."""
    training_size: int
    """|D|."""

    def __post_init__(self) -> None:
        # A NaN compares as false everywhere, and would pass for a sample that is not memorized.
        for name in ("nearest_distance", "second_distance", "calibrated"):
            if not getattr(self, name).isfinite().all():
                raise MemosweepError(f"{name} of samples is not finite: their pixels or the training set's are broken")

    @classmethod
    def concatenate(cls, parts: "Sequence[Memorization]") -> "Memorization":
        """Join the measures of several batches of samples against one training set."""
        return cls(
            torch.cat([part.memorized for part in parts]),
            torch.cat([part.nearest_index for part in parts]),
            torch.cat([part.nearest_distance for part in parts]),
            torch.cat([part.second_distance for part in parts]),
            torch.cat([part.calibrated for part in parts]),
            parts[0].training_size,
        )

    def part(self, positions: Int64[Tensor, " k"]) -> "Memorization":
        """Return the measure of some of the samples, at least one."""
        chosen = positions.to(self.memorized.device)
        return Memorization(
            self.memorized[chosen],
            self.nearest_index[chosen],
            self.nearest_distance[chosen],
            self.second_distance[chosen],
            self.calibrated[chosen],
            self.training_size,
        )

    @property
    def num_samples(self) -> int:
        """Generated images."""
        return len(self.memorized)

    @property
    def ratio(self) -> float:
        """The share of memorized images, in [0, 1]."""
        return float(self.memorized.double().mean())

    @property
    def knn_distance(self) -> float:
        """Mean distance to the nearest training image (paper eq. 63), in the unit of Tables 7 and 8."""
        return float(self.nearest_distance.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% Wilson interval of the ratio."""
        return wilson_interval(int(self.memorized.sum()), self.num_samples)

    @property
    def coverage(self) -> float:
        """The share of training images that were replicated at least once, in [0, 1]."""
        return float((memorized_counts(self) > 0).double().mean())

    def summary(self) -> dict[str, float | int]:
        """Return the reported numbers by their public names."""
        low, high = self.interval
        return {
            "memorization_ratio": self.ratio,
            "memorization_ratio_low": low,
            "memorization_ratio_high": high,
            "knn_distance": self.knn_distance,
            "num_samples": self.num_samples,
            "coverage": self.coverage,
            "calibrated_distance": float(self.calibrated.mean()),
            "calibrated_ratio": float((self.calibrated < 1).double().mean()),
        }


def wilson_interval(memorized: int, num_samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a binomial ratio."""
    interval = binomtest(memorized, num_samples).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def is_memorized(nearest: Float64[Tensor, " n"], second: Float64[Tensor, " n"], threshold: float) -> Bool[Tensor, " n"]:
    """Decide without rounding whether sqrt(nearest) < threshold x sqrt(second).

    Args:
        nearest: squared distances, integers.
        second: squared distances to the second nearest, integers.
        threshold: 1/3 in the paper; taken as the nearest fraction with a denominator up to 1,000.
    """
    fraction = Fraction(threshold).limit_denominator(1000)
    return nearest * fraction.denominator**2 < second * fraction.numerator**2


def measure_memorization(
    generated: UInt8[Tensor, "n _c _h _w"],
    training: UInt8[Tensor, "m _c _h _w"],
    threshold: float = 1 / 3,
    neighbors: str = "exact",
) -> Memorization:
    """Compare generated images with the training set.

    An image is memorized when its l2 distance to the nearest training image is below `threshold` times that
    to the second nearest.

    Args:
        generated: uint8 images.
        training: at least two uint8 images of the same shape.
        threshold: in (0, 1).
        neighbors: how they are searched, see `neighbor_search`; the numbers are the same.

    Raises:
        MemosweepError: the shapes differ, a set is too small, or faiss is not installed.
    """
    if generated.shape[1:] != training.shape[1:]:
        raise MemosweepError(
            f"generated images are {tuple(generated.shape[1:])}, training images {tuple(training.shape[1:])} "
            "(channels, height, width): they must be alike"
        )
    if len(training) < 2 or len(generated) < 1:
        raise MemosweepError(
            f"{len(training)} training and {len(generated)} generated images: at least 2 and 1 are needed"
        )
    # Fifty neighbors cost a few percent more than two.
    squared, indices = neighbor_search(neighbors)(generated, training, min(NEIGHBORS, len(training)))
    unit = math.sqrt(math.prod(training.shape[1:]))
    return Memorization(
        memorized=is_memorized(squared[:, 0], squared[:, 1], threshold),
        nearest_index=indices[:, 0],
        nearest_distance=squared[:, 0].sqrt() / unit,
        second_distance=squared[:, 1].sqrt() / unit,
        calibrated=calibrated_distance(squared),
        training_size=len(training),
    )


def memorized_counts(result: Memorization) -> Int64[Tensor, " m"]:
    """Count how often each training image was replicated."""
    return torch.bincount(result.nearest_index[result.memorized], minlength=result.training_size)
