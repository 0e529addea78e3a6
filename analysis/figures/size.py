"""A metric over |D|, a curve per value of a factor, with the 1 - zeta line: Fig. 2, 3, 5a, 11; 12-21 for others."""

import math

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import colors, draw_curve, legend, metric_axis, new_figure, size_axis
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
    """Draw a metric over |D| on a logarithmic axis, with 95% intervals, a curve per value of `key`.

    Args:
        runs: usually those of a group.
        key: the factor; `data.size` itself draws one curve.
        metric: `memorization_ratio`, `fid`, `knn_distance`.
        zeta: of the line 1 - zeta and the crossings, which only ratios have.
        title: of the axes.
    """
    data = size_data(runs, key, metric)
    figure = new_figure()
    axes = figure.axes[0]
    values = in_order(key, data[key]) if key != "data.size" else [None]
    marked = group_crossings(Group(key, {}, runs), (zeta,)) if metric == "memorization_ratio" else None
    for index, value in enumerate(values):
        part = data if key == "data.size" else data[data[key].isna() if pd.isna(value) else data[key] == value]
        label = "" if key == "data.size" else value_label(key, value)
        draw_curve(axes, part["data.size"].astype(float).to_list(), part, index, len(values), label or "_one")
        if marked is not None:
            same = marked["value"].isna() if pd.isna(value) else marked["value"] == value
            _mark(figure, marked[same], index, len(values), zeta)
    size_axis(axes, data["data.size"].astype(int).to_list())
    if metric == "memorization_ratio":
        axes.axhline(100 * (1 - zeta), color="0.35", linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(
            f"1 - zeta = {100 * (1 - zeta):g}%",
            (0.99, 100 * (1 - zeta)),
            (0, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color="0.35",
        )
    axes.set_title(title)
    metric_axis(axes, metric)
    legend(axes)
    return figure


def _mark(figure: Figure, found: pd.DataFrame, index: int, count: int, zeta: float) -> None:
    """The crossing: a drop line to |D|, and its number."""
    axes = figure.axes[0]
    for _, row in found[found["kind"].isin(["measured", "uncertain"])].iterrows():
        color = colors(count)[index]
        axes.vlines(row["emm"], -3, 100 * (1 - zeta), color=color, linestyle=":", linewidth=1.2)
        axes.annotate(f"EMM {_short(row['emm'])}", (row["emm"], 2 + 7 * (index % 8)), (3, 0), fontsize=7.5,
                      textcoords="offset points", color=color)  # fmt: skip


def _short(emm: float) -> str:
    """Three digits: more than the interpolation knows."""
    return size_text(round(emm, 2 - math.floor(math.log10(emm))))
