"""Levels that the paper states for a setting of its own: the mean ratio there, with its 95% interval."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.inference.findings.verdict import Question, within
from analysis.inference.main_effects import is_value
from analysis.runs.effects import Cells, Effect
from analysis.stats.significance import normal_quantile

PAPER_SETTING: Mapping[str, Any] = {
    "data.dataset": "cifar10",
    "model.width": 128,
    "model.depth": 2,
    "training.epochs": 40_000,
}
"""The basic setting of the paper (section 3), where its numbers hold."""


def mean_ratio(cells: Cells, name: str) -> Effect | None:
    """The mean ratio of some cells in percent, from their mean logit with its interval; None without cells."""
    rows = cells.frame
    if rows.empty:
        return None
    middle, error = float(rows["logit"].mean()), float(np.sqrt(rows["variance"].sum())) / len(rows)
    spread = float(rows["logit"].std(ddof=1)) / np.sqrt(len(rows)) if len(rows) > 1 else 0.0
    reach = normal_quantile() * max(error, spread)
    value, low, high = (100 / (1 + float(np.exp(-y))) for y in (middle, middle - reach, middle + reach))
    return Effect(name, value, low, high, "%", len(rows), int(rows["runs"].sum()))


def paper_level(cells: Cells, settings: Mapping[str, Any], asks: str, above: float, below: float = 1.0) -> Question:
    """Whether the ratio lies where the paper says, in its basic setting with some changes.

    Args:
        cells: of all runs.
        settings: dotted keys and values beside `PAPER_SETTING`.
        asks: the quantity in words.
        above: the least ratio, 0..1.
        below: the greatest ratio, 0..1.

    Returns:
        Yes where the whole 95% interval lies between the limits, no where it lies outside them; not applicable where
        the setting was not run.
    """

    setting = {**PAPER_SETTING, **settings}
    limits = f"above {100 * above:g}%" if below >= 1 else f"within {100 * above:g}% to {100 * below:g}%"
    asks = f"{asks} (95% interval {limits})"
    matches = cells.where(lambda rows: np.logical_and.reduce([is_value(*item)(rows) for item in setting.items()]))
    level = mean_ratio(matches, "ratio")
    if level is None:
        return Question(asks, "not applicable", None, "the paper's setting was not run")
    return within(asks, level, 100 * above, 100 * below if below < 1 else math.inf)
