"""The figures that a table of evaluations allows."""

from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from analysis.figures.factor import Scale, ratio_over_factor
from analysis.figures.style import PALETTE, new_figure
from analysis.findings import finished_runs
from analysis.report.blocks import FigureBlock
from analysis.report.runs import setting_text
from analysis.report.svg import inline_svg

MAXIMUM_CURVES = 24


def figures(frame: pd.DataFrame, moved: Mapping[str, str]) -> list[FigureBlock]:
    """Ratio over each moved setting, and over training."""
    blocks = []
    finished = finished_runs(frame)
    for key in moved:
        if key in ("data.size", "seed") or len(finished) < 2:
            continue
        name = key.rpartition(".")[2].replace("_", " ")
        figure = ratio_over_factor(finished, key, name.capitalize(), _scale(finished[key]))
        title = f"Ratio over {name}"
        caption = "Best ratio of each setting with its 95% interval, a curve per |D|; seeds averaged."
        blocks.append(_block(f"factor-{len(blocks)}", title, caption, figure))
    if len(frame) > len(frame[["experiment", "trial_id"]].drop_duplicates()):
        title = "Ratio over training"
        blocks.append(_block("training", title, "Each trial's ratio at its evaluations.", _training(frame, moved)))
    return blocks


def _block(ident: str, title: str, caption: str, figure: Figure) -> FigureBlock:
    return FigureBlock(ident, title, caption, inline_svg(figure, ident, f"{title}. {caption}"))


def _scale(column: pd.Series) -> Scale:
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any() or len(set(numbers)) < 3:
        return "category"
    positive = numbers[numbers > 0]
    return "log" if positive.max() / positive.min() >= 10 else "linear"


def _training(frame: pd.DataFrame, moved: Mapping[str, str]) -> Figure:
    figure = new_figure()
    axes = figure.axes[0]
    trials = list(frame.groupby(["experiment", "trial_id"], sort=False))
    colours = sns.color_palette(PALETTE, len(trials))
    for (_, rows), colour in zip(trials, colours, strict=True):
        label = setting_text(rows.iloc[0].to_dict(), moved) if len(trials) <= MAXIMUM_CURVES else None
        axes.plot(rows["images_seen"], 100 * rows["memorization_ratio"], color=colour, marker=".", label=label)
    axes.set(xlabel="Training images seen", ylabel="Ratio (%) of memorization", ylim=(-3, 103))
    if len(trials) <= MAXIMUM_CURVES:
        axes.legend(fontsize=6)
    return figure
