"""One row per finished trial with the paper's number of it, ready for fits."""

import pandas as pd

from analysis.errors import AnalysisError
from analysis.runs.final import NO_FINAL_RATIO, best, finished


def best_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """The best evaluation of each finished trial.

    Args:
        frame: of `analysis.load`.

    Returns:
        Rows of `analysis.best` of the trials that `analysis.runs.final.finished` keeps; what it leaves out, and which
        ratios are lower bounds, `analysis.runs.final.left_out` says.

    Raises:
        AnalysisError: no trial has a ratio.
    """
    runs = best(finished(frame))
    if len(runs):
        return runs
    if len(best(frame)):
        raise AnalysisError(NO_FINAL_RATIO)
    raise AnalysisError("no trial has reported a memorization ratio yet")
