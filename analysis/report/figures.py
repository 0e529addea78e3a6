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
    """A figure with its caption."""

    id: str
    title: str
    caption: str
    svg: str


def figure_blocks(runs: Runs, say: Callable[[str], object]) -> tuple[dict[str, list[FigureBlock]], list[str]]:
    """All figures of all metrics by group, the main ones (no group) first; and in words which were not drawn and why.

    Args:
        runs: of any number of sweeps.
        say: called with each figure that has been drawn.
    """
    groups: dict[str, list[FigureBlock]] = {"": []}
    missing: list[str] = []
    count = 0
    for metric in METRICS:
        for entry in figures(runs, metric):
            title = TITLES.get(metric, "") + entry.title
            if isinstance(entry, Missing):
                missing.append(f"{title}: {entry.reason}")
            elif entry.name not in OWN:
                ident = f"fig{count}"
                count += 1
                redraws = f"Redraws the paper's {entry.paper}." if entry.paper else ""
                caption = " ".join(filter(None, [redraws, entry.bars]))
                svg = inline_svg(entry.figure, ident, f"{title}. {caption}")
                say(f"figure {count}: {title}")
                block = FigureBlock(ident, title, caption, svg)
                groups.setdefault(_group(metric, entry.name), []).append(block)
    return groups, missing


def _group(metric: str, name: str) -> str:
    """None for the study, the ratio over sizes and factors; a pooled table has dozens of further figures."""
    if metric != METRICS[0]:
        return f"{TITLES[metric].rstrip(': ')} in place of the ratio"
    return "Training curves" if "over_epochs" in name else ""
