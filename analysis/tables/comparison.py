"""Two sweeps beside each other."""

from collections.abc import Mapping
from typing import Any

from analysis.inference.comparison import Comparison, Match
from analysis.results.schema import CONDITIONAL
from analysis.tables.table import Column, Table, at_least

MAX_TEXT = 60
"""Characters of what a side was run with; a command line may be long."""


def differences_table(answer: Comparison) -> Table:
    """Return what the sweeps were asked or run with, where it differs."""
    kinds = [Column(""), Column("A", _cut), Column("B", _cut)]
    return Table("differences", "What differs", kinds, [(each.what, each.a, each.b) for each in answer.differences])


def matches_table(answer: Comparison) -> Table:
    """Return the settings that both sweeps trained, with their ratios."""
    kinds = [
        Column("Setting"),
        Column.formatted("A (%)", ".1f"),
        Column.formatted("B (%)", ".1f"),
        Column.formatted("B - A (points)", "+.1f"),
        *Column.odds(),
        Column.p_values("Adjusted p"),
        Column("Beyond noise"),
    ]
    rows = [
        (
            settings_text(match.settings),
            at_least(100 * match.ratio_a, match.bound_a),
            at_least(100 * match.ratio_b, match.bound_b),
            match.points,
            match.odds,
            match.odds_low,
            match.odds_high,
            match.p_adjusted,
            _answer(match),
        )
        for match in answer.matches
    ]
    return Table("matches", "Matched settings", kinds, rows)


def settings_text(settings: Mapping[str, Any]) -> str:
    """Return settings in dotted keys, without those that do not apply."""
    applied = {key: value for key, value in settings.items() if value is not None or key not in CONDITIONAL}
    texts = [f"{key}={'none' if value is None else value}" for key, value in applied.items()]
    return ", ".join(texts) or "the only setting"


def _answer(match: Match) -> str:
    if match.same_training:
        return "no: the same training"
    if match.saturated:
        return "unknown: both at the same end"
    if match.beyond_noise:
        return "yes"
    return "unknown: a lower bound" if match.bound_a or match.bound_b else "no"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."
