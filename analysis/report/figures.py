"""The figures that some runs allow, from the catalog of all figures, as parts of the page."""

from collections.abc import Callable
from dataclasses import dataclass

from analysis.figures.catalog import Missing, figures
from analysis.report.svg import inline_svg
from analysis.runs.final import METRICS
from analysis.runs.runs import Runs

OWN = {"gallery"}
"""Of the catalog, what the page shows in its own way."""
TITLES = {"fid": "FID: ", "knn_distance": "kNN distance: "}


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its caption; the page folds those with a group away under its name."""

    id: str
    title: str
    caption: str
    svg: str
    group: str


def figure_blocks(runs: Runs, say: Callable[[str], object]) -> tuple[list[FigureBlock], list[str]]:
    """All figures of all metrics, and in words which could not be drawn and why.

    Args:
        runs: of any number of sweeps.
        say: called with each figure that has been drawn.
    """
    blocks: list[FigureBlock] = []
    missing: list[str] = []
    for metric in METRICS:
        for entry in figures(runs, metric):
            title = TITLES.get(metric, "") + entry.title
            if isinstance(entry, Missing):
                missing.append(f"{title}: {entry.reason}")
            elif entry.name not in OWN:
                ident = f"fig{len(blocks)}"
                redraws = f"Redraws the paper's {entry.paper}." if entry.paper else ""
                caption = " ".join(filter(None, [redraws, entry.bars]))
                svg = inline_svg(entry.figure, ident, f"{title}. {caption}")
                say(f"figure {len(blocks) + 1}: {title}")
                blocks.append(FigureBlock(ident, title, caption, svg, _group(metric, entry.name)))
    return blocks, missing


def grouped(blocks: list[FigureBlock]) -> dict[str, list[FigureBlock]]:
    """Figures by their group, the main ones (no group) first."""
    groups: dict[str, list[FigureBlock]] = {"": []}
    for block in blocks:
        groups.setdefault(block.group, []).append(block)
    return groups


def _group(metric: str, name: str) -> str:
    """None for the study, the ratio over sizes and factors; a pooled table has dozens of further figures."""
    if metric != METRICS[0]:
        return f"{TITLES[metric].rstrip(': ')} in place of the ratio"
    return "Training curves" if "over_epochs" in name else ""
