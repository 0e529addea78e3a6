"""The memorization ratio over a factor, a curve per size: Tables 1 and 2 as a figure, Fig. 4, 5b, 7a, 7b, 8."""

from typing import Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import MARKERS, PALETTE, new_figure
from analysis.tables import best

Scale = Literal["linear", "log", "category"]


def factor_data(frame: pd.DataFrame, key: str, hue: str = "data.size") -> pd.DataFrame:
    """What `ratio_over_factor` draws: a row per (value, hue), the best ratio in percent with its interval.

    Several seeds are averaged; their interval then spans the widest of their own intervals.
    """
    runs = best(frame)
    grouped = runs.groupby([key, hue], dropna=False, sort=True)
    data = grouped.agg(
        memorization_ratio=("memorization_ratio", "mean"),
        low=("memorization_ratio_low", "min"),
        high=("memorization_ratio_high", "max"),
        trials=("memorization_ratio", "size"),
    )
    return (data.reset_index()).assign(
        memorization_ratio=lambda d: 100 * d["memorization_ratio"],
        low=lambda d: 100 * d["low"],
        high=lambda d: 100 * d["high"],
    )


def ratio_over_factor(
    frame: pd.DataFrame, key: str, title: str, scale: Scale = "category", hue: str = "data.size"
) -> Figure:
    """Draw the best ratio over the values of `key`, with 95% intervals, a curve per `hue`."""
    data = factor_data(frame, key, hue)
    figure = new_figure()
    axes = figure.axes[0]
    values = list(dict.fromkeys(data[key]))
    positions = {value: float(index) if scale == "category" else float(value) for index, value in enumerate(values)}
    groups = list(dict.fromkeys(data[hue]))
    colours = sns.color_palette(PALETTE, len(groups))
    for group, colour, marker in zip(groups, colours, MARKERS * len(groups), strict=False):
        part = data[data[hue] == group]
        x = part[key].map(positions).to_numpy(dtype=float)
        y = part["memorization_ratio"].to_numpy()
        errors = np.stack([y - part["low"].to_numpy(), part["high"].to_numpy() - y]).clip(min=0)
        label = f"|D| = {group:,}" if hue == "data.size" else f"{hue.rpartition('.')[2]} = {group}"
        axes.errorbar(x, y, errors, color=colour, marker=marker, capsize=3, label=label, linewidth=1.8)
    _scale(axes, scale, values)
    axes.set(xlabel=title, ylabel="Ratio (%) of memorization", ylim=(-3, 103))
    axes.legend(frameon=True)
    return figure


def _scale(axes: Axes, scale: Scale, values: list[object]) -> None:
    if scale == "category":
        axes.set_xticks(range(len(values)), [str(value) for value in values])
    elif scale == "log":
        numbers = sorted(float(value) for value in values)  # type: ignore[arg-type]
        positive = [number for number in numbers if number > 0]
        if numbers[0] > 0:
            axes.set_xscale("log")
        elif positive:
            # Zero belongs on the axis of a decay: linear up to the smallest positive value.
            axes.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
        axes.set_xticks(numbers, [f"{number:g}" for number in numbers])
        axes.minorticks_off()
