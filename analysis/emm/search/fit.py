"""Whether the model is accepted, and what interval follows: the model's, or the bracket's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.emm.search.bracket import Bracket, bracket
from analysis.emm.search.constants import (
    CONTRADICTED,
    DOUBTFUL,
    END_MARGIN,
    LOOSE_MISFIT,
    LOOSE_SPREAD,
    NEAR,
    NEAR_IN_DOUBT,
    SATURATED,
    UNSUSPICIOUS,
)
from analysis.emm.search.posterior import CurvePosterior, Evidence, curve_posterior, evidence, misfit_p_value
from analysis.emm.search.prior import LOG_SLOPES, CurvePrior, FloatArray
from analysis.emm.search.trainings import Training, check_size
from analysis.stats.binomial import logit


@dataclass(frozen=True)
class Goal:
    """What is searched: sizes in [min_size, max_size] where the ratio crosses `target`.

    See `analysis.emm.search.search.Search` for the attributes.
    """

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
    reach = NEAR if p_value >= DOUBTFUL else NEAR_IN_DOUBT
    if method != "bisection":
        low, emm, high = (float(v) for v in np.exp(posterior.quantile([0.025, 0.5, 0.975])))
        run = [t.size for t in trainings] or [0]
        enclosed = found.two_sided and low <= max(run) and high >= min(run)
        near = min((abs(s.logit - target_logit) for s in found.sizes), default=np.inf) <= reach
        narrow = enclosed and near and _narrow(low, emm, high, goal.tolerance)
        cliff_possible = narrow and not _rules_out_cliff(found, target_logit)
        converged = narrow and not cliff_possible
        # A bracket this small cannot be halved usefully; its interval stays as wide as the noise makes it.
        converged = converged or closed
    else:
        low, emm, high = _bracket_estimate(found, goal)
        converged = closed
    return CurveFit(method, found, posterior, emm, low, high, converged, bounded, p_value, reach, cliff_possible)


def _rules_out_cliff(found: Bracket, target_logit: float) -> bool:
    """Whether no cliff may lie between the ends of the bracket, as it may between a ratio of nearly 1 and a failure."""
    ends = [s.logit - target_logit for s in found.sizes if s.size in (found.low, found.high)]
    return all(abs(end) <= SATURATED for end in ends)


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
        shape_misfit=max(prior.shape_misfit, LOOSE_MISFIT),
        seed_spread=LOOSE_SPREAD * prior.seed_spread,
    )
    if p_value >= CONTRADICTED and not found.non_monotone:
        if p_value < UNSUSPICIOUS:
            usual = curve_posterior(evidences, goal.limits, slope_prior, prior, goal.target_logit)
        return "model", usual, p_value
    free = curve_posterior(evidences, goal.limits, prior.wide_slope_prior(), prior, goal.target_logit)
    exact = sum(1 for e in evidences if e.bound == 0)
    if exact >= 3 and misfit_p_value(evidences, free, prior, goal.target_logit, None) >= UNSUSPICIOUS:
        return "free", free, p_value
    local = _local(evidences, found, goal)
    if len(local) >= 3:
        line = curve_posterior(local, goal.limits, prior.wide_slope_prior(), prior, goal.target_logit)
        if misfit_p_value(local, line, prior, goal.target_logit, None) >= UNSUSPICIOUS:
            return "local", line, p_value
    return "bisection", free, p_value


def _local(evidences: list[Evidence], found: Bracket, goal: Goal) -> list[Evidence]:
    """The evidence from the bracket's ends inwards, if all of it lies near the target; else nothing."""
    if found.low is None or found.high is None:
        return []
    low, high = np.log(found.low) - 1e-9, np.log(found.high) + 1e-9
    inside = [e for e in evidences if low <= e.log_size <= high]
    near = all(e.bound == 0 and abs(e.logit - goal.target_logit) <= NEAR for e in inside)
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
    share = float(np.clip(above / (above + below), END_MARGIN, 1 - END_MARGIN))
    emm = float(np.exp(np.log(low) + share * np.log(high / low)))
    sure_low, sure_high = found.sure
    return (
        float(goal.min_size if sure_low is None else sure_low),
        emm,
        float(goal.max_size if sure_high is None else sure_high),
    )
