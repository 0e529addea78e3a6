"""Averages over repeats of an experiment, with 95% intervals that narrow as repeats are added."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

from analysis.runs.final import stopped_early
from analysis.runs.seeds import SeedSpread
from analysis.stats.binomial import empirical_logit
from analysis.stats.significance import normal_quantile

RATIO = "memorization_ratio"


def averaged(rows: pd.DataFrame, keys: Sequence[str], metric: str, spread: SeedSpread) -> pd.DataFrame:
    """Return the mean of a metric over the trials of each group.

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
    # Student's half-width in standard errors, NaN for a single trial.
    half = data["spread"] * special.stdtrit(data["trials"].astype(float) - 1, 0.975)
    return data.assign(low=data["value"] - half, high=data["value"] + half)[[*keys, "value", "low", "high", "trials"]]


def _ratios(rows: pd.DataFrame, keys: list[str], spread: SeedSpread) -> pd.DataFrame:
    samples = rows["num_samples"].astype("float64")
    work = rows[keys].assign(
        value=rows[RATIO].astype("float64") * samples,
        low=rows["memorization_ratio_low"],
        high=rows["memorization_ratio_high"],
        trials=1,
        samples=samples,
        reached=stopped_early(rows),
    )
    how = {"value": "sum", "low": "first", "high": "first", "trials": "sum", "samples": "sum", "reached": "sum"}
    data = work.groupby(keys, dropna=False, sort=True).agg(how).reset_index()
    memorized, total, trials, first_low, first_high = (
        data[name].to_numpy(dtype=float) for name in ("value", "samples", "trials", "low", "high")
    )
    value = memorized / total
    center, variance = empirical_logit(value, total)
    reach = normal_quantile() * np.sqrt(variance + spread.logit**2 / trials)
    low, high = special.expit(center - reach), special.expit(center + reach)
    single = trials == 1
    low = np.where(single, first_low, np.minimum(low, value))
    high = np.where(single, first_high, np.maximum(high, value))
    return data.assign(value=100 * value, low=100 * low, high=100 * high)
