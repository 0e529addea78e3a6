"""EMM by a model: logit(ratio) = intercept of the factor value - slope * ln(size), one slope for all values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.emm.curves import ValueData, seed_variance
from analysis.stats.binomial import FloatArray, empirical_logit
from analysis.stats.regression import LogitFit, fit_with_misfit


@dataclass(frozen=True)
class LogisticFit:
    """The lines of V values.

    Attributes:
        regression: its coefficients (V + 1,) are the intercepts of the values, NaN where there is none, then the slope
            (positive: ratios fall with size).
    """

    regression: LogitFit

    @property
    def slope(self) -> float:
        """Logits lost for each unit of ln(size)."""
        return float(self.regression.coefficients[-1])

    def has(self, index: int) -> bool:
        """Return whether value `index` has a line."""
        return bool(np.isfinite(self.regression.coefficients[index]))

    def crossings(self, index: int, targets: npt.ArrayLike, confidence: float = 0.95) -> FloatArray:
        """Return sizes (Z, 3) where value `index` crosses each target: estimate, low, high (Fieller's interval).

        Fieller's theorem inverts the test of "the line passes the target here", so the interval is exact
        for normal logits and becomes infinite where the slope could be zero.
        """
        z = special.logit(np.atleast_1d(np.asarray(targets, float)))
        a, b = self.regression.coefficients[[index, -1]]
        (vaa, vab), (_, vbb) = self.regression.covariance[np.ix_([index, -1], [index, -1])]
        t2 = self.regression.t(confidence) ** 2
        # (a - b x - z)^2 = t^2 (vaa - 2 x vab + x^2 vbb), a quadratic in x = ln size.
        qa = b**2 - t2 * vbb
        qb = -2 * ((a - z) * b - t2 * vab)
        qc = (a - z) ** 2 - t2 * vaa
        root = np.sqrt(np.maximum(qb**2 - 4 * qa * qc, 0))
        with np.errstate(over="ignore"):
            estimate = np.exp((a - z) / b) if b > 0 else np.full_like(z, np.nan)
            low, high = np.zeros_like(z), np.full_like(z, np.inf)
            if b > 0 and qa > 0:
                low, high = np.exp((-qb - root) / (2 * qa)), np.exp((-qb + root) / (2 * qa))
        return np.stack([estimate, low, high], axis=1)

    def logits(self, index: int, sizes: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the line of value `index` at sizes (N,) and its standard error, in logits."""
        x = np.log(np.asarray(sizes, float))
        covariance = self.regression.covariance
        variance = covariance[index, index] - 2 * x * covariance[index, -1] + x**2 * covariance[-1, -1]
        return self.regression.coefficients[index] - self.slope * x, np.sqrt(np.maximum(variance, 0))


def informative(data: ValueData) -> npt.NDArray[np.bool_]:
    """Return (N,) which ratios have a usable logit: within 0.5% to 99.5%, and 2 samples away from 0 and 1.

    Outside, ratios level off (unique labels stay at 99.5% to 100% over all sizes) and would flatten the slope
    of all values.
    """
    k = data.ratios * data.num_samples
    inside = (data.ratios >= 0.005) & (data.ratios <= 0.995)
    return np.asarray(inside & (k >= 2) & (data.num_samples - k >= 2))


def fit_shared_slope(groups: Sequence[ValueData]) -> LogisticFit | None:
    """Fit one slope and an intercept for each value.

    Returns:
        the fit; None where no value has two informative sizes, so that the slope is unknown. A value
        without any informative ratio gets the intercept NaN.
    """
    used = [informative(g) for g in groups]
    x = np.concatenate([np.log(g.sizes[u]) for g, u in zip(groups, used, strict=True)])
    member = np.concatenate([np.full(u.sum(), i) for i, u in enumerate(used)]).astype(int)
    if not any(len(np.unique(g.sizes[u])) > 1 for g, u in zip(groups, used, strict=True)):
        return None
    ratios = np.concatenate([g.ratios[u] for g, u in zip(groups, used, strict=True)])
    n = np.concatenate([g.num_samples[u] for g, u in zip(groups, used, strict=True)])
    present = np.unique(member)
    design = np.concatenate([(member[:, None] == present).astype(float), -x[:, None]], axis=1)
    fit = fit_with_misfit(design, *empirical_logit(ratios, n), unidentified=seed_variance(list(groups)))
    full = np.full(len(groups) + 1, np.nan)
    full_covariance = np.full((len(groups) + 1, len(groups) + 1), np.nan)
    slots = np.append(present, len(groups))
    full[slots] = fit.coefficients
    full_covariance[np.ix_(slots, slots)] = fit.covariance
    return LogisticFit(replace(fit, coefficients=full, covariance=full_covariance))
