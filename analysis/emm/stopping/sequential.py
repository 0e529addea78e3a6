"""Sequential sampling: compare a ratio with the target on as few generated samples as it takes.

Samples are drawn in batches until the Wilson interval excludes the target. Looking several times gives a
wrong decision several chances, so each look uses its share of the error (Bonferroni over the planned looks).
numpy and scipy only: trials call it while they evaluate.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from analysis.stats.binomial import wilson_interval

Side = Literal["above", "below", "undecided"]


@dataclass(frozen=True)
class SamplingPlan:
    """How many samples may be drawn, and how certain a decision must be.

    Attributes:
        target: ratio to decide about, in (0, 1).
        first_batch: samples before the first look.
        max_samples: samples after which the ratio is reported whatever it is (10,000 in the paper).
        confidence: that no look gives a wrong decision, in (0, 1).

    Raises:
        ValueError: numbers out of range.
    """

    target: float = 0.9
    first_batch: int = 250
    max_samples: int = 10_000
    confidence: float = 0.95

    def __post_init__(self) -> None:
        for name in ("target", "confidence"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is not in (0, 1)")
        if self.first_batch < 1:
            raise ValueError(f"first_batch {self.first_batch} is not positive")
        if self.max_samples < 1:
            raise ValueError(f"max_samples {self.max_samples} is not positive")

    @property
    def looks(self) -> int:
        """Most looks that there can be: batches at least double the samples, except the last."""
        return 1 + max(0, int(np.ceil(np.log2(self.max_samples / min(self.first_batch, self.max_samples)))))

    @property
    def confidence_per_look(self) -> float:
        """Confidence of each look's interval, so that all together err at most 1 - confidence."""
        return 1 - (1 - self.confidence) / self.looks


def decide(successes: int, num_samples: int, plan: SamplingPlan) -> Side:
    """Whether the samples so far put the ratio above or below the target.

    Args:
        successes: memorized samples so far.
        num_samples: samples so far; 0 is undecided.
        plan: target and error.

    Raises:
        ValueError: successes outside 0..num_samples.
    """
    if num_samples == 0 and successes == 0:
        return "undecided"
    low, high = wilson_interval(successes, num_samples, plan.confidence_per_look)
    if low > plan.target:
        return "above"
    if high < plan.target:
        return "below"
    return "undecided"


def next_batch(successes: int, num_samples: int, plan: SamplingPlan) -> int:
    """Samples to draw before the next look; 0 once decided or at `max_samples`.

    As many as would decide if the ratio stayed what it is, but at least as many as there are already,
    which bounds the number of looks.
    """
    if num_samples == 0:
        return min(plan.first_batch, plan.max_samples)
    left = plan.max_samples - num_samples
    if left <= 0 or decide(successes, num_samples, plan) != "undecided":
        return 0
    ratio = successes / num_samples
    z = special.ndtri(0.5 + plan.confidence_per_look / 2)
    gap = abs(ratio - plan.target)
    wanted = np.inf if gap == 0 else (z / gap) ** 2 * plan.target * (1 - plan.target) * 1.1
    batch = int(min(max(num_samples, wanted - num_samples), left))
    # A remainder too small to be worth its own look joins this batch.
    return left if left - batch < plan.first_batch else batch
