"""The EMM: marked on the ratio over size (Fig. 2a, 3a, 5a; of a search or of a table), and by zeta (Fig. 22)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import special

from analysis.emm.search.posterior import CurvePosterior
from analysis.emm.search.prior import LOG_SLOPES
from analysis.emm.search.search import Search
from analysis.figures.style import (
    MARKERS,
    colors,
    legend,
    metric_axis,
    move_aside,
    new_figure,
    place_of,
    size_axis,
    spaced,
    value_ticks,
)
from analysis.runs.factors import factor, in_order, size_text, value_text
from analysis.stats.binomial import wilson_interval

ZETAS = (0.05, 0.1, 0.2, 0.3)
"""Of Fig. 22."""

_MARKS = {
    "measured": ("d", "full", "EMM, 95% interval"),
    "uncertain": ("d", "bottom", "EMM, uncertain: perhaps beyond the sizes run"),
    "extrapolated": ("d", "none", "EMM, extrapolated"),
    "lower_bound": (">", "full", "EMM at least the largest size run"),
    "upper_bound": ("<", "full", "EMM below the smallest size run"),
}
"""By kind of EMM: marker, how it is filled, and what the legend says of it."""
_POINTS = 80
"""Sizes at which a curve is drawn."""
_CURVE = ["value", "size", "ratio", "ratio_low", "ratio_high"]


@dataclass(frozen=True)
class EmmFigureData:
    """What the figure shows.

    Attributes:
        trainings: value, size, ratio, num_samples; one row a training.
        curves: value, size, ratio, ratio_low, ratio_high: the fitted curve and its 95% band, NaN where it has none; as
            of `analysis.emm.estimate.fitted_curves`.
        crossings: value, emm, emm_low, emm_high, kind; at least one row a value.
        target: 1 - zeta.
    """

    trainings: pd.DataFrame
    curves: pd.DataFrame
    crossings: pd.DataFrame
    target: float


def search_figure(search: Search) -> EmmFigureData:
    """Return the figure's data of a search, finished or not; values without trainings are left out.

    Raises:
        ValueError: a search without any training.
    """
    rows, curves, crossings = [], [], []
    for found in search.estimates():
        value = found.value
        trainings = search.trainings(value)
        if not trainings:
            continue
        rows += [(value, t.size, t.ratio, t.num_samples) for t in trainings]
        run = [t.size for t in trainings]
        sizes = np.geomspace(min(run) / 1.25, max(run) * 1.25, _POINTS)
        band = _band(search.fit(value).posterior, sizes, float(special.logit(search.goal.target)))
        curves += [(value, n, *row) for n, row in zip(sizes, band, strict=True)]
        crossings.append((value, found.emm, found.low, found.high, found.kind))
    if not rows:
        raise ValueError("the search has no trainings yet: there is nothing to draw")
    return EmmFigureData(
        pd.DataFrame(rows, columns=["value", "size", "ratio", "num_samples"]),
        pd.DataFrame(curves, columns=_CURVE),
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
    """Draw the figure; each value has its own color and marker.

    A measured EMM is a filled mark with its interval on the line 1 - zeta, an uncertain one half filled; a bound is an
    arrow pointing to where the EMM lies; an extrapolated one is hollow. Marks at the same height are moved apart. The
    legend explains those that the figure has.
    """
    values = list(dict.fromkeys(data.crossings["value"]))
    figure = new_figure()
    axes = figure.axes[0]
    target = 100 * data.target
    for i, value in enumerate(values):
        color = colors(len(values))[i]
        curve, runs, crossings = (
            rows[rows["value"].map(repr) == repr(value)] for rows in (data.curves, data.trainings, data.crossings)
        )
        low, high = 100 * curve["ratio_low"], 100 * curve["ratio_high"]
        axes.plot(curve["size"], 100 * curve["ratio"], color=color, linewidth=1.4)
        axes.fill_between(curve["size"], low, high, color=color, alpha=0.12, linewidth=0)
        # Bands overlap: their edges keep them apart.
        axes.plot(curve["size"], np.stack([low, high], axis=1), color=color, linewidth=0.6, alpha=0.6)
        ends = wilson_interval(runs["ratio"] * runs["num_samples"], runs["num_samples"])
        spread = np.stack([runs["ratio"] - ends[0], ends[1] - runs["ratio"]])
        points = axes.errorbar(runs["size"], 100 * runs["ratio"], yerr=100 * np.clip(spread, 0, None), color=color,
                               fmt=MARKERS[i % len(MARKERS)], markersize=5, capsize=2, label=str(value))  # fmt: skip
        move_aside(axes, points, i, len(values))
        for _, row in crossings.iterrows():
            _mark(axes, row, target + 1.6 * (i - (len(values) - 1) / 2), color)
    axes.axhline(target, color="0.35", linestyle="--", linewidth=1, label=f"1 - zeta = {target:g}%")
    present = set(data.crossings["kind"])
    for kind, (marker, fill, meaning) in _MARKS.items():
        if kind in present:
            axes.plot([], [], marker, color="0.35", fillstyle=fill, markersize=7, linestyle="none", label=meaning)
    size_axis(axes, data.trainings["size"].astype(int).to_list())
    metric_axis(axes, "memorization_ratio")
    axes.set_title(title)
    bands = " with 95% bands" if data.curves["ratio_low"].notna().any() else ""
    figure.supxlabel(f"Points: trainings, bars: 95% of their samples; curves{bands}: fitted.", fontsize=7, color="0.35")
    legend(axes)
    return figure


def _mark(axes: Axes, row: pd.Series, height: float, color: tuple[float, float, float]) -> None:
    if not row["kind"].endswith("bound"):
        reach = np.nan_to_num([[row["emm"] - row["emm_low"]], [row["emm_high"] - row["emm"]]], posinf=0.0)
        marker, fill, _ = _MARKS[row["kind"]]
        face = "white" if row["kind"] == "extrapolated" else color
        axes.errorbar([row["emm"]], [height], xerr=reach, fmt=marker, color=color, markerfacecolor=face, markersize=8,
                      capsize=4, zorder=5, fillstyle="full" if fill == "none" else fill)  # fmt: skip
        return
    marker = _MARKS[row["kind"]][0]
    axes.plot([row["emm"]], [height], marker=marker, color=color, markersize=9, zorder=5)


def emm_by_zeta(data: pd.DataFrame, key: str, sizes: Sequence[int], title: str = "") -> Figure:
    """Draw the EMM over the values of a factor, bars per zeta, on a logarithmic axis of |D|.

    Args:
        data: columns `value`, `zeta`, `emm`, `emm_low`, `emm_high`, `kind`, of `group_crossings` or of
            another estimate. A bound is a triangle that points to where the EMM lies; an end at 0 or
            infinity is not drawn.
        key: the factor that `value` belongs to.
        sizes: |D| of the runs, which the axis has its ticks at.
        title: of the axes.
    """
    figure = new_figure()
    axes = figure.axes[0]
    values, zetas = in_order(key, data["value"]), sorted(set(data["zeta"]))
    width = 0.8 / len(zetas)
    bounds = {"o": False, "^": False, "v": False}
    for index, zeta in enumerate(zetas):
        part = data[data["zeta"] == zeta]
        x = np.array([place_of(values, value) for value in part["value"]]) + (index - (len(zetas) - 1) / 2) * width
        emm = part["emm"].to_numpy(dtype=float)
        low, high = part["emm_low"].to_numpy(dtype=float), part["emm_high"].to_numpy(dtype=float)
        open_low, open_high = ~(np.isfinite(low) & (low > 0)), ~np.isfinite(high)
        errors = np.stack([np.where(open_low, 0, emm - low), np.where(open_high, 0, high - emm)]).clip(min=0)
        bound = part["kind"].astype(str).str.endswith("bound").to_numpy()
        color = colors(len(zetas))[index]
        axes.errorbar(x, emm, np.nan_to_num(errors), fmt="none", capsize=2.5, elinewidth=1.2, ecolor=color)
        for marker, mask in (("o", ~bound), ("^", bound & open_high), ("v", bound & ~open_high)):
            axes.plot(x[mask], emm[mask], marker, markersize=5.5 if marker == "o" else 7, color=color, clip_on=False)
            bounds[marker] |= bool(mask.any())
        axes.plot([], [], "o", markersize=5.5, color=color, label=f"zeta = {zeta:g}")
    for marker, meaning in (("^", "at least this"), ("v", "below this")):
        if bounds[marker]:
            axes.plot([], [], marker, color="0.35", markersize=7, linestyle="none", label=meaning)
    axes.set_yscale("log")
    ticks = spaced(sizes)
    axes.set_yticks(ticks, [size_text(round(size)) for size in ticks])
    axes.minorticks_off()
    value_ticks(axes, range(len(values)), [value_text(key, value) for value in values])
    axes.set(xlabel=factor(key).title, ylabel="EMM (training images; ticks: sizes run)", title=title)
    legend(axes, beside=True)
    return figure
