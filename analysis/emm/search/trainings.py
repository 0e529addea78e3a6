"""What is searched, and the record of a training: from the trial that made it to the search that learns from it."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.stats.binomial import logit

MAX_SIZE = 10**15
"""Far above any training set, far below where whole numbers lose their last digit as floats."""

Scalar = str | int | float | bool | None


def check_size(size: Any, name: str = "size") -> None:
    """Refuse what is not a whole number of images.

    Raises:
        ValueError: a size that is not a whole number from 1 to 10^15.
    """
    whole = isinstance(size, int | float | np.integer | np.floating) and not isinstance(size, bool)
    if not whole or not 1 <= size <= MAX_SIZE or size != int(size):
        raise ValueError(f"{name} {size!r} is not a whole number of images, from 1 to 10^15")


@dataclass(frozen=True)
class Goal:
    """What is searched: sizes in [min_size, max_size] where the ratio crosses `target`; attributes as of `Search`."""

    min_size: int
    max_size: int
    target: float
    tolerance: float
    num_samples: int
    max_trainings_per_size: int

    def __post_init__(self) -> None:
        for name in ("min_size", "max_size"):
            check_size(getattr(self, name), name)
        if self.min_size > self.max_size:
            raise ValueError(f"min_size {self.min_size} is above max_size {self.max_size}")
        if not 0 < self.target < 1:
            raise ValueError(f"target {self.target} is not in (0, 1): 0.9 means zeta = 0.1")
        if not (np.isfinite(self.tolerance) and self.tolerance > 0):
            raise ValueError(f"tolerance {self.tolerance} must be positive: 0.1 asks for +-10%")
        for name in ("num_samples", "max_trainings_per_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is not positive")

    @property
    def limits(self) -> tuple[float, float]:
        """ln of the smallest and largest size."""
        return float(np.log(self.min_size)), float(np.log(self.max_size))

    @property
    def target_logit(self) -> float:
        """logit of the target."""
        return float(logit(self.target))

    @property
    def bisection_steps(self) -> int:
        """Trainings after which a noiseless bisection in log size has reached the tolerance."""
        span = np.log(self.max_size / self.min_size) / (2 * np.arcsinh(self.tolerance))
        return int(np.ceil(np.log2(max(span, 1.0)))) + 2


@dataclass(frozen=True)
class Training:
    """One training of one factor value: what a trial reports, what the search stores and learns from.

    Attributes:
        size: images in the training set, >= 1.
        seed: of the training.
        ratio: memorization ratio in [0, 1]: the highest of its full evaluations, or the last where it was stopped.
        num_samples: generated samples behind `ratio`.
        stopped_early: whether the trial was stopped since its ratio was far above the target: the final ratio is at
            least `ratio`.
        fraction: share of the training budget that was spent, in (0, 1].

    Raises:
        ValueError: numbers out of range.
    """

    size: int
    seed: int
    ratio: float
    num_samples: int
    stopped_early: bool = False
    fraction: float = 1.0

    def __post_init__(self) -> None:
        check_size(self.size)
        if not 0 <= self.ratio <= 1:
            raise ValueError(f"ratio {self.ratio} is not in [0, 1]: give a fraction, not percent")
        if self.num_samples < 1:
            raise ValueError(f"num_samples {self.num_samples} is not positive")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction {self.fraction} of the budget is not in (0, 1]")


@dataclass(frozen=True)
class Proposal:
    """A training that the search requests.

    Attributes:
        id: unique within the search.
        value: of the factor.
        size: images to train on.
        seed: of the training.
        num_samples: samples to generate.
        reason: `model`, `secant`, `bisection`, `repeat` or `limit`: which rule chose the size.
    """

    id: int
    value: Scalar
    size: int
    seed: int
    num_samples: int
    reason: str = "model"

    def __post_init__(self) -> None:
        check_size(self.size)


@dataclass
class ValueTrainings:
    """Finished, pending and failed trainings of one factor value.

    Attributes:
        value: of the factor.
        trainings: in the order they came.
        pending: proposals under way.
        failures: failed trainings by size.
        closed: ids of proposals that were reported, so that a second report is ignored.
    """

    value: Scalar
    trainings: list[Training] = field(default_factory=list)
    pending: list[Proposal] = field(default_factory=list)
    failures: dict[int, int] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)

    def close(self, proposal: Proposal) -> None:
        """Take a proposal off the pending ones."""
        self.pending = [p for p in self.pending if p.id != proposal.id]
        self.closed.append(proposal.id)

    def trainings_at(self, size: int) -> int:
        """Return how many trainings of this size were requested, whatever became of them."""
        finished = sum(t.size == size for t in self.trainings)
        return finished + sum(p.size == size for p in self.pending) + self.failures.get(size, 0)


def value_key(value: Scalar) -> str:
    """Return a factor value as a dictionary key that distinguishes 1 from "1" and from True.

    Raises:
        ValueError: not a string, finite number, boolean or None.
    """
    bare = plain(value)
    if not isinstance(bare, str | int | float | None) or (isinstance(bare, float) and not math.isfinite(bare)):
        raise ValueError(f"factor value {value!r} must be a string, a finite number, a boolean or None")
    return json.dumps(bare)


def plain(value: Scalar) -> Scalar:
    """Return numpy's scalars, as tables hold them, as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
