"""A metric over training (Fig. 1c, 1d, 7c-f, 9) and over |D| with the 1 - zeta line (Fig. 2, 3, 5a, 11).

There is a curve per value of a factor; Fig. 12 to 21 are those of other metrics.
"""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import colors, draw_curve, legend, metric_axis, new_figure, rows_of, size_axis
from analysis.inference.emm import group_crossings
from analysis.runs.averages import averaged
from analysis.runs.factors import factor, in_order, size_text, value_label
from analysis.runs.groups import Group, summary
from analysis.runs.runs import Runs


def epochs_data(runs: Runs, hue: str = "data.size", metric: str = "memorization_ratio") -> pd.DataFrame:
    """What `metric_over_epochs` draws.

    Args:
        runs: usually those of a group.
        hue: the dotted key that has a curve per value.
        metric: `memorization_ratio` (percent here), `fid`, `knn_distance`.

    Returns:
        `hue`, `epoch`, `value`, `low`, `high`, `trials`: the mean over trials that were evaluated at the same point.
        Intervals as in `analysis.runs.averages.averaged`.
    """
    usable = runs.counted.evaluations.dropna(subset=[metric, "epoch"])
    data = averaged(usable, [hue, "epoch"], metric, runs.seed_spread)
    return data[[hue, "epoch", "value", "low", "high", "trials"]]


def metric_over_epochs(
    runs: Runs,
    hue: str = "data.size",
    metric: str = "memorization_ratio",
    title: str = "",
    data: pd.DataFrame | None = None,
) -> Figure:
    """Draw a metric over training, with 95% intervals, a curve per value of `hue`; see `epochs_data`.

    `data` is what that returns, where it is known already.
    """
    data = epochs_data(runs, hue, metric) if data is None else data
    figure = new_figure()
    axes = figure.axes[0]
    values = list(dict.fromkeys(data[hue]))
    for index, value in enumerate(values):
        part = rows_of(data, hue, value)
        draw_curve(axes, part["epoch"].to_list(), part, index, len(values), value_label(hue, value))
    if data["epoch"].max() / max(data["epoch"].min(), 1e-9) > 50:
        # Trials of equal budget in images end at epochs that differ as their sizes do.
        axes.set_xscale("log")
    axes.set(xlabel="Epoch", title=title)
    metric_axis(axes, metric)
    legend(axes, factor(hue).title if len(values) > 8 else "")
    return figure


def size_data(runs: Runs, key: str, metric: str = "memorization_ratio") -> pd.DataFrame:
    """What `metric_over_size` draws: `key`, `data.size`, `value`, `low`, `high`, `trials`; see `summary`."""
    return summary(runs, [key, "data.size"] if key != "data.size" else [key], metric)


def metric_over_size(
    runs: Runs,
    key: str,
    metric: str = "memorization_ratio",
    zeta: float = 0.1,
    title: str = "",
    data: pd.DataFrame | None = None,
) -> Figure:
    """Draw `size_data` with 95% intervals, a curve per value of `key`; `data.size` itself makes a single curve.

    Ratios have the line 1 - `zeta` and their crossings with it. `data` is that of `size_data`, where it is known.
    """
    data = size_data(runs, key, metric) if data is None else data
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
