"""A metric over |D|, a curve per value of a factor, with the 1 - zeta line: Fig. 2, 3, 5a, 11; 12-21 for others."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import colors, draw_curve, legend, metric_axis, new_figure, rows_of, size_axis
from analysis.inference.emm import group_crossings
from analysis.runs.factors import in_order, size_text, value_label
from analysis.runs.groups import Group, summary
from analysis.runs.runs import Runs


def size_data(runs: Runs, key: str, metric: str = "memorization_ratio") -> pd.DataFrame:
    """What `metric_over_size` draws: `key`, `data.size`, `value`, `low`, `high`, `trials`; see `summary`."""
    return summary(runs, [key, "data.size"] if key != "data.size" else [key], metric)


def metric_over_size(
    runs: Runs, key: str, metric: str = "memorization_ratio", zeta: float = 0.1, title: str = ""
) -> Figure:
    """Draw `size_data` with 95% intervals, a curve per value of `key`; `data.size` itself makes a single curve.

    Ratios have the line 1 - `zeta` and their crossings with it.
    """
    data = size_data(runs, key, metric)
    figure = new_figure()
    axes = figure.axes[0]
    values = in_order(key, data[key]) if key != "data.size" else [None]
    marked = group_crossings(Group(key, {}, runs), (zeta,)) if metric == "memorization_ratio" else None
    for index, value in enumerate(values):
        part = data if key == "data.size" else rows_of(data, key, value)
        label = "" if key == "data.size" else value_label(key, value)
        draw_curve(axes, part["data.size"].astype(float).to_list(), part, index, len(values), label or "_one")
        if marked is not None:
            _mark(axes, rows_of(marked, "value", value), colors(len(values))[index], index, zeta)
    size_axis(axes, data["data.size"].astype(int).to_list())
    if metric == "memorization_ratio":
        axes.axhline(100 * (1 - zeta), color="0.35", linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(f"1 - zeta = {100 * (1 - zeta):g}%", (0.99, 100 * (1 - zeta)), (0, 2), ha="right", fontsize=7.5,
                      xycoords=("axes fraction", "data"), textcoords="offset points", color="0.35")  # fmt: skip
    axes.set_title(title)
    metric_axis(axes, metric)
    legend(axes)
    return figure


def _mark(axes: Axes, found: pd.DataFrame, color: tuple[float, float, float], index: int, zeta: float) -> None:
    """The crossing: a drop line to |D|, and its number with three digits, more than the interpolation knows."""
    for _, row in found[found["kind"].isin(["measured", "uncertain"])].iterrows():
        axes.vlines(row["emm"], -3, 100 * (1 - zeta), color=color, linestyle=":", linewidth=1.2)
        number = size_text(round(row["emm"], 2 - math.floor(math.log10(row["emm"]))))
        axes.annotate(f"EMM {number}", (row["emm"], 2 + 7 * (index % 8)), (3, 0), fontsize=7.5,
                      textcoords="offset points", color=color)  # fmt: skip
