"""Skip connections by where they are: Fig. 4 and 8 (14 and 19 for other metrics)."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import draw_curve, legend, metric_axis, new_figure
from analysis.runs.groups import summary
from analysis.runs.runs import Runs


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
