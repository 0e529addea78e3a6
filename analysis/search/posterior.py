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
from scipy import special, stats

from analysis.search.observation import Evidence

FloatArray = npt.NDArray[np.float64]

# Fine where published slopes lie (2.7 to 3.9), coarse out to a near-flat curve and to a cliff.
LOG_SLOPES: FloatArray = np.unique(
    np.concatenate(
        [
            np.linspace(np.log(0.2), np.log(1.5), 8),
            np.linspace(np.log(1.5), np.log(6.0), 20),
            np.linspace(np.log(6.0), np.log(80.0), 10),
        ]
    )
)
# Trapezoidal weights, as the grid is uneven.
SLOPE_STEPS: FloatArray = np.gradient(LOG_SLOPES)
MIN_LOGIT_VARIANCE = 1e-6
WIDE = 1.2
TAIL = 0.1


@dataclass(frozen=True)
class CurvePrior:
    """What is assumed before the first training; all spreads are of natural logarithms or logits.

    Attributes:
        slope: the expected slope (logits per unit of ln size), 2.9 in the published tables.
        slope_spread: uncertainty of ln(slope) common to all factor values.
        slope_between: spread of ln(slope) between the values of one factor.
        seed_spread: standard deviation of the logit between training seeds. Published: three
            seeds within 0.2 points. Laptop runs on 8x8 digits spread by up to 0.2.
        shape_misfit: deviation from the line, as a share of the distance to the target in logits.
    """

    slope: float = 2.9
    slope_spread: float = 0.2
    slope_between: float = 0.15
    seed_spread: float = 0.08
    shape_misfit: float = 0.025

    def __post_init__(self) -> None:
        for name in ("slope", "slope_spread", "slope_between", "seed_spread"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value} must be a positive number")
        if not (np.isfinite(self.shape_misfit) and self.shape_misfit >= 0):
            raise ValueError(f"shape_misfit {self.shape_misfit} must be zero or positive")

    def seed_grid(self) -> tuple[FloatArray, FloatArray]:
        """Possible seed spreads (3,) and their weights."""
        return self.seed_spread * np.array([0.5, 1.0, 2.0]), np.array([0.3, 0.6, 0.1])

    def log_slope_prior(self) -> FloatArray:
        """(S,) log weights on LOG_SLOPES before other values are heard: normal, with a share of anything."""
        return _with_tail(
            _normal(np.log(self.slope), np.hypot(self.slope_spread, self.slope_between)), self.slope
        )

    def wide_slope_prior(self) -> FloatArray:
        """For curves that contradict the usual slopes: anything from flat to a cliff."""
        return _normal(np.log(self.slope), WIDE)


def _normal(center: float, spread: float) -> FloatArray:
    """(S,) normalized log weights of a normal ln(slope)."""
    weights = -0.5 * ((LOG_SLOPES - center) / spread) ** 2 + np.log(SLOPE_STEPS)
    return np.asarray(weights - np.log(np.exp(weights - weights.max()).sum()) - weights.max())


def _with_tail(usual: FloatArray, slope: float) -> FloatArray:
    """Lets the data overrule the usual slope: a narrow prior would drag an odd curve's crossing along."""
    return np.asarray(np.logaddexp(np.log1p(-TAIL) + usual, np.log(TAIL) + _normal(np.log(slope), WIDE)))


