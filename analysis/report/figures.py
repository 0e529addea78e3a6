"""The figures that a table of evaluations allows, each from a fair comparison (`analysis.panels`)."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from analysis.figures.factor import ratio_over_factor
from analysis.figures.style import PALETTE, new_figure
from analysis.findings import finished_runs
from analysis.panels import panels, studied_keys
from analysis.report.blocks import FigureBlock
from analysis.report.runs import Runs, setting_text
from analysis.report.svg import inline_svg
from analysis.vocabulary import factor

MAXIMUM_CURVES = 24
PANELS = 3
"""Of one factor, the largest."""


def figures(frame: pd.DataFrame, runs: Runs) -> list[FigureBlock]:
    """Ratio over each studied factor, and over training."""
    blocks: list[FigureBlock] = []
    finished = finished_runs(frame)
    for key in studied_keys(finished) if len(finished) else []:
        known = factor(key)
        for panel in panels(finished, key)[:PANELS]:
            figure = ratio_over_factor(panel.frame, key, known.title, known.scale)
            where = f" ({panel.title})" if panel.title else ""
            paper = f" The paper's {known.over_factor}." if known.over_factor else ""
            caption = f"Best ratio of each setting with its 95% interval, a curve per |D|; seeds averaged.{paper}"
            title = f"Ratio over {known.title[0].lower()}{known.title[1:]}{where}"
            blocks.append(block(f"factor{len(blocks)}", title, caption, figure))
    if len(frame) > len(frame[["experiment", "trial_id"]].drop_duplicates()):
        title = "Ratio over training"
        blocks.append(block("training", title, "Each trial's ratio at its evaluations.", _training(frame, runs)))
    return blocks


def block(ident: str, title: str, caption: str, figure: Figure) -> FigureBlock:
    """A drawn figure with its words."""
    return FigureBlock(ident, title, caption, inline_svg(figure, ident, f"{title}. {caption}"))


def _training(frame: pd.DataFrame, runs: Runs) -> Figure:
    figure = new_figure()
    axes = figure.axes[0]
    trials = list(frame.groupby(["experiment", "trial_id"], sort=False))
    colours = sns.color_palette(PALETTE, len(trials))
    for (_, rows), colour in zip(trials, colours, strict=True):
        label = setting_text(rows.iloc[0], runs.moved, runs.base) if len(trials) <= MAXIMUM_CURVES else None
        axes.plot(rows["images_seen"], 100 * rows["memorization_ratio"], color=colour, marker=".", label=label)
    axes.set(xlabel="Training images seen", ylabel="Ratio (%) of memorization", ylim=(-3, 103))
    if len(trials) <= MAXIMUM_CURVES:
        axes.legend(fontsize=6)
    return figure
