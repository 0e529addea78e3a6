"""One look for all figures: color-blind safe, readable in print and on a dark page."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from analysis.runs.factors import METRIC_TITLES, size_text

PALETTE = "colorblind"
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
DISTINCT = 8
"""Colors of the palette that are distinguished with ease; more values take a sequential one."""

_ASIDE, _MAX_ASIDE = 3.0, 12.0
"""Points between neighboring curves with bars, and between the first and the last one."""

_INSIDE = 5
"""So many legend entries find room between the curves."""


def new_figure(width: float = 6.4, height: float = 4.2, columns: int = 1) -> Figure:
    """A figure on white, whatever the page, that belongs to no window."""
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        figure.subplots(1, columns)
    for axes in figure.axes:
        sns.despine(ax=axes)
        # A dollar sign in the name of a data set is no mathematics.
        axes.title.set_parse_math(False)
    return figure


def colors(count: int) -> list[tuple[float, float, float]]:
    """Colors for curves: the color-blind safe palette, and beyond it an ordered one."""
    if count <= DISTINCT:
        return list(sns.color_palette(PALETTE, count))
    # Without the ends, which a dark and a white page swallow.
    return [tuple(shade[:3]) for shade in sns.color_palette("viridis", as_cmap=True)(np.linspace(0.15, 0.85, count))]


def draw_curve(axes: Axes, x: Sequence[float], data: pd.DataFrame, index: int, count: int, label: str) -> None:
    """Draw curve `index` of `count` with its intervals, in a color, marker and stroke of its own for print.

    `data` has `value`, `low` and `high` at the positions `x`; an end that is missing is not drawn.
    """
    y = data["value"].to_numpy(dtype=float)
    ends = [y - data["low"].to_numpy(dtype=float), data["high"].to_numpy(dtype=float) - y]
    errors = np.nan_to_num(np.stack(ends)).clip(min=0)
    drawn = axes.errorbar(np.asarray(x, dtype=float), y, errors if errors.any() else None, color=colors(count)[index],
                          marker=MARKERS[index % len(MARKERS)], linestyle=LINES[index // len(MARKERS) % len(LINES)],
                          markersize=5, capsize=2.5, elinewidth=1, linewidth=1.7, label=label)  # fmt: skip
    move_aside(axes, drawn, index, count)


def move_aside(axes: Axes, drawn: ErrorbarContainer, index: int, count: int) -> None:
    """Move curve `index` of `count` a few points to a side, so that bars at the same place do not hide each other.

    Its data stay as they are: the shift is one of the paper, the same on every scale.
    """
    step = min(_ASIDE, _MAX_ASIDE / max(1, count - 1))
    shift = ScaledTranslation((index - (count - 1) / 2) * step / 72, 0, axes.figure.dpi_scale_trans)
    line, caps, bars = drawn.lines
    for artist in (line, *caps, *bars):
        if artist is not None:
            artist.set_transform(axes.transData + shift)


def place_of(values: Sequence[Any], value: Any) -> int:
    """Return the place of a value; a missing one is equal to another missing one."""
    missing = pd.isna(value)
    # `pd.NA` compared with anything is neither true nor false.
    return next(i for i, known in enumerate(values) if pd.isna(known) == missing and (missing or known == value))


def rows_of(data: pd.DataFrame, key: str, value: Any) -> pd.DataFrame:
    """Return the rows with a value, or those without any where it is missing."""
    return data[data[key].isna() if pd.isna(value) else data[key] == value]


def size_axis(axes: Axes, sizes: Sequence[int]) -> None:
    """A logarithmic axis of |D| with the paper's ticks (0.5k, 1k, ...) at those sizes that have room."""
    _log_ticks(axes, spaced(sizes))
    axes.set_xlabel("Training data size |D|")


def _log_ticks(axes: Axes, ticks: Sequence[float]) -> None:
    """A logarithmic x axis with these ticks and no others."""
    axes.set_xscale("log")
    axes.set_xticks(ticks, [size_text(tick) for tick in ticks])
    axes.minorticks_off()


def value_ticks(axes: Axes, positions: Sequence[float], labels: Sequence[str]) -> None:
    """A tick for each value of a factor, slanted where the labels would touch."""
    slanted = sum(map(len, labels)) > 60
    axes.set_xticks(positions, labels, rotation=40 if slanted else 0, ha="right" if slanted else "center",
                    parse_math=False)  # fmt: skip
    axes.minorticks_off()


def round_log_axis(axes: Axes, values: Iterable[float]) -> None:
    """A logarithmic x axis with ticks at 1, 2, 5, 10, ... within the values, or at decades where these are many."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
    _log_ticks(axes, ticks)


def spaced(numbers: Iterable[float], room: int = 12) -> list[float]:
    """Of some positive numbers those that are far enough apart on a logarithmic axis for `room` labels.

    Neighbors differ by 1.2 at least, and by more where the axis is long; the smallest one is kept.
    """
    ordered = sorted(set(numbers))
    chosen: list[float] = []
    for number in ordered:
        apart = max(1.2, (ordered[-1] / ordered[0]) ** (1 / room))
        if not chosen or number / chosen[-1] >= apart:
            chosen.append(number)
    return chosen


def plain_log_axis(axes: Axes, values: Iterable[float]) -> None:
    """A logarithmic y axis whose ticks read 0.5, 2, 10, with one at each end however short it is.

    `values` are all that it has to hold, bars included; without a positive one the axis stays linear.
    """
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if not positive:
        return
    low, high = _rounded(min(positive), down=True), _rounded(max(positive), down=False)
    axes.set_yscale("log")
    axes.set_ylim(low / 1.04, high * 1.04)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inner = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    apart = max(1.15, (high / low) ** (1 / 12))
    ticks = sorted({low, *(tick for tick in inner if low * apart <= tick <= high / apart), high})
    axes.set_yticks(ticks, [size_text(float(f"{tick:.3g}")) for tick in ticks])
    axes.minorticks_off()


def _rounded(value: float, down: bool) -> float:
    """To two significant digits, away from the values inside."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    steps = value / unit
    return (math.floor(steps + 1e-9) if down else math.ceil(steps - 1e-9)) * unit


def metric_axis(axes: Axes, metric: str) -> None:
    """The axis of a metric: ratios from 0 to 100%, the others from 0 on."""
    axes.set_ylabel(METRIC_TITLES.get(metric, metric))
    if metric == "memorization_ratio":
        axes.set_ylim(-3, 103)
    else:
        axes.set_ylim(bottom=0)


def legend(axes: Axes, title: str = "", beside: bool = False) -> None:
    """The legend, beside the axes on request or where it has many entries."""
    handles, _ = axes.get_legend_handles_labels()
    if handles and (beside or len(handles) > _INSIDE):
        axes.legend(title=title or None, fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    elif handles:
        axes.legend(title=title or None, fontsize=8.5, frameon=True)
    box = axes.get_legend()
    for entry in box.get_texts() if box is not None else ():
        entry.set_parse_math(False)