def pooled_slope_prior(prior: CurvePrior, others: Sequence[FloatArray]) -> FloatArray:
    """Prior of one value's slope after the other values of the factor have spoken.

    Hierarchical: ln(slope) of each value is normal around a common mean, which is itself uncertain.

    Args:
        prior: spreads between values and of the common mean.
        others: (S,) log likelihoods of the slope, one for each other value.

    Returns:
        (S,) normalized log weights on LOG_SLOPES.
    """
    if not others:
        return prior.log_slope_prior()
    center = np.log(prior.slope)
    means = center + prior.slope_spread * np.linspace(-3, 3, 25)
    given_mean = np.stack([_normal(mean, prior.slope_between) for mean in means], axis=1)
    log_means = -0.5 * ((means - center) / prior.slope_spread) ** 2
    for likelihood in others:
        # A floor under each value's say: one odd curve must not veto all usual slopes.
        bounded = np.logaddexp(likelihood - likelihood.max(), np.log(1e-3))
        log_means = log_means + special.logsumexp(bounded[:, None] + given_mean, axis=0)
    weights = special.logsumexp(given_mean + (log_means - special.logsumexp(log_means)), axis=1)
    return _with_tail(np.asarray(weights - special.logsumexp(weights)), prior.slope)


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

    @property
    def crossing_weights(self) -> FloatArray:
        """(C,) marginal of the crossing."""
        return np.asarray(self.weights.sum(axis=1))

    def quantile(self, q: npt.ArrayLike) -> FloatArray:
        """Quantiles of ln crossing, linear between grid cells' edges."""
        step = self.crossings[1] - self.crossings[0]
        cumulative = np.concatenate([[0.0], np.cumsum(self.crossing_weights)])
        edges = np.append(self.crossings - step / 2, self.crossings[-1] + step / 2)
        return np.asarray(np.interp(np.asarray(q, float), cumulative / cumulative[-1], edges))

    @property
    def slope(self) -> float:
        """Posterior geometric mean of the slope."""
        return float(np.exp(self.weights.sum(axis=0) @ LOG_SLOPES))

    def mode(self) -> tuple[float, float]:
        """Most probable (ln crossing, slope)."""
        i, j = np.unravel_index(int(np.argmax(self.weights / SLOPE_STEPS)), self.weights.shape)
        return float(self.crossings[i]), float(np.exp(LOG_SLOPES[j]))


def log_likelihood(
    told: Evidence,
    *,
    crossings: FloatArray,
    slopes: FloatArray,
    seed_spreads: FloatArray,
    target_logit: float,
    shape_misfit: float,
) -> FloatArray:
    """Log likelihood of one piece of evidence; crossings, slopes and spreads broadcast."""
    distance = -slopes * (told.log_size - crossings)
    variance = told.variance + seed_spreads**2 + (shape_misfit * distance) ** 2
    sd = np.sqrt(np.maximum(variance, MIN_LOGIT_VARIANCE))
    z = (told.logit - target_logit - distance) / sd
    if told.bound == 0:
        return np.asarray(-0.5 * (z * z) - np.log(sd))
    log_holds = special.log_ndtr(-told.bound * z)
    if told.confidence == 1:
        return np.asarray(log_holds)
    fails = np.log1p(-told.confidence) + special.log_ndtr(told.bound * z)
    return np.asarray(np.logaddexp(np.log(told.confidence) + log_holds, fails))


def _log_prior(
    crossings: FloatArray, limits: tuple[float, float], log_slopes: FloatArray, spread_weights: FloatArray
) -> FloatArray:
    """(C, S, T): uniform between the limits; beyond them the search cannot look, and the prior fades."""
    outside = np.maximum(np.maximum(limits[0] - crossings, crossings - limits[1]), 0)
    return np.asarray(-outside[:, None, None] + log_slopes[None, :, None] + np.log(spread_weights))


def _grid_likelihood(
    told: Evidence, crossings: FloatArray, prior: CurvePrior, target_logit: float
) -> FloatArray:
    """(C, S, T) log likelihood on all slopes and seed spreads."""
    return log_likelihood(
        told,
        crossings=crossings[:, None, None],
        slopes=np.exp(LOG_SLOPES)[None, :, None],
        seed_spreads=prior.seed_grid()[0],
        target_logit=target_logit,
        shape_misfit=prior.shape_misfit,
    )


