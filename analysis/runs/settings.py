"""What tells two experiments apart: the settings that may change a ratio, without repeats and without bookkeeping.

One list for tables, figures, verdicts and comparisons, so that all of them match the same runs.
"""

from collections.abc import Sequence

import pandas as pd

from analysis.results.schema import CONDITIONAL, DEFAULTS, experiment_keys

REPEATS = ("seed", "data.seed")
"""Keys that repeat an experiment; results are averaged over them."""

MEASURING = (
    "evaluation.every_epochs",
    "evaluation.every_images",
    "evaluation.count",
    "evaluation.num_samples",
    "evaluation.batch_size",
    "evaluation.fid",
)
"""How often and with how many samples an experiment is looked at, and what is reported beside the ratio. Two runs that
differ in these alone are the same experiment; the sampler, its steps and the threshold do change the ratio."""


def setting_keys(frame: pd.DataFrame) -> list[str]:
    """The columns that tell experiments apart: those of `experiment_keys` without `REPEATS` and `MEASURING`."""
    return [key for key in experiment_keys(frame) if key not in REPEATS and key not in MEASURING]


def varies(column: pd.Series) -> bool:
    """Whether a setting differs among some rows; rows to which it means nothing do not count."""
    values = column.dropna() if column.name in CONDITIONAL else column
    return len(values.unique()) > 1


def varied_keys(frame: pd.DataFrame, known: Sequence[str] | None = None) -> list[str]:
    """The dotted keys that differ among the trials of a frame."""
    keys = experiment_keys(frame) if known is None else known
    return [key for key in keys if varies(frame[key])]


def for_fits(runs: pd.DataFrame) -> pd.DataFrame:
    """Settings that mean nothing to a run with their defaults, for fits that need a number in every row."""
    found = [key for key in CONDITIONAL if key in runs.columns]
    return runs.assign(**{key: runs[key].fillna(DEFAULTS[key]) for key in found})
