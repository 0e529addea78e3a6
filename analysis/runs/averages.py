"""Averages over repeats of an experiment, with 95% intervals that narrow as repeats are added."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.runs.final import stopped_early
from analysis.runs.seeds import SeedSpread
from analysis.stats.binomial import FloatArray
from analysis.stats.significance import normal_quantile

RATIO = "memorization_ratio"


def averaged(rows: pd.DataFrame, keys: Sequence[str], metric: str, spread: SeedSpread) -> pd.DataFrame:
    """The mean of a metric over the trials of each group.

    The interval of a single trial's ratio is the one that it reports (Wilson: its samples alone). Over several it is
    normal in logits, around the pooled ratio, and its variance is that of the pooled samples plus that of training
    seeds over the number of trials: another choice of seeds is part of it. FID and kNN distance have Student's
    interval over trials, and none for a single one.

    Args:
        rows: one row a trial and group; ratios in 0..1 with `num_samples` behind them.
        keys: what tells groups apart; a missing value is one of its own.
        metric: `memorization_ratio`, `fid`, `knn_distance`.
        spread: of training seeds, used for ratios.

    Returns:
        `keys`, `value`, `low`, `high` (ratios in percent), `trials`; for ratios also `samples`, those of all trials,
        and `reached`, the trials whose ratio is a lower bound as they were stopped on reaching a target. Sorted by
        `keys`.
    """
    if metric == RATIO:
        return _ratios(rows, list(keys), spread)
    grouped = rows.groupby(list(keys), dropna=False, sort=True)
    data = grouped.agg(value=(metric, "mean"), spread=(metric, "sem"), trials=(metric, "size")).reset_index()
    half = data["spread"] * [_student(int(trials)) for trials in data["trials"]]
    return data.assign(low=data["value"] - half, high=data["value"] + half)[[*keys, "value", "low", "high", "trials"]]


def _ratios(rows: pd.DataFrame, keys: list[str], spread: SeedSpread) -> pd.DataFrame:
    samples = rows["num_samples"].astype("float64")
    work = rows[[*keys, "memorization_ratio_low", "memorization_ratio_high"]].assign(
        memorized=rows[RATIO].astype("float64") * samples, samples=samples, reached=stopped_early(rows)
    )
    data = (
        work.groupby(keys, dropna=False, sort=True)
        .agg(
            memorized=("memorized", "sum"),
            samples=("samples", "sum"),
            low=("memorization_ratio_low", "first"),
            high=("memorization_ratio_high", "first"),
            trials=("samples", "size"),
            reached=("reached", "sum"),
        )
        .reset_index()
    )
    memorized, total = data["memorized"].to_numpy(dtype=float), data["samples"].to_numpy(dtype=float)
    trials = data["trials"].to_numpy(dtype=float)
    value = memorized / total
    low, high = _interval(memorized, total, trials, spread)
    single = trials == 1
    low = np.where(single, data["low"].to_numpy(dtype=float), np.minimum(low, value))
    high = np.where(single, data["high"].to_numpy(dtype=float), np.maximum(high, value))
    numbers = {"value": 100 * value, "low": 100 * low, "high": 100 * high}
    return data.assign(**numbers)[[*keys, "value", "low", "high", "trials", "samples", "reached"]]


def _interval(
    memorized: FloatArray, total: FloatArray, trials: FloatArray, spread: SeedSpread
) -> tuple[FloatArray, FloatArray]:
    """Ends in 0..1 of the interval over several trials."""
    hits, misses = memorized + 0.5, total - memorized + 0.5
    reach = normal_quantile() * np.sqrt(1 / hits + 1 / misses + spread.logit**2 / trials)
    center = np.log(hits / misses)
    return 1 / (1 + np.exp(reach - center)), 1 / (1 + np.exp(-reach - center))


def _student(trials: int) -> float:
    """Half-width of a 95% interval of a mean, in standard errors."""
    if trials < 2:
        return math.nan
    from scipy import stats  # noqa: PLC0415 (a second to import, and single seeds need it not)

    return float(stats.t.ppf(0.975, trials - 1))
