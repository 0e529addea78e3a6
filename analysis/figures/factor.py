"""A metric over a factor, a curve per size: Tables 1 and 2 as a figure, Fig. 4, 5b, 7a, 7b, 8; 12-21 for others."""

import math
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    DISTINCT,
    colors,
    draw_curve,
    legend,
    metric_axis,
    new_figure,
    place_of,
    rows_of,
    value_ticks,
)
from analysis.runs.factors import Scale, factor, in_order, value_label, value_text
from analysis.runs.groups import summary
from analysis.runs.runs import Runs

_LOG_FROM = 100
"""The largest value over the smallest from which a number axis is logarithmic."""


def factor_data(runs: Runs, key: str, hue: str = "data.size", metric: str = "memorization_ratio") -> pd.DataFrame:
    """What `metric_over_factor` draws: `key`, `hue`, `value`, `low`, `high`, `trials`; see `summary`.

    Where there are more curves than distinct colors, those of a single point are left out: a search trains each
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
    data: pd.DataFrame | None = None,
) -> Figure:
    """Draw `factor_data` with 95% intervals, a curve per value of `hue`; the factor itself makes a single curve.

    `data` is what that returns, where it is known already.
    """
    data = factor_data(runs, key, hue, metric) if data is None else data
    figure = new_figure()
    axes = figure.axes[0]
    values = in_order(key, data[key])
    spacing = _possible(factor(key).scale, values)
    positions = [float(index) if spacing == "category" else float(value) for index, value in enumerate(values)]
    # The size over itself is one curve.
    groups = [None] if hue == key else in_order(hue, data[hue])
    for index, group in enumerate(groups):
        part = data if hue == key else rows_of(data, hue, group)
        x = [positions[place_of(values, value)] for value in part[key]]
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

    Trials may differ in other keys too. Marked is the highest ratio, or the `lowest`.
    """
    best = runs.best
    figure = new_figure()
    axes = figure.axes[0]
    values = in_order(key, best[key])
    spacing = _possible(factor(key).scale, values)
    x = [float(place_of(values, value)) if spacing == "category" else float(value) for value in best[key]]
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


def skips_data(runs: Runs, metric: str = "memorization_ratio") -> pd.DataFrame:
    """Masks that keep connections of one resolution only.

    Args:
        runs: usually those of a group; `model.skip_connections` is text such as `1,0,0`, in
            encoder order: depth + 1 connections at each resolution, the highest first.
        metric: see `analysis.best`.

    Returns:
        `mask`, `level` (0 is the highest resolution), `kept` (number of connections), `index` (from 1, of a
        single connection; missing otherwise), `value`, `low`, `high`, `trials`. Other masks are left out.
    """
    data = summary(runs, ["model.skip_connections", "model.depth", "data.size"], metric)
    rows = []
    for _, row in data.iterrows():
        mask = row["model.skip_connections"]
        if pd.isna(mask):
            continue
        places = [index for index, bit in enumerate(str(mask).split(",")) if bit == "1"]
        levels = {place // (int(row["model.depth"]) + 1) for place in places}
        if len(levels) == 1:
            index = places[0] + 1 if len(places) == 1 else None
            rows.append({"mask": mask, "data.size": row["data.size"], "level": levels.pop(), "kept": len(places),
                         "index": index, **{key: row[key] for key in ("value", "low", "high", "trials")}})  # fmt: skip
    columns = ["mask", "data.size", "level", "kept", "index", "value", "low", "high", "trials"]
    return pd.DataFrame(rows, columns=columns).astype({"index": "Int64"})


def metric_over_skips(data: pd.DataFrame, resolution: int | None = None, metric: str = "memorization_ratio",
                      title: str = "") -> Figure:  # fmt: skip
    """Draw a metric over resolution for each number kept (left) and over the place of a single one (right).

    Args:
        data: of `skips_data`, of one |D|; several masks of one resolution and number are averaged.
        resolution: pixels a side of the images, for the ticks; none numbers the levels.
        metric: for the axis.
        title: over both.
    """
    figure = new_figure(width=9.6, height=3.8, columns=2)
    left, right = figure.axes
    kept = sorted(set(data["kept"]), reverse=True)
    for index, number in enumerate(kept):
        part = data[data["kept"] == number].groupby("level", as_index=False)[["value", "low", "high"]].mean()
        draw_curve(left, part["level"].to_list(), part, index, len(kept), f"{number} kept")
    levels = sorted(set(data["level"]))
    names = [f"{resolution >> level}x{resolution >> level}" if resolution else f"level {level}" for level in levels]
    left.set_xticks(levels, names)
    left.set_xlabel("Resolution of the skip connections kept")
    single = data[data["index"].notna()].sort_values("index")
    for position, level in enumerate(levels):
        part = single[single["level"] == level]
        if len(part):
            draw_curve(right, part["index"].astype(int).to_list(), part, position, len(levels), names[position])
    right.set_xlabel("Place of the single skip connection kept (encoder order)")
    if len(single):
        right.set_xticks(sorted(set(single["index"].astype(int))))
    for axes in (left, right):
        metric_axis(axes, metric)
        legend(axes)
    figure.suptitle(title, parse_math=False)
    return figure


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
