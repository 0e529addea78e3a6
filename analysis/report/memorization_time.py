"""How the time to memorize grows with |D|, a row per setting."""

import math

import pandas as pd

from analysis.inference.memorization_time import memorization_times, scaling_panels, time_scaling
from analysis.report.blocks import Cell, Table, table
from analysis.runs.factors import size_text
from analysis.runs.labels import names

LEVEL = 0.5
ROWS = 40


def memorization_time_table(frame: pd.DataFrame, level: float = LEVEL) -> list[Table]:
    """The table of slopes, if two sizes of any setting pass the level.

    Args:
        frame: of `analysis.load`, finished trials.
        level: memorization ratio in (0, 1).
    """
    every = scaling_panels(frame, level)
    if not every:
        return []
    found, fixed = every[:ROWS], pd.DataFrame([panel.fixed for panel in every])
    titles = names(fixed[:ROWS], among=fixed) if len(found) > 1 else [found[0].title]
    rows = []
    for panel, title in zip(found, titles, strict=True):
        times = memorization_times(panel.frame, level, "images_seen")
        scaling = time_scaling(times)
        sizes = times.loc[times["kind"] == "passed", "data.size"]
        ends = [Cell.of(end, f"{end:.2f}") if math.isfinite(end) else Cell("no bound", end)
                for end in (scaling.low, scaling.high)]  # fmt: skip
        reach = f"{size_text(int(sizes.min()))} to {size_text(int(sizes.max()))}"
        rows.append([Cell(title or "all runs"), Cell(reach), Cell.of(scaling.slope, f"{scaling.slope:.2f}"), *ends,
                     Cell.of(scaling.trials), Cell.of(scaling.censored)])  # fmt: skip
    columns = ["Setting", "|D|", "Slope", "95% low", "95% high", "Trials", "Bounds"]
    note = (
        f"The images that a trial has seen when its ratio first passes {100 * level:g}%, over |D|: the slope of a line "
        "in log-log (1 where the time grows in proportion to |D|). Its interval allows for the evaluations between "
        "which each time lies and for the scatter of trials. Bounds: trials left out since they had passed at their "
        "first evaluation or never did; with many of them at the large sizes the slope is too small."
    )
    return [table("memorization-time", "Memorization time over |D|", note, columns, rows)]
