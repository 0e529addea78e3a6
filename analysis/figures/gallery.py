"""Generated images above their nearest training images, memorized ones marked: Fig. 1a, 1b and 10."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.style import PALETTE


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
