"""Weighted least squares of logits, and the mean of effects, with scatter beyond the known noise by moments."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.stats.binomial import FloatArray

MISFIT_FLOOR = 0.05
"""Smallest scatter of trainings around a line, in logits. With as few rows as published tables have, a residual of
zero is luck: published fits leave 0.03 to 0.06."""


@dataclass(frozen=True)
class LogitFit:
    """A weighted least-squares fit.

    Attributes:
        coefficients: (P,).
        covariance: (P, P) of the coefficients.
        residuals: (N,) observed less fitted.
        chi_square: of the residuals.
        freedom: N - P.
        extra: variance of the observations beyond the one that is known.
    """

    coefficients: FloatArray
    covariance: FloatArray
    residuals: FloatArray
    chi_square: float
    freedom: int
    extra: float = 0.0

    @property
    def misfit(self) -> float:
        """Standard deviation of the observations beyond the known one: seeds and misfit together."""
        return math.sqrt(self.extra)

    def t(self, confidence: float = 0.95) -> float:
        """Return the two-sided quantile of Student's t; the normal one where no residual has freedom."""
        return float(special.stdtrit(self.freedom if self.freedom > 0 else np.inf, 0.5 + confidence / 2))


def weighted_least_squares(
    design: FloatArray, y: FloatArray, variances: FloatArray, extra: float = 0.0, ridge: float = 0.0
) -> LogitFit:
    """Fit observations whose variances are known.

    Args:
        design: (N, P).
        y: (N,) observations, such as logits.
        variances: (N,) of the observations, > 0.
        extra: variance of each observation beyond `variances`.
        ridge: added to the diagonal of the normal equations, so that columns that depend on each other share
            their effect.
    """
    variances = variances + extra
    weighted = design / variances[:, None]
    covariance = np.asarray(np.linalg.inv(design.T @ weighted + ridge * np.eye(design.shape[1])), dtype=float)
    coefficients = covariance @ (weighted.T @ y)
    residuals = y - design @ coefficients
    chi_square = float(np.sum(residuals**2 / variances))
    return LogitFit(coefficients, covariance, residuals, chi_square, len(y) - design.shape[1], extra)


def fit_with_misfit(
    design: FloatArray, y: FloatArray, variances: FloatArray, unidentified: float = 0.0, ridge: float = 0.0
) -> LogitFit:
    """Fit observations that scatter beyond their known variances, as seeds and a model that is too simple make them.

    The extra variance is the one that brings chi-square to its degrees of freedom (Paule and Mandel, J. Res. NBS 87,
    1982), at least `MISFIT_FLOOR` squared.

    Args:
        design, y, variances, ridge: as for `weighted_least_squares`.
        unidentified: the extra variance where no degree of freedom is left to estimate it.
    """
    floor = MISFIT_FLOOR**2
    freedom = len(y) - design.shape[1]

    def excess(extra: float) -> float:
        return float(weighted_least_squares(design, y, variances, extra, ridge).chi_square - freedom)

    if freedom < 1:
        extra = max(floor, unidentified)
    elif excess(floor) <= 0:
        extra = floor
    else:
        from scipy import optimize  # noqa: PLC0415 (needed only where a model is fitted)

        high = 4 * floor
        while excess(high) > 0:
            high *= 4
        extra = float(optimize.brentq(excess, high / 4, high, xtol=1e-12))
    return weighted_least_squares(design, y, variances, extra, ridge)


def mean_effect(values: npt.ArrayLike, variances: npt.ArrayLike) -> tuple[float, float]:
    """Return the mean, and its standard error, of effects whose true sizes may differ (DerSimonian and Laird 1986).

    statsmodels' `combine_effects` lets the variance between effects fall below 0, which narrows the interval of effects
    that agree by luck.

    Args:
        values: (N,) effects.
        variances: (N,) of their noise, > 0.
    """
    y, v = np.asarray(values, dtype=float), np.asarray(variances, dtype=float)
    w = 1 / v
    fixed = float((w * y).sum() / w.sum())
    between = 0.0
    if len(y) > 1:
        excess = float((w * (y - fixed) ** 2).sum()) - (len(y) - 1)
        between = max(0.0, excess / float(w.sum() - (w**2).sum() / w.sum()))
    w = 1 / (v + between)
    return float((w * y).sum() / w.sum()), float(1 / math.sqrt(w.sum()))
