"""How the time to memorize grows with |D|, a row per setting."""

import pandas as pd

from analysis.inference.memorization_time import memorization_times, scaling_groups, time_scaling
from analysis.runs.factors import size_text
from analysis.runs.labels import names
from analysis.runs.runs import Runs
from analysis.tables import columns
from analysis.tables.table import Table

LEVEL = 0.5
MAX_ROWS = 40


def memorization_time_table(runs: Runs, level: float = LEVEL) -> Table:
    """Return the slopes of time over |D|, a row per setting of which two sizes pass the level.

    Args:
        runs: of one sweep or several.
        level: memorization ratio in (0, 1).
    """
    every = scaling_groups(runs, level)
    found, fixed = every[:MAX_ROWS], pd.DataFrame([group.fixed for group in every])
    titles = names(fixed[:MAX_ROWS], among=fixed) if len(found) > 1 else [group.title for group in found]
    rows = []
    for group, title in zip(found, titles, strict=True):
        times = memorization_times(group.runs, level, "images_seen")
        scaling = time_scaling(times)
        sizes = times.loc[times["kind"] == "passed", "data.size"]
        reach = f"{size_text(int(sizes.min()))} to {size_text(int(sizes.max()))}"
        rows.append(
            [title or "all runs", reach, scaling.slope, scaling.low, scaling.high, scaling.trials, scaling.censored]
        )
    kinds = [
        *columns.texts("Setting", "|D|"),
        *columns.with_interval("Slope", ".2f"),
        *columns.texts("Trials", "Bounds"),
    ]
    note = (
        f"The images that a trial has seen when its ratio first passes {100 * level:g}%, over |D|: the slope of a line "
        "in log-log (1 where the time grows in proportion to |D|). Its interval allows for the evaluations between "
        "which each time lies and for the scatter of trials. Bounds: trials left out since they had passed at their "
        "first evaluation or never did; with many of them at the large sizes the slope is too small."
    )
    return Table("memorization-time", "Memorization time over |D|", kinds, rows, [note])
