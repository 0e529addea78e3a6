"""Ratio over size with the EMM marked, as in Figs. 2a, 3a and 5a: from a search or from a table."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import special

from analysis.emm.search.posterior import CurvePosterior
from analysis.emm.search.prior import LOG_SLOPES
from analysis.emm.search.search import Search
from analysis.figures.style import MARKERS, colours, legend, metric_axis, new_figure, size_axis
from analysis.stats.binomial import wilson_interval

_READING = "bands: 95% of the fitted curve; bars: 95% of a training's samples; diamonds: EMM with its 95% interval"


@dataclass(frozen=True)
class EmmFigureData:
    """What the figure shows.

    Attributes:
        observations: value, size, ratio, ratio_low, ratio_high (95% Wilson), num_samples, verdict; one row
            a training.
        curves: value, size, ratio, ratio_low, ratio_high: fitted curve and its 95% band.
        crossings: value, emm, emm_low, emm_high, kind; one row a value.
        target: 1 - zeta.
    """

    observations: pd.DataFrame
    curves: pd.DataFrame
    crossings: pd.DataFrame
    target: float


def emm_figure_data(search: Search, points: int = 80) -> EmmFigureData:
    """The figure's data of a search, finished or not; values without observations are left out.

    Args:
        search: the search; `analysis.emm.search.outcome.search_of` makes one of a table.
        points: sizes at which curves are drawn, evenly in ln size over the sizes run (and a quarter beyond).

    Raises:
        ValueError: a search that has seen nothing.
    """
    seen, curves, crossings = [], [], []
    for found in search.estimates():
        value = found.value
        trainings = search.observations(value)
        if not trainings:
            continue
        for o in trainings:
            low, high = wilson_interval(round(o.ratio * o.num_samples), o.num_samples)
            seen.append((value, o.size, o.ratio, float(low), float(high), o.num_samples, o.verdict))
        run = [o.size for o in trainings]
        sizes = np.geomspace(min(run) / 1.25, max(run) * 1.25, points)
        band = _band(search.judgement(value).posterior, sizes, float(special.logit(search.goal.target)))
        curves += [(value, n, *row) for n, row in zip(sizes, band, strict=True)]
        crossings.append((value, found.emm, found.low, found.high, found.kind))
    if not seen:
        raise ValueError("the search has no observations yet: there is nothing to draw")
    columns = ["value", "size", "ratio", "ratio_low", "ratio_high"]
    return EmmFigureData(
        pd.DataFrame(seen, columns=[*columns, "num_samples", "verdict"]),
        pd.DataFrame(curves, columns=columns),
        pd.DataFrame(crossings, columns=["value", "emm", "emm_low", "emm_high", "kind"]),
        search.goal.target,
    )


def _band(posterior: CurvePosterior, sizes: np.ndarray, target_logit: float) -> np.ndarray:
    """(N, 3) median, 2.5% and 97.5% quantile of the curve's ratio at each size."""
    keep = posterior.weights.ravel() > 1e-6
    crossing = np.repeat(posterior.crossings, len(LOG_SLOPES))[keep]
    slope = np.tile(np.exp(LOG_SLOPES), len(posterior.crossings))[keep]
    weights = posterior.weights.ravel()[keep]
    logits = target_logit - slope * (np.log(sizes)[:, None] - crossing)
    order = np.argsort(logits, axis=1)
    cumulative = np.cumsum(weights[order], axis=1) / weights.sum()
    ranked = np.take_along_axis(logits, order, axis=1)
    picks = [np.minimum((cumulative < q).sum(axis=1), ranked.shape[1] - 1) for q in (0.5, 0.025, 0.975)]
    rows = np.arange(len(sizes))
    return np.asarray(special.expit(np.stack([ranked[rows, p] for p in picks], axis=1)))


def draw_emm(data: EmmFigureData, title: str = "") -> Figure:
    """Draws the figure; each value has its own colour and marker.

    A measured EMM is a filled mark with its interval on the line 1 - zeta, an uncertain one half filled; a bound is an
    arrow pointing to where the EMM lies; a prediction is hollow. Marks at the same height are moved apart.

    Returns:
        a matplotlib figure that belongs to no window: save it with `figure.savefig(path)`.
    """
    values = list(data.crossings["value"])
    figure = new_figure()
    axes = figure.axes[0]
    target = 100 * data.target
    for i, value in enumerate(values):
        color = colours(len(values))[i]
        curve = data.curves[data.curves["value"].map(repr) == repr(value)]
        low, high = 100 * curve["ratio_low"], 100 * curve["ratio_high"]
        axes.plot(curve["size"], 100 * curve["ratio"], color=color, linewidth=1.4)
        axes.fill_between(curve["size"], low, high, color=color, alpha=0.12, linewidth=0)
        # Bands lie over each other: their edges tell them apart.
        axes.plot(curve["size"], np.stack([low, high], axis=1), color=color, linewidth=0.6, alpha=0.6)
        seen = data.observations[data.observations["value"].map(repr) == repr(value)]
        spread = np.stack([seen["ratio"] - seen["ratio_low"], seen["ratio_high"] - seen["ratio"]])
        axes.errorbar(seen["size"], 100 * seen["ratio"], yerr=100 * np.clip(spread, 0, None), color=color,
                      fmt=MARKERS[i % len(MARKERS)], markersize=5, capsize=2, label=str(value))  # fmt: skip
        _mark(axes, data.crossings.iloc[i], target + 1.6 * (i - (len(values) - 1) / 2), color)
    axes.axhline(target, color="0.35", linestyle="--", linewidth=1)
    size_axis(axes, data.observations["size"].astype(int).to_list())
    metric_axis(axes, "memorization_ratio")
    axes.set_title(title)
    figure.supxlabel(_READING, fontsize=7, color="0.35")
    legend(axes)
    return figure


def _mark(axes: Axes, row: pd.Series, height: float, color: tuple[float, float, float]) -> None:
    if not row["kind"].endswith("bound"):
        reach = [[row["emm"] - row["emm_low"]], [row["emm_high"] - row["emm"]]]
        face = "white" if row["kind"] == "predicted" else color
        axes.errorbar([row["emm"]], [height], xerr=reach, fmt="d", color=color, markerfacecolor=face, markersize=8,
                      capsize=4, zorder=5, fillstyle="bottom" if row["kind"] == "uncertain" else "full")  # fmt: skip
        return
    marker = ">" if row["kind"] == "lower_bound" else "<"
    axes.plot([row["emm"]], [height], marker=marker, color=color, markersize=9, zorder=5)
