"""A metric over a factor, a curve per size: Tables 1 and 2 as a figure, Fig. 4, 5b, 7a, 7b, 8; 12-21 for others."""

import math
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import DISTINCT, colors, draw_curve, legend, metric_axis, new_figure, value_ticks
from analysis.runs.factors import Scale, factor, in_order, value_label, value_text
from analysis.runs.groups import summary
from analysis.runs.runs import Runs

_LOG_FROM = 100
"""The largest value over the smallest from which a number axis is logarithmic."""


def factor_data(runs: Runs, key: str, hue: str = "data.size", metric: str = "memorization_ratio") -> pd.DataFrame:
    """What `metric_over_factor` draws: `key`, `hue`, `value`, `low`, `high`, `trials`; see `summary`.

    Where there are more curves than colors are told apart, those of a single point are left out: a search trains each
    value at sizes of its own.
    """
    data = summary(runs, list(dict.fromkeys([key, hue])), metric)
    if hue == key or data[hue].nunique(dropna=False) <= DISTINCT:
        return data
    points = data.groupby(hue, dropna=False)[key].transform("size")
    return data[points > 1].reset_index(drop=True) if (points > 1).any() else data


def metric_over_factor(
    runs: Runs,
    key: str,
    metric: str = "memorization_ratio",
    hue: str = "data.size",
    title: str = "",
) -> Figure:
    """Draw a metric over the values of a factor, with 95% intervals, a curve per `hue`.

    Args:
        runs: usually those of a group.
        key: the factor, a dotted key.
        metric: `memorization_ratio`, `fid`, `knn_distance`.
        hue: the dotted key that has a curve per value; the factor itself stands for a single curve.
        title: of the axes.
    """
    data = factor_data(runs, key, hue, metric)
    figure = new_figure()
    axes = figure.axes[0]
    values = in_order(key, data[key])
    spacing = _possible(factor(key).scale, values)
    positions = [float(index) if spacing == "category" else float(value) for index, value in enumerate(values)]
    # The size over itself is one curve.
    groups = [None] if hue == key else in_order(hue, data[hue])
    for index, group in enumerate(groups):
        part = data if hue == key else data[data[hue].isna() if pd.isna(group) else data[hue] == group]
        x = [positions[_index(values, value)] for value in part[key]]
        order = np.argsort(x)
        x, part = [x[place] for place in order], part.iloc[order]
        draw_curve(axes, x, part, index, len(groups), "" if hue == key else value_label(hue, group))
    _ticks(axes, spacing, positions, [value_text(key, value) for value in values])
    axes.set(xlabel=factor(key).title, title=title)
    metric_axis(axes, metric)
    if hue != key:
        legend(axes)
    return figure


def trials_over_factor(runs: Runs, key: str, title: str = "", lowest: bool = False) -> Figure:
    """Draw the best ratio of each trial over the factor, with its own interval, the extreme one marked: of a search.

    Args:
        runs: trials may differ in other keys too.
        key: the factor, a dotted key.
        title: of the axes.
        lowest: mark the trial with the lowest ratio instead of the highest.
    """
    best = runs.best
    figure = new_figure()
    axes = figure.axes[0]
    values = in_order(key, best[key])
    spacing = _possible(factor(key).scale, values)
    x = [float(_index(values, value)) if spacing == "category" else float(value) for value in best[key]]
    y, low, high = (100 * best[f"memorization_ratio{end}"].to_numpy(dtype=float) for end in ("", "_low", "_high"))
    errors = np.stack([y - low, high - y]).clip(min=0)
    axes.errorbar(x, y, np.nan_to_num(errors), fmt="o", markersize=5, capsize=2, elinewidth=1, color=colors(1)[0],
                  alpha=0.8, label="trials")  # fmt: skip
    extreme = int(np.argmin(y) if lowest else np.argmax(y))
    label = "lowest" if lowest else "highest"
    axes.plot(x[extreme], y[extreme], "*", markersize=14, color=colors(2)[1], label=label, zorder=5)
    if spacing == "category":
        value_ticks(axes, range(len(values)), [value_text(key, value) for value in values])
    elif spacing == "log" and min(x) > 0:
        axes.set_xscale("log")
    axes.set(xlabel=factor(key).title, title=title)
    metric_axis(axes, "memorization_ratio")
    legend(axes)
    return figure


def _index(values: list[Any], value: Any) -> int:
    return next(i for i, known in enumerate(values) if known == value or (pd.isna(known) and pd.isna(value)))


def _possible(scale: Scale, values: list[Any]) -> Scale:
    """Return the scale that the values allow: a number axis needs numbers, and decades of them a logarithmic one."""
    numbers = all(isinstance(value, Real) and not isinstance(value, bool | np.bool_) for value in values)
    if not numbers or any(math.isnan(value) for value in values):
        return "category"
    decades = scale == "linear" and min(values) > 0 and max(values) >= _LOG_FROM * min(values)
    return "log" if decades else scale


def _ticks(axes: Axes, scale: Scale, positions: list[float], labels: list[str]) -> None:
    if scale == "log":
        positive = [number for number in positions if number > 0]
        if min(positions) > 0:
            axes.set_xscale("log")
        elif positive:
            # Zero belongs on the axis of a decay: linear up to the smallest positive value.
            axes.set_xscale("symlog", linthresh=min(positive), linscale=0.5)
    value_ticks(axes, positions, labels)
