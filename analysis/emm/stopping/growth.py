"""Growth of the memorization ratio within one training: where it will end, foreseen from its start.

With u, the share of the training budget done, the logit of the ratio is taken to grow as

    logit r(u) = final + s (1 - v) ln((u - v) / (1 - v)),

s being its slope at the end and v the onset before which nothing is memorized. Memorization that sets in suddenly has
v > 0, growth in proportion to ln u has v = 0, and v far below 0 is a straight line in u. Measured runs on 8x8 digits
lie within it: 0.31, 0.73, 0.92 at u = 1/2, 3/4, 1 at a low learning rate, 0.16, 0.92, 0.99 at a high one. Onset and
slope are averaged over a grid, the final logit is known in closed form for each. numpy and scipy only: trials call
it while they train.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from analysis.stats.binomial import empirical_logit

FloatArray = npt.NDArray[np.float64]

FEW = 3
"""Fewer memorized samples than this only bound a ratio from above."""


@dataclass(frozen=True)
class GrowthPrior:
    """What is assumed of the growth, in logits.

    Attributes:
        final: mean and standard deviation of the ratio's logit at the end of the budget; wide.
        slopes: lowest and highest slope s at the end, per unit of u, uniform in ln s.
        onsets: v, all as likely; memorization that has not begun at the last of them is taken to come to nothing.
        wobble: deviation of an evaluation from the smooth curve, beyond its samples' noise.
        misfit: share of the growth still to come by which the curve may be wrong.
    """

    final: tuple[float, float] = (0.0, 4.0)
    slopes: tuple[float, float] = (1.5, 14.0)
    onsets: tuple[float, ...] = (-6.0, -2.0, -0.8, -0.3, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    wobble: float = 0.1
    misfit: float = 0.05


@dataclass(frozen=True)
class Forecast:
    """The final logit of a running trial: a mixture of normal distributions.

    Attributes:
        weights: (K,) of the growths that were weighed, sum 1.
        means, sds: (K,) final logit under each.
        exact: False while the last evaluation saw so few memorized samples that they only bound the curve.
    """

    weights: FloatArray
    means: FloatArray
    sds: FloatArray
    exact: bool

    @property
    def logit(self) -> float:
        """Mean of the final logit."""
        return float(self.weights @ self.means)

    @property
    def sd(self) -> float:
        """Standard deviation of the final logit."""
        return float(np.sqrt(self.weights @ (self.sds**2 + (self.means - self.logit) ** 2)))

    @property
    def ratio(self) -> float:
        """Median of the final ratio."""
        return self._quantile(0.5)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided interval of the final ratio."""
        return self._quantile(0.5 - confidence / 2), self._quantile(0.5 + confidence / 2)

    def probability_of(self, target: float) -> float:
        """Chance that the final ratio reaches `target`, in [0, 1]."""
        return 1 - self._below(float(special.logit(target)))

    def _below(self, logit: float) -> float:
        return float(self.weights @ special.ndtr((logit - self.means) / self.sds))

    def _quantile(self, q: float) -> float:
        low, high = (float(np.min(self.means - 9 * self.sds)), float(np.max(self.means + 9 * self.sds)))
        return float(special.expit(optimize.brentq(lambda x: self._below(x) - q, low, high)))


@lru_cache(maxsize=8)
def _growths(prior: GrowthPrior) -> tuple[FloatArray, FloatArray]:
    """(K, 1) slopes and onsets of the grid."""
    slopes = np.geomspace(*prior.slopes, 16)
    grid = np.meshgrid(slopes, np.array(prior.onsets), indexing="ij")
    return grid[0].reshape(-1, 1), grid[1].reshape(-1, 1)


def _still_to_come(u: FloatArray, prior: GrowthPrior) -> FloatArray:
    """(K, E) logits between each evaluation and the end, <= 0; -inf before the onset."""
    slopes, onsets = _growths(prior)
    begun = np.maximum(u - onsets, 0) / (1 - onsets)
    with np.errstate(divide="ignore"):
        return np.asarray(slopes * (1 - onsets) * np.log(begun))


