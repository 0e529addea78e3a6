"""Beside the ratio: which share of the training set is replicated, how unevenly, and whether duplicates hide it."""

import pandas as pd

from analysis.inference.coverage import coverage_table
from analysis.runs.labels import independent_keys
from analysis.runs.runs import Runs

COLUMNS = (
    "memorization_ratio",
    "calibrated_ratio",
    "replicas",
    "coverage",
    "coverage_if_uniform",
    "gini",
    "top_10_percent",
    "most_replicas",
    "near_duplicates",
)
"""The frame's columns, identity and settings aside."""
MEASURES = ("calibrated_ratio", "replicas", "coverage", "gini", "near_duplicates")
"""Of which a trial must have one to be listed."""
PERCENT = frozenset({"memorization_ratio", "calibrated_ratio", "coverage", "coverage_if_uniform", "top_10_percent"})


def replication_frame(runs: Runs) -> pd.DataFrame:
    """How each trial replicates its training set.

    Args:
        runs: of one sweep or several.

    Returns:
        A row a trial that reported or left any of `MEASURES`: `trial_id` (and `experiment`, of several), the
        settings that move, and the columns of `COLUMNS` that any trial has; shares in percent, `gini` in 0..1, counts.
    """
    rows = runs.best
    ident = ["experiment", "trial_id"]
    left = coverage_table(runs).set_index(ident)
    measured = [name for name in COLUMNS if name in left.columns and name not in rows.columns]
    rows = rows.join(left[measured].astype(float), on=ident)
    if "coverage" in left and "coverage" in rows.columns:  # reported, or else counted from the samples left behind
        counted = rows[ident].join(left["coverage"].rename("counted").astype(float), on=ident)["counted"]
        rows = rows.assign(coverage=pd.to_numeric(rows["coverage"]).fillna(counted))
    known = [name for name in COLUMNS if name in rows.columns and rows[name].notna().any()]
    kept = [name for name in MEASURES if name in known]
    rows = rows[rows[kept].notna().any(axis=1)] if kept else rows.iloc[:0]
    keys = independent_keys(runs.best[runs.counted.varied_settings]) or ["data.size"]
    first = [name for name in ident if name != "experiment" or len(rows[name].unique()) > 1]
    data = rows[[*first, *keys, *known]].reset_index(drop=True)
    return data.assign(**{name: 100 * pd.to_numeric(data[name]) for name in data.columns if name in PERCENT})
