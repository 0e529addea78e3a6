"""How many samples a ratio needs: Fig. 6, by bootstrap from the samples of a trial's best evaluation."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.style import colors, draw_curve, legend, metric_axis, new_figure, plain_log_axis, round_log_axis

REPEATS = 1000
"""Bootstrap draws of each size; the seed is fixed."""


def bootstrap_data(memorized: Mapping[str, NDArray[np.bool_]], sizes: list[int] | None = None) -> pd.DataFrame:
    """Draw sample sets of several sizes with replacement, and measure each.

    Args:
        memorized: by label, (N,) whether each sample is a replica.
        sizes: sample sizes; none takes 9 from N/100 (at least 10) to N, evenly in the logarithm.

    Returns:
        `label`, `samples`, `value` (mean ratio in percent), `low`, `high` (central 95% of the draws) and
        `deviation` (standard deviation in percentage points).
    """
    random = np.random.default_rng(0)
    rows = []
    for label, flags in memorized.items():
        count = len(flags)
        chosen = sizes or sorted({round(size) for size in np.geomspace(max(10, count / 100), max(count, 11), 9)})
        for size in chosen:
            # Drawing 0/1 flags with replacement and counting is a binomial draw of their mean.
            ratios = 100 * random.binomial(size, flags.mean(), REPEATS) / size
            low, high = np.quantile(ratios, [0.025, 0.975])
            rows.append((label, size, ratios.mean(), low, high, ratios.std(ddof=1)))
    return pd.DataFrame(rows, columns=["label", "samples", "value", "low", "high", "deviation"])


def sample_size_bootstrap(data: pd.DataFrame) -> Figure:
    """Draw ratio (left) and its deviation (right) over the sample size; `data` of `bootstrap_data`."""
    figure = new_figure(width=9.6, height=3.8, columns=2)
    left, right = figure.axes
    labels = list(dict.fromkeys(data["label"]))
    for index, label in enumerate(labels):
        part = data[data["label"] == label]
        draw_curve(left, part["samples"].to_list(), part, index, len(labels), str(label))
        right.plot(part["samples"], part["deviation"], color=colors(len(labels))[index], marker="o", markersize=4)
    for axes in (left, right):
        round_log_axis(axes, data["samples"])
        axes.set_xlabel("Number of generated samples")
        axes.tick_params(axis="x", labelsize=8)
    metric_axis(left, "memorization_ratio")
    plain_log_axis(right, data["deviation"])
    right.set_ylabel("Standard deviation (percentage points)")
    legend(left)
    return figure