def forecast(
    progress: npt.ArrayLike,
    ratios: npt.ArrayLike,
    num_samples: npt.ArrayLike,
    prior: GrowthPrior | None = None,
) -> Forecast:
    """Foresees the ratio at the end of the training budget.

    Args:
        progress: (E,) share of the budget (epochs or images) done at each evaluation, in (0, 1], ascending.
        ratios: (E,) memorization ratios in [0, 1].
        num_samples: (E,) or one number: samples behind each.
        prior: of the growth.

    Raises:
        ValueError: empty or unequal arrays, or numbers out of range.
    """
    prior = prior or GrowthPrior()
    u, r = np.atleast_1d(np.asarray(progress, float)), np.atleast_1d(np.asarray(ratios, float))
    n = np.broadcast_to(np.asarray(num_samples, float), r.shape)
    if u.shape != r.shape or u.ndim != 1 or not len(u):
        raise ValueError(f"progress {u.shape} and ratios {r.shape} must be equally long lists, not empty")
    if not (np.all(u > 0) and np.all(u <= 1) and np.all(np.diff(u) > 0)):
        raise ValueError("progress must ascend within (0, 1]: shares of the training budget")
    if not (np.all(r >= 0) and np.all(r <= 1)) or np.any(n < 1):
        raise ValueError("ratios must lie in [0, 1] and num_samples be at least 1")
    few = r * n < FEW
    if few.all():
        return _from_bound(u[-1:], FEW / n[-1], prior)
    # Evaluations before the first memorized samples say only that the curve was low: they are left out.
    start = int(np.argmin(few))
    return _from_ratios(u[start:], r[start:], n[start:], prior)


def _from_ratios(u: FloatArray, r: FloatArray, n: FloatArray, prior: GrowthPrior) -> Forecast:
    y, counting = empirical_logit(r, n)
    gaps = _still_to_come(u, prior)
    possible = np.isfinite(gaps).all(axis=1)
    gaps = np.where(np.isfinite(gaps), gaps, 0.0)
    variance = counting + prior.wobble**2 + (prior.misfit * (gaps - gaps[:, -1:])) ** 2
    residual = y - gaps - prior.final[0]
    # The final logit has a normal prior, so that its posterior and what each growth is worth are closed forms.
    precision = 1 / variance
    total = precision.sum(axis=1) + prior.final[1] ** -2
    shift = (precision * residual).sum(axis=1) / total
    evidence = -0.5 * (np.log(variance).sum(axis=1) + np.log(total) + (precision * residual**2).sum(axis=1))
    evidence += 0.5 * total * shift**2
    evidence = np.where(possible, evidence, -np.inf)
    weights = np.exp(evidence - evidence.max())
    ahead = prior.misfit * gaps[:, -1]
    sds = np.sqrt(1 / total + prior.wobble**2 + ahead**2)
    return Forecast(weights / weights.sum(), prior.final[0] + shift, sds, bool(r[-1] * n[-1] >= 5))


def _from_bound(u: FloatArray, ratio: float, prior: GrowthPrior) -> Forecast:
    """Nothing memorized so far: the final logit is a normal distribution cut off where each growth allows no more."""
    mean, sd = prior.final
    cut = (special.logit(min(ratio, 0.5)) - _still_to_come(u, prior)[:, 0] - mean) / sd
    mass = special.ndtr(cut)
    hazard = np.exp(-0.5 * np.minimum(cut, 40) ** 2 - special.log_ndtr(cut)) / np.sqrt(2 * np.pi)
    hazard = np.where(np.isfinite(cut), hazard, 0.0)
    spread = np.where(np.isfinite(cut), 1 - np.where(np.isfinite(cut), cut, 0.0) * hazard - hazard**2, 1.0)
    return Forecast(mass / mass.sum(), mean - sd * hazard, sd * np.sqrt(np.maximum(spread, 1e-6)), exact=False)


def will_not_reach(
    progress: npt.ArrayLike,
    ratios: npt.ArrayLike,
    num_samples: npt.ArrayLike,
    target: float,
    *,
    confidence: float = 0.99,
    prior: GrowthPrior | None = None,
) -> bool:
    """Early failure: whether, with `confidence`, the ratio ends below `target`.

    At least two evaluations are asked for, since one says nothing of the growth.

    Raises:
        ValueError: see `forecast`; or target or confidence outside (0, 1).
    """
    for name, share in {"target": target, "confidence": confidence}.items():
        if not 0 < share < 1:
            raise ValueError(f"{name} {share} is not in (0, 1)")
    foreseen = forecast(progress, ratios, num_samples, prior)
    if np.size(progress) < 2 or np.max(np.asarray(ratios, float)) >= target:
        return False
    return foreseen.probability_of(target) < 1 - confidence
