"""The bracket of an EMM, whether the model is accepted, and what interval follows: the model's, or the bracket's.

A bracket is the largest success and the smallest failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.emm.search import constants
from analysis.emm.search.posterior import CurvePosterior, Evidence, curve_posterior, evidence, misfit_p_value
from analysis.emm.search.prior import LOG_SLOPES, CurvePrior, FloatArray
from analysis.emm.search.trainings import Goal, Training
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


def _size_result(
    size: int, trainings: Sequence[Training], target: float, seed_spread: float, max_trainings: int
) -> SizeResult:
    """Pool the trainings at one size.

    The ratio counts as decided when the 95% interval of its logit, from the samples and from the spread of training
    seeds, excludes the target, when a trial was stopped far above the target, or, on the side that it leans to, when
    `max_trainings` were not enough to decide it.
    """
    n = sum(t.num_samples for t in trainings)
    k = sum(t.ratio * t.num_samples for t in trainings)
    pooled = float(np.log((k + 0.5) / (n - k + 0.5)))
    beyond = pooled - float(logit(target))
    # At the target's own variance, so that the decision does not depend on the smoothing at 0 and 1.
    sd = np.sqrt(1 / (n * target * (1 - target)) + seed_spread**2 / len(trainings))
    lean = 1 if k / n >= target else -1
    decision = int(np.sign(beyond)) if abs(beyond) > constants.Z95 * sd else 0
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
    sizes = tuple(_size_result(size, by_size[size], target, seed_spread, max_trainings) for size in sorted(by_size))
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


@dataclass(frozen=True)
class CurveFit:
    """The curve of one value, as far as its trainings support it.

    Attributes:
        method: `model` (the line with its usual slope), `free` (a line of unusual slope that the
            residuals support), `local` (such a line through the bracket's ends and what lies between) or
            `bisection` (the model is contradicted: only the bracket counts).
        bracket: largest success and smallest failure.
        posterior: of crossing and slope.
        emm, low, high: point and 95% interval, in images.
        converged: the crossing is enclosed by sizes run and known to the tolerance.
        bounded: `lower` (the largest size succeeds) or `upper` (the smallest fails), or None.
        p_value: of the misfit test with the usual slope.
        reach: logits from the target within which a size must have been run before the line counts.
        cliff_possible: the model gives an interval within the tolerance, but an end of the bracket is so far from the
            target that a cliff may lie between.
    """

    method: str
    bracket: Bracket
    posterior: CurvePosterior
    emm: float
    low: float
    high: float
    converged: bool
    bounded: str | None
    p_value: float
    reach: float
    cliff_possible: bool


def fit_curve(trainings: Sequence[Training], goal: Goal, prior: CurvePrior, slope_prior: FloatArray) -> CurveFit:
    """Fit one value's trainings; `slope_prior` is (S,) log weights of the slope, pooled over the other values."""
    target_logit = goal.target_logit
    found = bracket(trainings, goal.target, prior.seed_spread, goal.max_trainings_per_size)
    evidences = [evidence(t) for t in trainings]
    method, posterior, p_value = _choose_model(evidences, found, goal, prior, slope_prior)
    bounded = None
    if found.low is not None and found.low >= goal.max_size:
        bounded = "lower"
    elif found.high is not None and found.high <= goal.min_size:
        bounded = "upper"
    closed, cliff_possible = _closed(found, goal), False
    reach = constants.NEAR if p_value >= constants.DOUBTFUL else constants.NEAR_IN_DOUBT
    if method != "bisection":
        low, emm, high = (float(v) for v in np.exp(posterior.quantile([0.025, 0.5, 0.975])))
        run = [t.size for t in trainings] or [0]
        enclosed = found.two_sided and low <= max(run) and high >= min(run)
        near = min((abs(s.logit - target_logit) for s in found.sizes), default=np.inf) <= reach
        narrow = enclosed and near and _narrow(low, emm, high, goal.tolerance)
        # A cliff may lie between a ratio of nearly 1 and a failure.
        ends = [s.logit - target_logit for s in found.sizes if s.size in (found.low, found.high)]
        cliff_possible = narrow and any(abs(end) > constants.SATURATED for end in ends)
        converged = narrow and not cliff_possible
        # A bracket this small cannot be halved usefully; its interval stays as wide as the noise makes it.
        converged = converged or closed
    else:
        low, emm, high = _bracket_estimate(found, goal)
        converged = closed
    return CurveFit(method, found, posterior, emm, low, high, converged, bounded, p_value, reach, cliff_possible)


def _narrow(low: float, emm: float, high: float, tolerance: float) -> bool:
    return (high - low) / 2 <= tolerance * emm * (1 + 1e-9)


def _closed(found: Bracket, goal: Goal) -> bool:
    """Whether success and failure are neighbors to the tolerance, with nothing undecided between."""
    if found.low is None or found.high is None or found.undecided:
        return False
    middle = float(np.sqrt(found.low * found.high))
    return _narrow(found.low, middle, found.high, goal.tolerance) or found.high - found.low <= 1


def _choose_model(
    evidences: list[Evidence], found: Bracket, goal: Goal, prior: CurvePrior, slope_prior: FloatArray
) -> tuple[str, CurvePosterior, float]:
    """The usual slope where nothing contradicts it, else a free one if that fits, all or near the target."""
    # Mean and spread of the usual slopes; the prior's tail of unusual ones is left out.
    weights = np.exp(slope_prior - slope_prior.max())
    weights = np.where(weights > 0.05, weights, 0.0)
    weights /= weights.sum()
    mean = float(weights @ LOG_SLOPES)
    spread = float(np.sqrt(weights @ (LOG_SLOPES - mean) ** 2))
    usual = curve_posterior(evidences, goal.limits, slope_prior, prior, goal.target_logit)
    p_value = misfit_p_value(evidences, usual, prior, goal.target_logit, (mean, spread))
    prior = replace(
        prior,
        shape_misfit=max(prior.shape_misfit, constants.LOOSE_MISFIT),
        seed_spread=constants.LOOSE_SPREAD * prior.seed_spread,
    )
    if p_value >= constants.CONTRADICTED and not found.non_monotone:
        if p_value < constants.UNSUSPICIOUS:
            usual = curve_posterior(evidences, goal.limits, slope_prior, prior, goal.target_logit)
        return "model", usual, p_value
    free = curve_posterior(evidences, goal.limits, prior.wide_slope_prior(), prior, goal.target_logit)
    exact = sum(1 for e in evidences if e.bound == 0)
    if exact >= 3 and misfit_p_value(evidences, free, prior, goal.target_logit, None) >= constants.UNSUSPICIOUS:
        return "free", free, p_value
    local = _local(evidences, found, goal)
    if len(local) >= 3:
        line = curve_posterior(local, goal.limits, prior.wide_slope_prior(), prior, goal.target_logit)
        if misfit_p_value(local, line, prior, goal.target_logit, None) >= constants.UNSUSPICIOUS:
            return "local", line, p_value
    return "bisection", free, p_value


def _local(evidences: list[Evidence], found: Bracket, goal: Goal) -> list[Evidence]:
    """The evidence from the bracket's ends inwards, if all of it lies near the target; else nothing."""
    if found.low is None or found.high is None:
        return []
    low, high = np.log(found.low) - 1e-9, np.log(found.high) + 1e-9
    inside = [e for e in evidences if low <= e.log_size <= high]
    near = all(e.bound == 0 and abs(e.logit - goal.target_logit) <= constants.NEAR for e in inside)
    return inside if near else []


def _bracket_estimate(found: Bracket, goal: Goal) -> tuple[float, float, float]:
    """(low, emm, high) of the bracket; the point interpolates the logit in ln size where both are known."""
    low = float(found.low if found.low is not None else goal.min_size)
    high = float(found.high if found.high is not None else goal.max_size)
    if found.low is None or found.high is None:
        return low, float(np.sqrt(low * high)), high
    logits = {s.size: s.logit - goal.target_logit for s in found.sizes}
    above, below = max(logits[found.low], 1e-3), max(-logits[found.high], 1e-3)
    # Where a cliff lies between the two is not known: stay away from the ends.
    share = float(np.clip(above / (above + below), constants.END_MARGIN, 1 - constants.END_MARGIN))
    emm = float(np.exp(np.log(low) + share * np.log(high / low)))
    sure_low, sure_high = found.sure
    return (
        float(goal.min_size if sure_low is None else sure_low),
        emm,
        float(goal.max_size if sure_high is None else sure_high),
    )
