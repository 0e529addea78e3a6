"""The bracket of an EMM: the largest success and the smallest failure, and what contradicts it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.emm.search.constants import Z95
from analysis.emm.search.trainings import Training
from analysis.stats.binomial import logit


@dataclass(frozen=True)
class SizeResult:
    """All trainings at one size together: `decision` is +1 for success, -1 for failure, 0 for undecided.

    `forced` marks a decision that the noise does not support: the side that the pooled ratio leans to after
    as many trainings as are allowed. `logit` is the pooled logit.
    """

    size: int
    decision: int
    forced: bool
    trainings: int
    logit: float


@dataclass(frozen=True)
class Bracket:
    """Between which sizes the crossing lies.

    Attributes:
        low: largest size whose ratio is at least the target, or None.
        high: smallest larger size whose ratio is below it, or None.
        undecided: sizes between them whose interval straddles the target.
        non_monotone: failures at sizes below a success, which the success overrules.
        sizes: the result of each size run, ascending.
    """

    low: int | None
    high: int | None
    undecided: tuple[int, ...] = ()
    non_monotone: tuple[int, ...] = ()
    sizes: tuple[SizeResult, ...] = field(default=(), repr=False)

    @property
    def sure(self) -> tuple[int | None, int | None]:
        """The bracket from decisions that the noise supports; it holds the other one."""
        lows = [s.size for s in self.sizes if s.decision > 0 and not s.forced]
        low = max((n for n in lows if self.low is None or n <= self.low), default=None)
        highs = [s.size for s in self.sizes if s.decision < 0 and not s.forced]
        high = min((n for n in highs if self.high is None or n >= self.high), default=None)
        return low, high

    @property
    def two_sided(self) -> bool:
        """Whether sizes run enclose the crossing; a size that straddles the target is on both sides."""
        below = any(s.decision >= 0 for s in self.sizes)
        above = any(s.decision <= 0 for s in self.sizes)
        return below and above


def size_result(
    size: int, trainings: Sequence[Training], target: float, seed_spread: float, max_trainings: int
) -> SizeResult:
    """Pools the trainings at one size.

    The ratio counts as decided when the 95% interval of its logit, from the samples and from the spread of training
    seeds, excludes the target, when a trial was stopped far above the target, or, on the side that it leans to, when
    `max_trainings` were not enough to decide it.
    """
    target_logit = float(logit(target))
    n = sum(t.num_samples for t in trainings)
    k = sum(t.ratio * t.num_samples for t in trainings)
    pooled = float(np.log((k + 0.5) / (n - k + 0.5)))
    # At the target's own variance, so that the decision does not depend on the smoothing at 0 and 1.
    sd = np.sqrt(1 / (n * target * (1 - target)) + seed_spread**2 / len(trainings))
    lean = 1 if k / n >= target else -1
    decision = int(np.sign(pooled - target_logit)) if abs(pooled - target_logit) > Z95 * sd else 0
    if decision == 0 and any(t.stopped_early for t in trainings):
        decision = 1
    forced = decision == 0 and len(trainings) >= max_trainings
    return SizeResult(size, lean if forced else decision, forced, len(trainings), pooled)


def bracket(trainings: Sequence[Training], target: float, seed_spread: float = 0.0, max_trainings: int = 2) -> Bracket:
    """Return the bracket that the trainings of one factor value leave.

    A success settles all smaller sizes (EMM is the largest size that reaches the target, Definition
    2.1), so a failure below a success is reported as non-monotone and does not enter.

    Args:
        trainings: of one factor value, in any order.
        target: 1 - zeta, in (0, 1).
        seed_spread: standard deviation of the logit between training seeds.
        max_trainings: trainings at one size after which the side it leans to is taken.
    """
    by_size: dict[int, list[Training]] = {}
    for training in trainings:
        by_size.setdefault(training.size, []).append(training)
    sizes = tuple(size_result(size, by_size[size], target, seed_spread, max_trainings) for size in sorted(by_size))
    low = max((s.size for s in sizes if s.decision > 0), default=None)
    floor = 0 if low is None else low
    leaning = max((s.size for s in sizes if s.logit >= logit(target)), default=0)
    # A failure that the noise does not support settles nothing against a larger size that leans to success.
    high = min(
        (s.size for s in sizes if s.decision < 0 and s.size > floor and not (s.forced and s.size < leaning)),
        default=None,
    )
    ceiling = np.inf if high is None else high
    return Bracket(
        low,
        high,
        tuple(s.size for s in sizes if s.decision == 0 and floor < s.size < ceiling),
        tuple(s.size for s in sizes if s.decision < 0 and s.size < floor),
        sizes,
    )
