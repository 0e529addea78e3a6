"""What a disturbed run has lost, counted twice or changed, beside an undisturbed one of the same command line."""

from pathlib import Path

import pandas as pd

_KEYS = ["trial_id", "images_seen"]
_OF_THE_MACHINE = ("experiment", "folder", "seconds", "images_per_second")
"""Columns that are no result of a trial."""


def differences(undisturbed: Path, disturbed: Path) -> dict[str, int]:
    """Compare the tables of two runs, each number bit for bit.

    Returns:
        trials and evaluations of the undisturbed run; lost_trials, without the same last evaluation in the disturbed
        one; lost_evaluations; attempts_as_trials, folders or trials of the table that the undisturbed run has not;
        compared_numbers; changed_numbers.
    """
    expected, found = (_table(run) for run in (undisturbed, disturbed))
    last = [set(table.reset_index().groupby("trial_id")["images_seen"].max().items()) for table in (expected, found)]
    both = expected.index.intersection(found.index)
    columns = [name for name in expected.columns if name not in _OF_THE_MACHINE]
    one, other = expected.loc[both, columns], found.reindex(columns=columns).loc[both]
    equal = (one == other) | (one.isna() & other.isna())
    more_rows = len(found.index.difference(expected.index)) + int(found.index.duplicated().sum())
    return {
        "trials": len(last[0]),
        "evaluations": len(expected),
        "lost_trials": len(last[0] - last[1]),
        "lost_evaluations": len(expected.index.difference(found.index)),
        "attempts_as_trials": len(_folders(disturbed) - _folders(undisturbed)) + more_rows,
        "compared_numbers": int(equal.size),
        "changed_numbers": int((~equal.fillna(False)).sum().sum()),
    }


def _table(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "table.parquet").set_index(_KEYS, drop=False).rename_axis(["trial", "at"]).sort_index()


def _folders(run: Path) -> set[str]:
    return {path.name for path in run.iterdir() if path.is_dir()}
