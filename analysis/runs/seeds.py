"""How far a memorization ratio may be from the one of another training run: binomial noise and training seeds.

Everything is said in logits, ln(p / (1 - p)), because there the spread between training seeds hardly depends
on the ratio: six seeds of small runs spread by 0.03 at a ratio of 0.85 and by 0.05 at 0.55, which is 0.2 in
logits both times. Near 0 and 1 the ratio itself hides any effect; the empirical logit then has a large
variance, so that such runs count for little.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.runs.settings import REPEATS, setting_keys, varies
from analysis.stats.binomial import empirical_logit

ASSUMED_SPREAD = 0.2
"""Standard deviation between training seeds in logits where a frame has no repeats: 0.03 to 0.05 in the ratio."""

ASSUMED_WEIGHT = 2
"""Degrees of freedom that the assumption counts for beside measured repeats."""


@dataclass(frozen=True)
class SeedSpread:
    """The standard deviation of a ratio between training seeds, in logits."""

    logit: float
    degrees: int
    """Degrees of freedom of the frame's own repeats; 0 means that the spread is assumed."""

    @property
    def points(self) -> float:
        """The standard deviation in points at a ratio of 50%, where it is largest."""
        return 25 * self.logit

    @property
    def basis(self) -> str:
        """Where the number comes from, in words."""
        if self.degrees == 0:
            return "assumed: no setting was run with two seeds and ratios away from 0 and 100%"
        return (
            f"from settings that were run with several seeds ({self.degrees} degrees of freedom) and the assumed "
            f"{ASSUMED_SPREAD}"
        )

    def __str__(self) -> str:
        return f"{self.logit:.2f} in logits ({self.points:.1f} points at a ratio of 50%), {self.basis}"


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
    varied = [key for key in keys if varies(informative[key])]
    setting = informative.groupby(varied, dropna=False).ngroup() if varied else pd.Series(0, index=informative.index)
    seeds = [key for key in REPEATS if key in informative]
    repeated = informative[seeds].assign(setting=setting).duplicated() & bool(seeds)
    rows = informative[~repeated]
    values, variances = empirical_logit(rows["memorization_ratio"], rows["num_samples"])
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
