"""Levels that the paper states for a setting of its own: the mean ratio there, with its 95% interval."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.inference.findings.verdict import Question
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
        Yes where the whole 95% interval lies between the limits, no where it lies outside them; unasked where the
        setting was not run.
    """

    def there(rows: Any) -> Any:
        wanted = {**PAPER_SETTING, **settings}
        return np.logical_and.reduce([(rows[key] == value).fillna(False) for key, value in wanted.items()])

    limits = f"above {100 * above:g}%" if below >= 1 else f"within {100 * above:g}% to {100 * below:g}%"
    asks = f"{asks} (95% interval {limits})"
    level = mean_ratio(cells.where(there), "ratio")
    if level is None:
        return Question(asks, "unasked", None, "the paper's setting was not run")
    low, high = level.low / 100, level.high / 100
    inside, outside = low > above and (high < below or below >= 1), high < above or low > below
    return Question(asks, "yes" if inside else "no" if outside else "open", level)
