"""EMM by zeta: Fig. 22, how much the choice of zeta matters."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import colors, legend, new_figure, spaced, value_ticks
from analysis.inference.emm import group_crossings
from analysis.runs.factors import factor, in_order, size_text, value_text
from analysis.runs.groups import Group
from analysis.runs.runs import Runs

ZETAS = (0.05, 0.1, 0.2, 0.3)


def zeta_data(runs: Runs, key: str, zetas: tuple[float, ...] = ZETAS) -> pd.DataFrame:
    """Return the interpolated EMM of each value of a factor at each zeta, as `analysis emm` prints it.

    Args:
        runs: those of a group, in which only the factor, |D| and seeds differ.
        key: the factor.
        zetas: in (0, 1).

    Returns:
        `value`, `zeta`, `emm`, `emm_low`, `emm_high` (95%) and `kind`.
    """
    return group_crossings(Group(key, {}, runs), zetas)[["value", "zeta", "emm", "emm_low", "emm_high", "kind"]]


def emm_by_zeta(data: pd.DataFrame, key: str, title: str = "") -> Figure:
    """Draw the EMM over the values of a factor, bars per zeta, on a logarithmic axis of |D|.

    Args:
        data: columns `value`, `zeta`, `emm`, `emm_low`, `emm_high`, `kind`, of `zeta_data` or of
            another estimate. A bound is a triangle that points to where the EMM lies; an end at 0 or
            infinity is not drawn.
        key: the factor that `value` belongs to.
        title: of the axes.
    """
    figure = new_figure()
    axes = figure.axes[0]
    values, zetas = in_order(key, data["value"]), sorted(set(data["zeta"]))
    width = 0.8 / len(zetas)
    for index, zeta in enumerate(zetas):
        part = data[data["zeta"] == zeta]
        x = np.array([_position(values, value) for value in part["value"]]) + (index - (len(zetas) - 1) / 2) * width
        emm = part["emm"].to_numpy(dtype=float)
        low, high = part["emm_low"].to_numpy(dtype=float), part["emm_high"].to_numpy(dtype=float)
        open_low, open_high = ~(np.isfinite(low) & (low > 0)), ~np.isfinite(high)
        errors = np.stack([np.where(open_low, 0, emm - low), np.where(open_high, 0, high - emm)]).clip(min=0)
        bound = part["kind"].astype(str).str.endswith("bound").to_numpy()
        color = colors(len(zetas))[index]
        axes.errorbar(x, emm, np.nan_to_num(errors), fmt="none", capsize=2.5, elinewidth=1.2, ecolor=color)
        for marker, mask in (("o", ~bound), ("^", bound & open_high), ("v", bound & ~open_high)):
            axes.plot(x[mask], emm[mask], marker, markersize=5.5 if marker == "o" else 7, color=color, clip_on=False)
        axes.plot([], [], "o", markersize=5.5, color=color, label=f"zeta = {zeta:g}")
    axes.set_yscale("log")
    ends = pd.concat([data["emm_low"], data["emm_high"]]).astype(float)
    ticks = spaced(ends[np.isfinite(ends) & (ends > 0)])
    axes.set_yticks(ticks, [size_text(round(size)) for size in ticks])
    axes.minorticks_off()
    value_ticks(axes, range(len(values)), [value_text(key, value) for value in values])
    axes.set(xlabel=factor(key).title, ylabel="EMM (training images)", title=title)
    legend(axes, beside=True)
    return figure


def _position(values: list[Any], value: Any) -> int:
    return next(i for i, known in enumerate(values) if known == value or (pd.isna(known) and pd.isna(value)))
