"""Growth of the memorization ratio within one training: where it will end, foreseen from its start.

The logit of the ratio grows like a concave parabola in ln(progress), progress being the share of the
training budget done: logit r(u) = final + g ln u - h (ln u)^2, g, h >= 0. Measured runs on 8x8 digits rise
by 3 to 5 logits per unit of ln u at a low learning rate (0.31, 0.73, 0.92 at u = 1/2, 3/4, 1), by 4 to 9 at a
high one (0.16, 0.92, 0.99), and bend by up to 3 (0.03, 0.82, 0.96, 0.98 at u = 1/4, 1/2, 3/4, 1): the prior is
as wide as that. With normal priors this is a Bayesian linear regression in closed form. numpy and scipy only: trials
call it while they train.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.binomial import empirical_logit

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GrowthPrior:
    """Normal priors of the growth's coefficients: (mean, standard deviation), in logits.

    Attributes:
        final: of the ratio's logit at the end of the budget; wide.
        slope: g, at the end of the budget.
        curvature: h.
        wobble: deviation of an evaluation from the smooth curve, beyond its samples' noise.
    """

    final: tuple[float, float] = (0.0, 20.0)
    slope: tuple[float, float] = (5.0, 3.0)
    curvature: tuple[float, float] = (2.0, 2.0)
    wobble: float = 0.1


@dataclass(frozen=True)
class Forecast:
    """The final logit of a running trial: normal with `logit` and `sd`.

    `exact` is False while the last evaluation saw so few memorized samples that `logit` is only an upper
    bound.
    """

    logit: float
    sd: float
    exact: bool

    @property
    def ratio(self) -> float:
        """Median of the final ratio."""
        return float(special.expit(self.logit))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided interval of the final ratio."""
        z = float(special.ndtri(0.5 + confidence / 2))
        return float(special.expit(self.logit - z * self.sd)), float(special.expit(self.logit + z * self.sd))

    def probability_of(self, target: float) -> float:
        """Chance that the final ratio reaches `target`, in [0, 1]."""
        return float(special.ndtr((self.logit - special.logit(target)) / self.sd))


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
    few = r * n < 3
    # Evaluations before the first memorized samples only bound the curve from above: they are left out, or,
    # while there are no others, the last of them stands for all, which errs towards reaching the target.
    start = len(u) - 1 if few.all() else int(np.argmin(few))
    x = np.log(u[start:])
    y, variance = empirical_logit(r[start:], n[start:])
    design = np.stack([np.ones_like(x), x, -(x**2)], axis=1)
    weights = 1 / (variance + prior.wobble**2)
    means = np.array([prior.final[0], prior.slope[0], prior.curvature[0]])
    precisions = np.array([prior.final[1], prior.slope[1], prior.curvature[1]]) ** -2.0
    information = (design.T * weights) @ design + np.diag(precisions)
    covariance = np.linalg.inv(information)
    solution = covariance @ ((design.T * weights) @ y + precisions * means)
    return Forecast(float(solution[0]), float(np.sqrt(covariance[0, 0] + prior.wobble**2)), bool(r[-1] * n[-1] >= 5))


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
