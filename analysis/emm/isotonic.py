"""EMM without a model: the falling ratio interpolated in ln size (isotonic regression)."""

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.optimize import isotonic_regression

from analysis.emm.curves import ValueData, by_size
from analysis.stats.binomial import FloatArray


def monotone_ratios(data: ValueData) -> tuple[FloatArray, FloatArray]:
    """Return sizes (M,) and the closest falling ratios (M,), weighted by samples."""
    sizes, ratios, n = by_size(data)
    return sizes, np.asarray(isotonic_regression(ratios, weights=n, increasing=False).x)


def crossing(sizes: FloatArray, ratios: FloatArray, target: float, logits: bool = False) -> float:
    """Return where falling ratios cross the target, linear in ln size (Section 2 of the paper).

    Args:
        sizes, ratios: (M,) each, as from `monotone_ratios`.
        target: 1 - zeta.
        logits: whether the ratio's logit is interpolated instead of the ratio.

    Returns:
        the size; 0 if all ratios are below the target, infinity if all reach it.
    """
    reach = np.flatnonzero(ratios >= target)
    if not len(reach):
        return 0.0
    i = int(reach[-1])
    if i == len(sizes) - 1:
        return float("inf")
    upper, middle, lower = ratios[i], target, ratios[i + 1]
    if logits:
        upper, middle, lower = special.logit(np.clip([upper, target, lower], 1e-4, 1 - 1e-4))
    share = (upper - middle) / (upper - lower)
    return float(np.exp(np.log(sizes[i]) + share * np.log(sizes[i + 1] / sizes[i])))


def isotonic_crossings(
    data: ValueData,
    targets: npt.ArrayLike,
    *,
    seed_sd: float,
    misfit_sd: float,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return the crossings of each target with a parametric bootstrap of counting, seeds and interpolation error.

    Args:
        data: of one factor value.
        targets: (Z,) 1 - zeta.
        seed_sd: standard deviation of the logit between trainings.
        misfit_sd: of the logit between the interpolated and the true curve.
        resamples: B.
        rng: of the bootstrap.

    Returns:
        Crossings (Z,), and resampled ones (2, B, Z), of interpolated ratios and of interpolated logits; 0 and infinity
        where there is none.
    """
    targets = np.atleast_1d(np.asarray(targets, float))
    sizes, ratios = monotone_ratios(data)
    emm = np.array([crossing(sizes, ratios, t) for t in targets])
    resampled = np.empty((2, resamples, len(targets)))
    # The observed ratio with half a sample added: a resample of 0 or all would show no noise.
    logits = special.logit((data.ratios * data.num_samples + 0.5) / (data.num_samples + 1))
    n = np.rint(data.num_samples).astype(int)
    _, index = np.unique(data.sizes, return_inverse=True)
    weights = np.bincount(index, n).astype(float)
    scatter = np.hypot(seed_sd, misfit_sd)
    for b in range(resamples):
        shifted = special.expit(logits + scatter * rng.standard_normal(len(logits)))
        drawn = np.bincount(index, rng.binomial(n, shifted)) / weights
        fitted = isotonic_regression(drawn, weights=weights, increasing=False).x
        resampled[:, b] = [[crossing(sizes, fitted, t, way) for t in targets] for way in (False, True)]
    return emm, resampled
