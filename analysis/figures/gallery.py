"""Generated images above their nearest training images, memorized ones marked: Fig. 1a, 1b and 10."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.style import PALETTE
from analysis.samples import best_samples
from analysis.tables import best, moved_keys
from analysis.vocabulary import value_label


@dataclass(frozen=True)
class GalleryRow:
    """The first samples of one trial's best evaluation."""

    title: str
    generated: NDArray[np.uint8]
    """(N, C, H, W)."""
    nearest: NDArray[np.uint8]
    """(N, C, H, W), the nearest training images."""
    memorized: NDArray[np.bool_]
    """(N,)."""


def gallery_rows(frame: pd.DataFrame, moved: Sequence[str] | None = None, limit: int = 6) -> list[GalleryRow]:
    """Trials with samples, from most to least memorizing, evenly spaced.

    Args:
        frame: of `analysis.load`; `folder` says where the samples are.
        moved: the dotted keys that name a trial; none takes those that differ in the frame.
        limit: rows at most.
    """
    keys = [key for key in (moved_keys(frame) if moved is None else moved) if not key.startswith("evaluation.")]
    runs = best(frame).sort_values("memorization_ratio", ascending=False, kind="stable")
    step = max(1, round(len(runs) / limit))
    rows = []
    for _, run in runs.iloc[::step].head(limit).iterrows():
        samples = best_samples(run["folder"])
        if samples is None:
            continue
        names = ", ".join(value_label(key, run[key]) for key in keys)
        ratio = f"{100 * run['memorization_ratio']:.1f}% memorized"
        rows.append(
            GalleryRow(
                title=f"{names}: {ratio}" if names else ratio,
                generated=samples["generated"].astype(np.uint8),
                nearest=samples["nearest"].astype(np.uint8),
                memorized=samples["memorized"].astype(bool),
            )
        )
    return rows


def gallery_data(rows: Sequence[GalleryRow], columns: int = 16) -> pd.DataFrame:
    """What `gallery` frames: `title`, `column` and `memorized` of each pair shown."""
    shown = [(row.title, column, bool(row.memorized[column]))
             for row in rows for column in range(min(columns, len(row.generated)))]  # fmt: skip
    return pd.DataFrame(shown, columns=["title", "column", "memorized"])


def gallery(rows: Sequence[GalleryRow], columns: int = 16) -> Figure:
    """Draw pairs of rows: samples, and below each the nearest training image; replicas are framed."""
    frame_colour = sns.color_palette(PALETTE)[3]
    figure = Figure(figsize=(0.55 * columns, 1.45 * len(rows)), facecolor="white")
    parts = np.atleast_1d(np.asarray(figure.subfigures(len(rows), 1, hspace=0.05)))
    for row, part in zip(rows, parts, strict=True):
        count = min(columns, len(row.generated))
        part.suptitle(row.title, fontsize=8, x=0.02, ha="left", y=0.99)
        grid = part.subplots(
            2,
            columns,
            gridspec_kw={
                "top": 0.80,
                "bottom": 0.04,
                "left": 0.01,
                "right": 0.99,
                "wspace": 0.12,
                "hspace": 0.12,
            },
        )
        for column in range(columns):
            for line, images in enumerate((row.generated, row.nearest)):
                axes = grid[line, column]
                axes.set(xticks=[], yticks=[])
                marked = column < count and row.memorized[column]
                for spine in axes.spines.values():
                    spine.set(visible=bool(marked), color=frame_colour, linewidth=2.2)
                if column < count:
                    image = np.moveaxis(images[column], 0, 2)
                    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                else:
                    axes.set_visible(False)
    return figure
