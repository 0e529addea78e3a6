"""Which training images are replicated, and how unevenly: coverage and concentration of the replicas."""

import math
from dataclasses import dataclass

from jaxtyping import Int64
from torch import Tensor

from memo_core.measure.memorization import Memorization, memorized_counts


@dataclass(frozen=True)
class Coverage:
    """How the replicas among the samples spread over the training set."""

    counts: Int64[Tensor, " m"]
    """Replicas of each training image."""

    @property
    def replicas(self) -> int:
        """Memorized samples."""
        return int(self.counts.sum())

    @property
    def fraction(self) -> float:
        """The share of training images that were replicated at least once, in [0, 1].

        It is bounded by the samples drawn: at most samples / |D|.
        """
        return float((self.counts > 0).double().mean())

    @property
    def uniform_fraction(self) -> float:
        """What `fraction` would be on average, had as many replicas fallen on training images at random."""
        size = len(self.counts)
        return 1 - (1 - 1 / size) ** self.replicas

    def summary(self) -> dict[str, float | int]:
        """Return the reported numbers by their names."""
        return {
            "replicas": self.replicas,
            "coverage": self.fraction,
            "coverage_if_uniform": self.uniform_fraction,
            "replica_gini": self.gini,
            "replica_share_top_1_percent": self.top_share(0.01),
            "replica_share_top_10_percent": self.top_share(0.1),
            "most_replicas_of_one_image": int(self.counts.max()),
        }

    @property
    def gini(self) -> float:
        """Gini coefficient of the replicas over all training images, never replicated ones included.

        0 where all are replicated equally often, (m - 1) / m where one image holds all; NaN without replicas.
        Replicas that fall at random have a positive one too, which shrinks with the replicas per image.
        """
        if not self.replicas:
            return math.nan
        ordered = self.counts.sort().values.double()
        size = len(ordered)
        ranks = ordered.new_tensor(range(1, size + 1))
        return float(((2 * ranks - size - 1) * ordered).sum() / (size * ordered.sum()))

    def top_share(self, share: float) -> float:
        """Return the share of the replicas that the most replicated images hold, in [0, 1]; NaN without replicas.

        Args:
            share: of the training images, in (0, 1]; rounded up to whole images.
        """
        if not self.replicas:
            return math.nan
        # A hair less: 0.07 x 100 is a little above 7.
        count = max(1, math.ceil(share * len(self.counts) - 1e-9))
        return float(self.counts.topk(count).values.sum()) / self.replicas


@dataclass(frozen=True)
class Replicated:
    """One training image and its replicas."""

    index: int
    """The image's place in the training set."""
    replicas: int
    """Memorized samples whose nearest training image it is, at least 1."""
    smallest_distance: float
    """Of those replicas, in the unit of `knn_distance`."""


def most_replicated(result: Memorization) -> list[Replicated]:
    """List the replicated training images: most replicas first, then smallest distance, then lowest index."""
    counts = memorized_counts(result)
    smallest = result.nearest_distance.new_full((result.training_size,), math.inf)
    smallest.scatter_reduce_(
        0, result.nearest_index[result.memorized], result.nearest_distance[result.memorized], "amin"
    )
    found = [
        Replicated(index, int(counts[index]), float(smallest[index])) for index in counts.nonzero().flatten().tolist()
    ]
    return sorted(found, key=lambda image: (-image.replicas, image.smallest_distance, image.index))


def measure_coverage(result: Memorization) -> Coverage:
    """Count how often each training image was replicated by a measured set of samples."""
    return Coverage(memorized_counts(result))
