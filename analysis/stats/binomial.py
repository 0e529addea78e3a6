"""What n samples can say about a proportion. Needs `scipy.special` alone, which loads fast."""

import numpy as np
import numpy.typing as npt
from scipy import special

FloatArray = npt.NDArray[np.float64]


def wilson_interval(
    successes: npt.ArrayLike, num_samples: npt.ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return Wilson's score interval of a proportion, elementwise.

    Unlike the normal interval it stays inside [0, 1] and is not empty at 0 or n successes, where
    memorization ratios often lie. Source: Wilson, JASA 22 (1927).

    Args:
        successes: memorized samples, 0..num_samples; fractions of a sample are allowed, and NaN, whose interval is NaN.
        num_samples: samples judged, >= 1.
        confidence: two-sided, in (0, 1).

    Returns:
        lower and upper ends, in [0, 1], broadcast over the arguments.

    Raises:
        ValueError: counts out of range, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not in (0, 1): 0.95 asks for a 95% interval")
    k = np.asarray(successes, float)
    n = np.asarray(num_samples, float)
    if np.any(n < 1) or np.any(k < 0) or np.any(k > n):
        raise ValueError("successes must lie in 0..num_samples, and num_samples be at least 1")
    z = special.ndtri(0.5 + confidence / 2)
    center = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    return np.clip(center - half, 0.0, 1.0), np.clip(center + half, 0.0, 1.0)


def logit(ratio: npt.ArrayLike) -> FloatArray:
    """Return ln(r / (1 - r)) of a ratio in [0, 1]; -inf at 0 and inf at 1."""
    return np.asarray(special.logit(np.asarray(ratio, float)))


def empirical_logit(ratio: npt.ArrayLike, num_samples: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return a ratio's logit and its binomial variance, finite at 0 and 1 too.

    Half a sample is added to both counts, which removes the first-order bias of the logit
    (Haldane 1956, Anscombe 1956).

    Args:
        ratio: memorized samples over all samples, in [0, 1].
        num_samples: samples behind each ratio, >= 1.

    Returns:
        the logit and its variance, both broadcast over the arguments.
    """
    n = np.asarray(num_samples, float)
    k = np.asarray(ratio, float) * n
    return np.log((k + 0.5) / (n - k + 0.5)), 1 / (k + 0.5) + 1 / (n - k + 0.5)
