"""Posterior of one factor value's curve: where it crosses the target, and how steeply.

The curve is logit(ratio) = logit(target) - slope * (ln size - crossing). Published ratios are close to
such a line (Table 4: residuals of 0.03 to 0.06 in logits). It is anchored at the crossing, so the
straight line may err by a share of the distance to the target (`shape_misfit`); on top, trainings
differ by their seed (`seed_spread`, known only roughly: the posterior averages over its size).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.emm.search.constants import MAX_EVIDENCE_LOGIT, STOP_CONFIDENCE
from analysis.emm.search.prior import LOG_SLOPES, SLOPE_STEPS, CurvePrior, FloatArray
from analysis.emm.search.trainings import Training
from analysis.stats.binomial import empirical_logit

MIN_LOGIT_VARIANCE = 1e-6


@dataclass(frozen=True)
class Evidence:
    """A training as a statement about the logit of the final ratio at a size.

    Attributes:
        log_size: natural logarithm of the size.
        logit: the statement's logit.
        variance: of `logit` from counting, without the spread of trainings.
        bound: 0 for "equals", +1 for "at least", -1 for "at most".
        confidence: probability that a bound holds.
    """

    log_size: float
    logit: float
    variance: float
    bound: int = 0
    confidence: float = 1.0


def evidence(training: Training) -> Evidence:
    """Return what a training says; 0 or all samples memorized become bounds, as their logit is open."""
    log_size = float(np.log(training.size))
    logit, variance = (float(a) for a in empirical_logit(training.ratio, training.num_samples))
    if training.stopped_early:
        return Evidence(log_size, min(logit, MAX_EVIDENCE_LOGIT), variance, 1, STOP_CONFIDENCE)
    successes = training.ratio * training.num_samples
    if successes < 0.5:
        # No success in n says ratio < ln(2)/n with even odds; the rest is the width of that statement.
        return Evidence(log_size, float(np.log(np.log(2) / training.num_samples)), 1.0, -1)
    if training.num_samples - successes < 0.5:
        return Evidence(log_size, float(-np.log(np.log(2) / training.num_samples)), 1.0, 1)
    return Evidence(log_size, logit, variance)


@dataclass(frozen=True)
class CurvePosterior:
    """Weights over crossing and slope.

    Attributes:
        crossings: (C,) ln size of the crossing, ascending and evenly spaced.
        weights: (C, S) sums to 1; columns follow LOG_SLOPES.
        seed_spread: expected seed spread in logits after the observations.
    """

    crossings: FloatArray
    weights: FloatArray
    seed_spread: float

    def quantile(self, q: npt.ArrayLike) -> FloatArray:
        """Return quantiles of ln crossing, linear between the edges of grid cells."""
        step = self.crossings[1] - self.crossings[0]
        cumulative = np.concatenate([[0.0], np.cumsum(self.weights.sum(axis=1))])
        edges = np.append(self.crossings - step / 2, self.crossings[-1] + step / 2)
        return np.asarray(np.interp(np.asarray(q, float), cumulative / cumulative[-1], edges))

    @property
    def slope(self) -> float:
        """Posterior geometric mean of the slope."""
        return float(np.exp(self.weights.sum(axis=0) @ LOG_SLOPES))

    def mode(self) -> tuple[float, float]:
        """Return the most probable (ln crossing, slope)."""
        i, j = np.unravel_index(int(np.argmax(self.weights / SLOPE_STEPS)), self.weights.shape)
        return float(self.crossings[i]), float(np.exp(LOG_SLOPES[j]))


def _log_likelihood(evidence: Evidence, crossings: FloatArray, prior: CurvePrior, target_logit: float) -> FloatArray:
    """Return the log likelihood (C, S, T) of one piece of evidence on all slopes and seed spreads."""
    distance = -np.exp(LOG_SLOPES)[None, :, None] * (evidence.log_size - crossings[:, None, None])
    variance = evidence.variance + prior.seed_grid()[0] ** 2 + (prior.shape_misfit * distance) ** 2
    sd = np.sqrt(np.maximum(variance, MIN_LOGIT_VARIANCE))
    z = (evidence.logit - target_logit - distance) / sd
    if evidence.bound == 0:
        return np.asarray(-0.5 * (z * z) - np.log(sd))
    log_holds = special.log_ndtr(-evidence.bound * z)
    if evidence.confidence == 1:
        return np.asarray(log_holds)
    fails = np.log1p(-evidence.confidence) + special.log_ndtr(evidence.bound * z)
    return np.asarray(np.logaddexp(np.log(evidence.confidence) + log_holds, fails))


def _log_prior(
    crossings: FloatArray, limits: tuple[float, float], log_slopes: FloatArray, spread_weights: FloatArray
) -> FloatArray:
    """Return log weights (C, S, T): uniform between the limits, falling beyond them, where nothing can be trained."""
    outside = np.maximum(np.maximum(limits[0] - crossings, crossings - limits[1]), 0)
    return np.asarray(-outside[:, None, None] + log_slopes[None, :, None] + np.log(spread_weights))


def _wide_grid(limits: tuple[float, float], cells: int) -> FloatArray:
    """Return crossings from well below the smallest size to well above the largest."""
    return np.linspace(limits[0] - 3.0, limits[1] + 3.0, cells)


@lru_cache(maxsize=64)
def _wide_likelihood(
    evidence: Evidence, limits: tuple[float, float], cells: int, prior: CurvePrior, *, target_logit: float
) -> FloatArray:
    """Return `_log_likelihood` on the wide grid, which every later fit of the same evidence needs again."""
    return _log_likelihood(evidence, _wide_grid(limits, cells), prior, target_logit)


def curve_posterior(
    evidences: Sequence[Evidence],
    limits: tuple[float, float],
    log_slopes: FloatArray,
    prior: CurvePrior,
    target_logit: float,
    *,
    cells: int = 72,
) -> CurvePosterior:
    """Return the posterior on a grid that is laid over everything, then where the weight is.

    Args:
        evidences: of the trainings of this value.
        limits: ln of the smallest and largest size.
        log_slopes: (S,) log prior weights on LOG_SLOPES.
        prior: seed spread and shape misfit.
        target_logit: logit of 1 - zeta.
        cells: grid cells of the crossing in either pass.
    """
    crossings = _wide_grid(limits, cells)
    spreads, spread_weights = prior.seed_grid()
    total = _log_prior(crossings, limits, log_slopes, spread_weights)
    for one in evidences:
        total = total + _wide_likelihood(one, limits, cells, prior, target_logit=target_logit)
    for _ in range(2 if evidences else 0):
        marginal = total.max(axis=(1, 2))
        keep = np.flatnonzero(marginal > marginal.max() - 9)
        step = crossings[1] - crossings[0]
        narrowed = np.linspace(crossings[keep[0]] - step, crossings[keep[-1]] + step, cells)
        if narrowed[1] - narrowed[0] > 0.7 * step:
            break
        crossings = narrowed
        total = _log_prior(crossings, limits, log_slopes, spread_weights)
        for one in evidences:
            total += _log_likelihood(one, crossings, prior, target_logit)
    weights = np.exp(total - total.max())
    weights /= weights.sum()
    return CurvePosterior(crossings, weights.sum(axis=2), float(np.sqrt(weights.sum(axis=(0, 1)) @ spreads**2)))


def slope_log_likelihood(
    evidences: Sequence[Evidence], limits: tuple[float, float], prior: CurvePrior, target_logit: float
) -> FloatArray:
    """Return the (S,) log likelihood of the slope, the crossing integrated out, for the prior of the other values."""
    posterior = curve_posterior(evidences, limits, np.zeros_like(LOG_SLOPES), prior, target_logit)
    return np.asarray(np.log(posterior.weights.sum(axis=0) + 1e-300))


def misfit_p_value(
    evidences: Sequence[Evidence],
    posterior: CurvePosterior,
    prior: CurvePrior,
    target_logit: float,
    prior_slope: tuple[float, float] | None,
) -> float:
    """Return the probability of residuals as large as these if the line were right: a chi-square test.

    Args:
        evidences: of one value.
        posterior: whose mode is tested.
        prior: seed spread and shape misfit, as the posterior used them.
        target_logit: logit of 1 - zeta.
        prior_slope: mean and spread of ln(slope) that the slope must agree with, or None if the slope
            is free; a free slope costs a degree of freedom.

    Returns:
        p value, 1 where nothing is left to test.
    """
    crossing, slope = posterior.mode()
    statistic, freedom = 0.0, -2
    for one in evidences:
        distance = -slope * (one.log_size - crossing)
        variance = one.variance + prior.seed_spread**2 + (prior.shape_misfit * distance) ** 2
        z = (one.logit - target_logit - distance) / np.sqrt(max(variance, MIN_LOGIT_VARIANCE))
        # Of bounds only a violated one counts; a satisfied one fits any line on its side.
        if one.bound == 0 or one.bound * z > 0:
            statistic += z**2
            freedom += 1
    if prior_slope is not None:
        statistic += ((np.log(slope) - prior_slope[0]) / prior_slope[1]) ** 2
        # Where there are only bounds, the usual slope is all there is to test.
        freedom = max(freedom + 1, 1)
    # `scipy.stats.chi2.sf`, without the half second that scipy.stats takes to load.
    return float(special.chdtrc(freedom, statistic)) if freedom > 0 else 1.0
