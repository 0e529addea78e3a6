"""What is assumed of a curve before and between trainings: its slope, and how trainings scatter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.emm.search import constants

FloatArray = npt.NDArray[np.float64]

LOG_SLOPES: FloatArray = np.unique(
    np.concatenate([np.linspace(np.log(low), np.log(high), count) for low, high, count in constants.SLOPE_GRID])
)
# Trapezoidal weights, as the grid is uneven.
SLOPE_STEPS: FloatArray = np.gradient(LOG_SLOPES)


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
        """Return possible seed spreads (3,) and their weights."""
        factors, weights = np.array(constants.SEED_SPREADS)
        return self.seed_spread * factors, weights

    def log_slope_prior(self) -> FloatArray:
        """Return log weights (S,) before other values have trainings: normal, with a share of unusual slopes."""
        return _with_tail(_normal(np.log(self.slope), np.hypot(self.slope_spread, self.slope_between)), self.slope)

    def wide_slope_prior(self) -> FloatArray:
        """Return log weights (S,) for curves that contradict the usual slopes."""
        return _normal(np.log(self.slope), constants.UNUSUAL_SPREAD)


def _normal(center: float, spread: float) -> FloatArray:
    """Return normalized log weights (S,) of a normal ln(slope)."""
    weights = -0.5 * ((LOG_SLOPES - center) / spread) ** 2 + np.log(SLOPE_STEPS)
    return np.asarray(weights - np.log(np.exp(weights - weights.max()).sum()) - weights.max())


def _with_tail(usual: FloatArray, slope: float) -> FloatArray:
    """Mix in unusual slopes, so that the data may overrule the usual one."""
    unusual, share = _normal(np.log(slope), constants.UNUSUAL_SPREAD), constants.UNUSUAL_SHARE
    return np.asarray(np.logaddexp(np.log1p(-share) + usual, np.log(share) + unusual))


def pooled_slope_prior(prior: CurvePrior, others: Sequence[FloatArray]) -> FloatArray:
    """Return the prior of one value's slope after the trainings of the other values.

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
    means = center + prior.slope_spread * np.linspace(-3, 3, constants.COMMON_SLOPES)
    given_mean = np.stack([_normal(mean, prior.slope_between) for mean in means], axis=1)
    log_means = -0.5 * ((means - center) / prior.slope_spread) ** 2
    for likelihood in others:
        bounded = np.logaddexp(likelihood - likelihood.max(), np.log(constants.LIKELIHOOD_FLOOR))
        log_means = log_means + special.logsumexp(bounded[:, None] + given_mean, axis=0)
    weights = special.logsumexp(given_mean + (log_means - special.logsumexp(log_means)), axis=1)
    return _with_tail(np.asarray(weights - special.logsumexp(weights)), prior.slope)
