"""A metric over training, a curve per value: Fig. 1c, 1d, 7c-f and 9."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import draw_curve, legend, metric_axis, new_figure, rows_of
from analysis.runs.averages import averaged
from analysis.runs.factors import factor, value_label
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
    runs: Runs, hue: str = "data.size", metric: str = "memorization_ratio", title: str = ""
) -> Figure:
    """Draw a metric over training, with 95% intervals, a curve per value of `hue`; see `epochs_data`."""
    data = epochs_data(runs, hue, metric)
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
