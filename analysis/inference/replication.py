"""Beside the ratio: which share of the training set is replicated, how unevenly, and whether duplicates hide it."""

from collections.abc import Mapping

import pandas as pd

from analysis.inference.coverage import coverage_table
from analysis.runs.factors import factor, value_text
from analysis.runs.final import best
from analysis.runs.labels import independent_keys
from analysis.tables.best import naming_keys
from analysis.tables.render import Grid

TITLES: Mapping[str, str] = {
    "experiment": "Experiment",
    "trial_id": "Trial",
    "memorization_ratio": "Ratio (%)",
    "calibrated_ratio": "Calibrated ratio (%)",
    "replicas": "Replicas",
    "coverage": "Coverage (%)",
    "coverage_if_uniform": "If at random (%)",
    "gini": "Gini",
    "top_10_percent": "Top 10% hold (%)",
    "most_replicas": "Most of one image",
    "near_duplicates": "Near-duplicates",
}
"""Columns of the table and their headings, settings aside."""
MEASURES = ("calibrated_ratio", "replicas", "coverage", "gini", "near_duplicates")
"""Of which a trial must have one to be listed."""
PERCENT = frozenset({"memorization_ratio", "calibrated_ratio", "coverage", "coverage_if_uniform", "top_10_percent"})
NOTE = (
    "At each trial's best evaluation. Coverage: the share of the training images that were replicated at least once, "
    "beside what as many replicas would reach at random. Gini: 0 where all images are replicated equally often, near 1 "
    "where a few hold all replicas; beside it the share of replicas that the most replicated 10% of the images hold. "
    "Calibrated ratio: samples whose distance is below half of the mean to their nearest neighbours (Carlini et al. "
    "2023). Near-duplicates: training images with a near copy among the others, which blind the 1/3 rule."
)


def replication_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """How each trial replicates its training set.

    Args:
        frame: of `analysis.load`.

    Returns:
        A row a trial that reported or left any of `MEASURES`: `trial_id` (and `experiment`, of several), the
        settings that move, and the columns of `TITLES` that any trial has; shares in percent, `gini` in 0..1, counts.
    """
    runs = best(frame).reset_index(drop=True)
    ident = ["experiment", "trial_id"]
    left = coverage_table(frame).set_index(ident)
    measured = [name for name in TITLES if name in left.columns and name not in runs.columns]
    runs = runs.join(left[measured].astype(float), on=ident)
    if "coverage" in left and "coverage" in runs.columns:  # reported, or else counted from the samples left behind
        counted = runs[ident].join(left["coverage"].rename("counted").astype(float), on=ident)["counted"]
        runs = runs.assign(coverage=pd.to_numeric(runs["coverage"]).fillna(counted))
    known = [name for name in TITLES if name in runs.columns and runs[name].notna().any()]
    kept = [name for name in MEASURES if name in known]
    runs = runs[runs[kept].notna().any(axis=1)] if kept else runs.iloc[:0]
    keys = independent_keys(best(frame)[naming_keys(frame)]) or ["data.size"]
    first = [name for name in ident if name != "experiment" or len(runs[name].unique()) > 1]
    data = runs[[*first, *keys, *(name for name in known if name not in ident)]].reset_index(drop=True)
    return data.assign(**{name: 100 * pd.to_numeric(data[name]) for name in data.columns if name in PERCENT})


def replication_grid(frame: pd.DataFrame) -> Grid:
    """The table of `replication_frame` as text."""
    data = replication_frame(frame)
    header = [TITLES.get(name) or factor(name).title for name in data.columns]
    rows = [[_text(name, value) for name, value in zip(data.columns, row, strict=True)]
            for row in data.itertuples(index=False)]  # fmt: skip
    return Grid("Coverage and concentration of replicas", header, rows, [NOTE])


def _text(name: str, value: object) -> str:
    if name not in TITLES:
        return value_text(name, value)
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return value if isinstance(value, str) else f"{float(value):.4g}"  # type: ignore[arg-type]
