"""One row per finished or running trial with the paper's number of it, ready for fits."""

import pandas as pd

from analysis.errors import AnalysisError
from analysis.observations import PAPER_SAMPLES
from analysis.tables import best

_RISING = ("running", "interrupted", "error")


def best_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """The best evaluation of each trial, with the number of its samples filled in.

    Args:
        frame: of `analysis.load`.

    Returns:
        Rows of `analysis.best`. Where an older run did not report `num_samples`, it is what its evaluation was
        set to, or else the paper's 10,000.

    Raises:
        AnalysisError: no trial has a ratio.
    """
    runs = best(frame)
    if runs.empty:
        raise AnalysisError("no trial has reported a memorization ratio yet")
    counts = runs["num_samples"]
    if "evaluation.num_samples" in runs.columns:
        counts = counts.fillna(runs["evaluation.num_samples"])
    return runs.assign(num_samples=counts.fillna(PAPER_SAMPLES).astype("int64"))


def caveats(runs: pd.DataFrame) -> list[str]:
    """What makes the ratios of these runs less than final, a line each.

    Args:
        runs: of `best_runs`.
    """
    lines = []
    unfinished = int(runs["status"].isin(_RISING).sum())
    if unfinished:
        lines.append(f"{unfinished} of {len(runs)} trials are unfinished: their ratios may still rise")
    if "verdict" in runs.columns:
        stopped = int(runs["verdict"].isin(["reached", "will_not_reach"]).sum())
        if stopped:
            lines.append(
                f"{stopped} of {len(runs)} trials were stopped by an early verdict: their ratios are lower than after "
                "full training"
            )
    return lines
