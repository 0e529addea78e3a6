"""Memorization time over |D|, log-log, with its slope."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import colors, legend, new_figure, plain_log_axis, size_axis
from analysis.inference.memorization_time import Clock, Scaling, memorization_times, predicted, time_scaling
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError


def memorization_time_data(
    runs: Runs, level: float = 0.5, clock: Clock = "epoch"
) -> tuple[pd.DataFrame, Scaling | None]:
    """What `memorization_time` draws: a row a trial, and the fit where two sizes allow one."""
    times = memorization_times(runs, level, clock)
    try:
        return times, time_scaling(times)
    except MemosweepError:
        return times, None


def memorization_time(runs: Runs, level: float = 0.5, clock: Clock = "epoch", title: str = "") -> Figure:
    """Draw the first time at which the ratio passes `level` over |D|; bars span the evaluations around it.

    Trials that never pass, or pass before their first evaluation, are bounds: open marks that point to where the
    time lies.
    """
    times, scaling = memorization_time_data(runs, level, clock)
    figure = new_figure()
    axes = figure.axes[0]
    color, line = colors(2)
    sizes = times["data.size"].astype(float)
    for kind, marker, label in (
        ("passed", "o", f"ratio passes {100 * level:g}%"),
        ("never", "^", "never passed (lower bound)"),
        ("first", "v", "passed before the first evaluation (upper bound)"),
    ):
        part, x = times[times["kind"] == kind], sizes[times["kind"] == kind]
        if part.empty:
            continue
        errors = np.stack([part["time"] - part["low"], part["high"] - part["time"]]) if kind == "passed" else None
        axes.errorbar(x, part["time"], errors, fmt=marker, color=color, capsize=2.5, elinewidth=1, label=label,
                      markerfacecolor=color if kind == "passed" else "white")  # fmt: skip
    if scaling is not None:
        fitted = sizes[times["kind"] == "passed"]
        ends = [float(fitted.min()), float(fitted.max())]
        interval = f" [{scaling.low:.2f}, {scaling.high:.2f}]" if np.isfinite(scaling.low) else " (two points)"
        axes.plot(ends, predicted(scaling, ends), color=line, linestyle="--",
                  label=f"slope {scaling.slope:.2f}{interval}")  # fmt: skip
    size_axis(axes, times["data.size"].astype(int).to_list())
    passed = times[times["kind"] == "passed"]
    plain_log_axis(axes, pd.concat([times["time"], passed["low"], passed["high"]]))
    axes.set(ylabel="Epoch" if clock == "epoch" else "Training images seen", title=title)
    legend(axes)
    return figure
