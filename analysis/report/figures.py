"""The figures that a table of evaluations allows."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from analysis.figures.factor import Scale, ratio_over_factor
from analysis.figures.style import PALETTE, new_figure
from analysis.findings import finished_runs
from analysis.report.blocks import FigureBlock
from analysis.report.runs import Runs, setting_text, usual
from analysis.report.svg import inline_svg

MAXIMUM_CURVES = 24


def figures(frame: pd.DataFrame, runs: Runs) -> list[FigureBlock]:
    """Ratio over each moved setting, and over training."""
    blocks: list[FigureBlock] = []
    finished = finished_runs(frame)
    for key in runs.moved:
        if key in ("data.size", "seed") or len(finished) < 2:
            continue
        name = key.rpartition(".")[2].replace("_", " ")
        rows, fixed = at_usual_settings(finished, key, runs)
        if len(rows[key].unique()) < 2:
            continue
        figure = ratio_over_factor(rows, key, name.capitalize(), _scale(rows[key]))
        title = f"Ratio over {name}"
        caption = "Best ratio of each setting with its 95% interval, a curve per |D|; seeds averaged."
        caption += f" At {fixed}." if fixed else ""
        blocks.append(_block(f"factor-{len(blocks)}", title, caption, figure))
    if len(frame) > len(frame[["experiment", "trial_id"]].drop_duplicates()):
        title = "Ratio over training"
        blocks.append(_block("training", title, "Each trial's ratio at its evaluations.", _training(frame, runs)))
    return blocks


def at_usual_settings(best: pd.DataFrame, key: str, runs: Runs) -> tuple[pd.DataFrame, str]:
    """The runs in which nothing unusual moves but `key`, |D| and the seed, and what is held fixed in words.

    Settings that are tied to `key` (the learning rate to the batch size) move along.
    """
    held = {}
    rows = best
    for other in runs.moved:
        if other in (key, "data.size", "seed"):
            continue
        tied = rows.groupby(key, dropna=False)[other].nunique(dropna=False).max() <= 1
        if tied:
            continue
        value = usual(rows[other])
        rows = rows[rows[other].isna() if pd.isna(value) else rows[other] == value]
        held[other] = value
    return rows, setting_text(held, dict.fromkeys(held, "")) if held else ""


def _block(ident: str, title: str, caption: str, figure: Figure) -> FigureBlock:
    return FigureBlock(ident, title, caption, inline_svg(figure, ident, f"{title}. {caption}"))


def _scale(column: pd.Series) -> Scale:
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any() or len(set(numbers)) < 3:
        return "category"
    positive = numbers[numbers > 0]
    return "log" if positive.max() / positive.min() >= 10 else "linear"


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
