"""Findings on the network: section 4 of the paper, Figures 3, 4, 7 and 8."""

import itertools
import re

from analysis.inference.findings.levels import paper_level
from analysis.inference.findings.verdict import WEAK, Question, falls, rises
from analysis.inference.main_effects import is_value
from analysis.runs.effects import Cells, Effect, Saturated, contrast, ln, trend
from analysis.runs.runs import Runs

SKIPS = "model.skip_connections"
ABOUT_45 = (0.3, 0.6)
"""`About 45%`: half the odds and twice the odds of it, `WEAK` both ways."""


def step(cells: Cells, key: str, before: object, after: object, name: str, *also: str) -> Effect | Saturated | None:
    """Return the change from one value of a setting to another, which changes further ones `also`."""
    return contrast(cells, {key, *also}, is_value(key, before), is_value(key, after), name)


def width_monotonic(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 3a and 7: a rising trend, and a fall between no two neighboring widths."""
    missing = "no two runs that differ in model.width only"
    whole = trend(cells, "model.width", ln, "from the narrowest to the widest")
    questions = [rises("change from the narrowest to the widest network", whole, missing)]
    if whole is None:
        return questions
    widths = sorted(set(cells.frame["model.width"].dropna()))
    for low, high in itertools.pairwise(widths):
        name = f"width {low:g} to {high:g}"
        effect = step(cells, "model.width", low, high, name)
        # Steps only contradict: a rise may be too small to be seen between neighbors.
        if isinstance(effect, Effect) and effect.high < 0:
            questions.append(rises(name, effect, missing))
    return questions


def depth_non_monotonic(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 3b and 7: up from the shallowest network to the peak, down from there to the deepest.

    The peak is expected at the paper's 6 blocks where that depth lies inside the range, otherwise at the inner
    depth with the highest mean ratio.
    """
    missing = "needs three depths at equal settings"
    up, down = "change from the shallowest network to the peak", "change from the peak to the deepest network"
    depths = sorted(set(cells.frame["model.depth"].dropna())) if "model.depth" in cells.frame else []
    if len(depths) < 3:
        return [rises(up, None, missing), falls(down, None, missing)]
    means = cells.frame.groupby("model.depth")["logit"].mean()
    peak = 6 if 6 in depths[1:-1] else means[depths[1:-1]].idxmax()
    rising = step(cells, "model.depth", depths[0], peak, f"depth {depths[0]:g} to {peak:g}")
    falling = step(cells, "model.depth", peak, depths[-1], f"depth {peak:g} to {depths[-1]:g}")
    return [rises(f"{up} (depth {peak:g})", rising, missing), falls(down, falling, missing)]


def fourier_embedding_lowers(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 3c and 11b."""
    key = "model.time_embedding"
    effect = step(cells, key, "positional", "fourier", "positional to fourier")
    return [falls("change from positional to Fourier embedding", effect, f"no two runs that differ in {key} only")]


def high_resolution_skips_matter(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 4 and 8: one skip connection at the highest resolution against all, and low-resolution ones alone."""
    kinds = _with_skip_kind(cells)
    one = step(kinds, "skip_kind", "all", "one high", "all to one at high resolution", SKIPS)
    low = step(kinds, "skip_kind", "all", "low", "all to low resolution only", SKIPS)
    return [
        rises("change from all skips to one at the highest resolution", one, f"no such masks in {SKIPS}", beyond=-WEAK),
        falls("change from all skips to low resolution only", low, f"no such masks in {SKIPS}", beyond=-WEAK),
    ]


def ncsnpp_below_ddpmpp(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 4: the architectures with the preconditioning and time embedding that each brings.

    The direction, and the level of NCSN++ at |D| = 1k where the paper's setting was run.
    """
    key = "model.architecture"
    dependent = ("model.preconditioning", "model.time_embedding")
    effect = step(cells, key, "ddpmpp", "ncsnpp", "DDPM++ to NCSN++", *dependent)
    return [
        falls("change from DDPM++ to NCSN++", effect, "no runs of both at equal settings"),
        paper_level(cells, {key: "ncsnpp", "data.size": 1000}, "ratio of NCSN++ on CIFAR-10 at |D| = 1k", *ABOUT_45),
    ]


def _with_skip_kind(cells: Cells) -> Cells:
    """Name each mask: `all`, `one high` (a single one, at the highest resolution), `low` (none there), or other."""
    if not {SKIPS, "model.depth"} <= set(cells.frame.columns):
        return Cells(cells.frame.iloc[:0], cells.keys, cells.spread)
    masks = cells.frame[[SKIPS, "model.depth"]].itertuples(index=False)
    kinds = [_skip_kind(mask, int(depth)) for mask, depth in masks]
    return Cells(cells.frame.assign(skip_kind=kinds), cells.keys, cells.spread)


def _skip_kind(mask: object, depth: int) -> str:
    bits = [int(bit) for bit in re.findall("[01]", str(mask))] if isinstance(mask, str | list | tuple) else []
    if all(bits):
        return "all"
    highest = bits[: depth + 1]  # encoder order: the input convolution and `depth` blocks come first
    if sum(bits) == 1 and sum(highest) == 1:
        return "one high"
    return "low" if sum(highest) == 0 and sum(bits) > 0 else "other"
