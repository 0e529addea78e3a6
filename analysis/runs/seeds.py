"""How far a memorization ratio may be from the one of another training run: binomial noise and training seeds.

Everything is said in log-odds, ln(p / (1 - p)), because there the spread between training seeds hardly depends
on the ratio: six seeds of small runs spread by 0.03 at a ratio of 0.85 and by 0.05 at 0.55, which is 0.2 in
log-odds both times. Near 0 and 1 the ratio itself hides any effect; the empirical log-odds then have a large
variance, so that such runs count for little.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.runs.settings import REPEATS, moves, setting_keys

FloatArray = NDArray[np.float64]

ASSUMED_SPREAD = 0.2
"""Standard deviation between training seeds in log-odds where a frame has no repeats: 0.03 to 0.05 in the ratio."""

ASSUMED_WEIGHT = 2
"""Degrees of freedom that the assumption counts for beside measured repeats."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class SeedSpread:
    """The standard deviation of a ratio between training seeds, in log-odds."""

    log_odds: float
    degrees: int
    """Degrees of freedom of the frame's own repeats; 0 means that the spread is assumed."""

    def __str__(self) -> str:
        at_half = 25 * self.log_odds
        size = f"{self.log_odds:.2f} in log-odds ({at_half:.1f} points at a ratio of 50%)"
        if self.degrees == 0:
            return f"{size}, assumed: no setting has ratios away from 0 and 100% with two seeds"
        return f"{size}, from {self.degrees} degrees of freedom of repeated settings and the assumed {ASSUMED_SPREAD}"


def empirical_log_odds(ratio: Any, num_samples: Any) -> tuple[FloatArray, FloatArray]:
    """Log-odds of ratios and their binomial variance (Haldane and Anscombe's half counts: finite at 0 and 1)."""
    n = np.maximum(np.asarray(num_samples, dtype=float), 1)
    hits = np.asarray(ratio, dtype=float) * n + 0.5
    misses = n + 1 - hits
    return np.log(hits / misses), 1 / hits + 1 / misses


def normal_quantile(confidence: float = CONFIDENCE) -> float:
    """The two-sided quantile of the normal distribution: 1.96 at 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def two_sided_p(z: float) -> float:
    """The probability of a normal deviate at least as far from 0."""
    return math.erfc(abs(z) / math.sqrt(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for several tests (Holm 1979): reject where the answer is below the level."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def seed_spread(runs: pd.DataFrame) -> SeedSpread:
    """The spread between seeds, from runs (a row each) that differ in seeds only.

    The variance between repeats less the binomial one, pooled over settings; the assumed spread counts as two
    further degrees of freedom, so that a lucky pair of seeds does not claim that there is no noise. Settings
    with fewer than five replicas or five novel samples tell nothing and are left out.
    """
    keys = setting_keys(runs)
    hits = runs["memorization_ratio"] * runs["num_samples"]
    informative = runs[(hits >= 5) & (runs["num_samples"] - hits >= 5)]
    if not keys or informative.empty:
        return SeedSpread(ASSUMED_SPREAD, 0)
    # Grouping by what is equal in all runs only costs time.
    moved = [key for key in keys if moves(informative[key])]
    setting = informative.groupby(moved, dropna=False).ngroup() if moved else pd.Series(0, index=informative.index)
    seeds = [key for key in REPEATS if key in informative]
    repeated = informative[seeds].assign(setting=setting).duplicated() & bool(seeds)
    rows = informative[~repeated]
    values, variances = empirical_log_odds(rows["memorization_ratio"], rows["num_samples"])
    code = setting[~repeated].to_numpy(dtype=int)
    count = np.bincount(code)
    several = count > 1
    mean = np.bincount(code, values) / np.maximum(count, 1)
    deviations = np.bincount(code, (values - mean[code]) ** 2)
    noise = np.bincount(code, variances) / np.maximum(count, 1) * (count - 1)
    squares, binomial = float(deviations[several].sum()), float(noise[several].sum())
    degrees = int((count - 1)[several].sum())
    measured = max(squares - binomial, 0.0)
    variance = (ASSUMED_WEIGHT * ASSUMED_SPREAD**2 + measured) / (ASSUMED_WEIGHT + degrees)
    return SeedSpread(math.sqrt(variance), degrees)


def chi_square_quantile(probability: float, degrees: int) -> float:
    """Quantile of the chi-square distribution, by halving on the series of the incomplete gamma function."""
    low, high = 0.0, degrees + 20.0 * math.sqrt(degrees) + 20.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _chi_square_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _chi_square_cdf(value: float, degrees: int) -> float:
    a, x = degrees / 2, value / 2
    if x <= 0:
        return 0.0
    term = total = 1 / a
    step = 0
    while term > 1e-15 * total:
        step += 1
        term *= x / (a + step)
        total += term
    return min(total * math.exp(a * math.log(x) - x - math.lgamma(a)), 1.0)