def _wide_grid(limits: tuple[float, float], cells: int) -> FloatArray:
    """Crossings from well below the smallest size to well above the largest."""
    return np.linspace(limits[0] - 3.0, limits[1] + 3.0, cells)


@lru_cache(maxsize=64)
def _wide_likelihood(
    told: Evidence, limits: tuple[float, float], cells: int, prior: CurvePrior, *, target_logit: float
) -> FloatArray:
    """`_grid_likelihood` on the wide grid, which every later look at the same evidence needs again."""
    return _grid_likelihood(told, _wide_grid(limits, cells), prior, target_logit)


def curve_posterior(
    evidences: Sequence[Evidence],
    limits: tuple[float, float],
    log_slopes: FloatArray,
    prior: CurvePrior,
    target_logit: float,
    *,
    cells: int = 72,
) -> CurvePosterior:
    """Posterior on a grid that is laid twice: over everything, then where the weight is.

    Args:
        evidences: what the trainings of this value said.
        limits: ln of the smallest and largest size.
        log_slopes: (S,) log prior weights on LOG_SLOPES.
        prior: seed spread and shape misfit.
        target_logit: logit of 1 - zeta.
        cells: grid cells of the crossing in either pass.
    """
    crossings = _wide_grid(limits, cells)
    spreads, spread_weights = prior.seed_grid()
    total = _log_prior(crossings, limits, log_slopes, spread_weights)
    for told in evidences:
        total = total + _wide_likelihood(told, limits, cells, prior, target_logit=target_logit)
    for _ in range(2 if evidences else 0):
        marginal = total.max(axis=(1, 2))
        keep = np.flatnonzero(marginal > marginal.max() - 9)
        step = crossings[1] - crossings[0]
        narrowed = np.linspace(crossings[keep[0]] - step, crossings[keep[-1]] + step, cells)
        if narrowed[1] - narrowed[0] > 0.7 * step:
            break
        crossings = narrowed
        total = _log_prior(crossings, limits, log_slopes, spread_weights)
        for told in evidences:
            total += _grid_likelihood(told, crossings, prior, target_logit)
    weights = np.exp(total - total.max())
    weights /= weights.sum()
    return CurvePosterior(
        crossings, weights.sum(axis=2), float(np.sqrt(weights.sum(axis=(0, 1)) @ spreads**2))
    )


def slope_log_likelihood(
    evidences: Sequence[Evidence], limits: tuple[float, float], prior: CurvePrior, target_logit: float
) -> FloatArray:
    """(S,) log likelihood of the slope, the crossing integrated out: what a value tells the others."""
    flat = np.zeros_like(LOG_SLOPES)
    posterior = curve_posterior(evidences, limits, flat, prior, target_logit)
    return np.asarray(np.log(posterior.weights.sum(axis=0) + 1e-300))


def misfit_p_value(
    evidences: Sequence[Evidence],
    posterior: CurvePosterior,
    prior: CurvePrior,
    target_logit: float,
    prior_slope: tuple[float, float] | None,
) -> float:
    """Chance of residuals as large as these if the line were right: a chi-square test.

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
    for told in evidences:
        distance = -slope * (told.log_size - crossing)
        variance = told.variance + prior.seed_spread**2 + (prior.shape_misfit * distance) ** 2
        z = (told.logit - target_logit - distance) / np.sqrt(max(variance, MIN_LOGIT_VARIANCE))
        if told.bound == 0:
            statistic += z**2
            freedom += 1
        elif told.bound * z > 0:
            # Only a violated bound speaks; a satisfied one fits any line on its side.
            statistic += z**2
            freedom += 1
    if prior_slope is not None:
        statistic += ((np.log(slope) - prior_slope[0]) / prior_slope[1]) ** 2
        # Where bounds alone spoke, the usual slope is all there is to test.
        freedom = max(freedom + 1, 1)
    return float(stats.chi2.sf(statistic, freedom)) if freedom > 0 else 1.0
