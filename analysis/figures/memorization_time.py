"""Memorization time over |D|, log-log, with its slope: one figure, a color per setting."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import MARKERS, colors, legend, move_aside, new_figure, plain_log_axis, size_axis
from analysis.inference.memorization_time import Clock, Scaling, memorization_times, predicted, time_scaling
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError

_BOUNDS = {
    "never": ("^", "not passed by the end (at least this)"),
    "first": ("v", "passed before the first evaluation"),
}
"""By kind of time: marker and legend."""


@dataclass(frozen=True)
class MemorizationTimes:
    """A row a trial, of `analysis.inference.memorization_time`, and the fit where two sizes allow one."""

    times: pd.DataFrame
    scaling: Scaling | None

    @property
    def sizes_passed(self) -> int:
        """At how many |D| a trial passed the level between two evaluations."""
        return int(self.times.loc[self.times["kind"] == "passed", "data.size"].nunique())


def memorization_time_data(runs: Runs, level: float = 0.5, clock: Clock = "epoch") -> MemorizationTimes:
    """Return what `memorization_time` draws of some runs, usually those of a group."""
    times = memorization_times(runs, level, clock)
    try:
        return MemorizationTimes(times, time_scaling(times))
    except MemosweepError:
        return MemorizationTimes(times, None)


def memorization_time(
    parts: Mapping[str, MemorizationTimes], level: float = 0.5, clock: Clock = "epoch", title: str = ""
) -> Figure:
    """Draw the first time at which the ratio passes `level` over |D|; bars span the evaluations around it.

    Trials that never pass, or pass before their first evaluation, are bounds: open marks that point to where the
    time lies.

    Args:
        parts: by what distinguishes their runs; an empty name where there is one.
        level: memorization ratio in (0, 1).
        clock: that the times are in.
        title: of the axes.
    """
    figure = new_figure()
    axes = figure.axes[0]
    for index, (name, part) in enumerate(parts.items()):
        _draw(axes, part, index, len(parts), name or f"ratio passes {100 * level:g}%")
    everything = pd.concat([part.times for part in parts.values()])
    for kind, (marker, meaning) in _BOUNDS.items():
        if (everything["kind"] == kind).any():
            axes.plot([], [], marker, color="0.35", markerfacecolor="white", linestyle="none", label=meaning)
    size_axis(axes, everything["data.size"].astype(int).to_list())
    passed = everything[everything["kind"] == "passed"]
    plain_log_axis(axes, pd.concat([everything["time"], passed["low"], passed["high"]]))
    unit = "Epoch" if clock == "epoch" else "Training images seen"
    axes.set(ylabel=f"{unit} at which the ratio passes {100 * level:g}%", title=title)
    legend(axes)
    return figure


def _draw(axes: Axes, part: MemorizationTimes, index: int, count: int, name: str) -> None:
    color, times, scaling = colors(count)[index], part.times, part.scaling
    sizes = times["data.size"].astype(float)
    is_passed = times["kind"] == "passed"
    passed, x = times[is_passed], sizes[is_passed]
    interval = ""
    if scaling is not None:
        ends = [float(x.min()), float(x.max())]
        reach = f" [{scaling.low:.2f}, {scaling.high:.2f}]" if np.isfinite(scaling.low) else " (two points)"
        interval = f": slope {scaling.slope:.2f}{reach}"
        axes.plot(ends, predicted(scaling, ends), color=color, linestyle="--", linewidth=1.2)
    errors = np.stack([passed["time"] - passed["low"], passed["high"] - passed["time"]])
    drawn = axes.errorbar(x, passed["time"], errors, fmt=MARKERS[index % len(MARKERS)], color=color, capsize=2.5,
                          elinewidth=1, label=f"{name}{interval}")  # fmt: skip
    move_aside(axes, drawn, index, count)
    for kind, (marker, _) in _BOUNDS.items():
        bound = times["kind"] == kind
        axes.plot(sizes[bound], times.loc[bound, "time"], marker, color=color, markerfacecolor="white")
