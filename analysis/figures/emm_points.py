"""EMM over a numeric factor, the message of Figs. 2a, 3a and 11a: the published values, and ours beside
them."""

from importlib import resources

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

import analysis

COLUMNS = ["value", "emm", "emm_low", "emm_high", "kind", "source"]


def emm_points_data(
    factor: str, dataset: str = "cifar10", measured: pd.DataFrame | None = None
) -> pd.DataFrame:
    """EMMs over a factor, from the paper's text and, where given, from a search or a table.

    The paper names its EMMs in words ("about 1k", "slightly above 4k"), kept as a range in `paper/emm.csv`;
    the ratios behind Figs. 2a and 3a are published as drawings only.

    Args:
        factor: `resolution`, `width` or `depth`.
        dataset: `cifar10` or `ffhq`.
        measured: rows of `emm_table` or `emm` to put beside them, with value, emm, emm_low, emm_high, kind.

    Returns:
        frame with value, emm (geometric mean of the published range), emm_low, emm_high, kind and source
        (`paper` or `measured`), by source and ascending value.

    Raises:
        ValueError: nothing published of this factor and dataset.
    """
    with (resources.files(analysis) / "paper" / "emm.csv").open() as stream:
        table = pd.read_csv(stream)
    rows = table[(table["factor"] == factor) & (table["dataset"] == dataset)]
    if rows.empty:
        known = ", ".join(
            sorted({f"{f} on {d}" for f, d in zip(table["factor"], table["dataset"], strict=True)})
        )
        raise ValueError(f"the paper names no EMM of {factor} on {dataset}: choose from {known}")
    low, high = rows["emm_low"].to_numpy(float), rows["emm_high"].to_numpy(float)
    paper = pd.DataFrame(
        {
            "value": pd.to_numeric(rows["value"]).to_numpy(float),
            "emm": np.sqrt(low * high),
            "emm_low": low,
            "emm_high": high,
            "kind": "measured",
            "source": "paper",
        }
    )
    frames = [paper.sort_values("value")]
    if measured is not None:
        frames.append(measured.assign(source="measured")[COLUMNS].sort_values("value"))
    return pd.concat(frames, ignore_index=True)[COLUMNS]


def draw_emm_points(data: pd.DataFrame, factor: str) -> Figure:
    """Draws EMM with its range over the factor, both axes logarithmic; bounds are arrows."""
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(4.8, 3.6), layout="constrained")
        axes = figure.subplots()
        colors = sns.color_palette("colorblind")
        for i, (source, rows) in enumerate(data.groupby("source", sort=False)):
            spread = np.stack([rows["emm"] - rows["emm_low"], rows["emm_high"] - rows["emm"]])
            bound = rows["kind"].isin(["lower_bound", "upper_bound"]).to_numpy()
            axes.errorbar(
                rows["value"],
                rows["emm"],
                yerr=np.where(bound, 0.0, np.nan_to_num(spread, posinf=0.0)),
                fmt="-" + "os"[i % 2],
                color=colors[i],
                capsize=3,
                label=str(source),
            )
            for kind, marker in (("lower_bound", "^"), ("upper_bound", "v")):
                some = rows[rows["kind"] == kind]
                axes.plot(some["value"], some["emm"], marker, color=colors[i], markersize=10)
        axes.set(xscale="log", yscale="log", xlabel=factor, ylabel="EMM (training images)")
        axes.set_xticks(sorted(set(data["value"])), labels=[f"{v:g}" for v in sorted(set(data["value"]))])
        axes.minorticks_off()
        axes.legend(frameon=False)
    return figure
