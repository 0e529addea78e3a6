"""The kinds of columns that tables have."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from analysis.runs.factors import factor, value_text
from analysis.tables.table import Column, Marked, Table
from analysis.tables.words import number

RATIO = "Ratio (%)"
LOW, HIGH = "95% low", "95% high"
"""Ends of an interval have one name in all tables."""


def setting(key: str, screen_only: bool = False) -> Column:
    """Return the column of a setting, by its dotted key, with its values in the paper's words."""
    return Column(factor(key).title, lambda value: value_text(key, value), screen_only)


def texts(*titles: str) -> list[Column]:
    """Return columns whose values stand as they are."""
    return [Column(title) for title in titles]


def formatted(title: str, form: str) -> Column:
    """Return a column of numbers with a format specification such as `.2f`."""
    return Column(title, _present(lambda value: format(float(value), form)))


def ratio(title: str = RATIO, digits: int = 2) -> Column:
    """Return a column of ratios in percent."""
    return formatted(title, f".{digits}f")


def with_interval(title: str, form: str) -> list[Column]:
    """Return a column of estimates and those of the ends of their 95% intervals."""
    return [formatted(name, form) for name in (title, LOW, HIGH)]


def numbers(title: str, digits: int = 4) -> Column:
    """Return a column of numbers with some significant digits; whole ones with grouped thousands."""
    return Column(title, _present(lambda value: number(float(value), digits)))


def p_values(title: str, level: float = 0.0) -> Column:
    """Return a column of p-values; those below a level, where one is given, have a star."""
    return Column(title, _present(lambda p: p_text(p) + (" *" if p < level else "")))


def p_text(p: float) -> str:
    """Return a p-value with two digits; far below any level its digits say nothing."""
    return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def at_least(value: float, is_bound: bool) -> float | Marked:
    """Return a ratio, marked where it is a lower bound: a trial was stopped on reaching its target."""
    return Marked(value, ">=") if is_bound else value


def frame_table(
    name: str, title: str, data: pd.DataFrame, columns: Mapping[str, Column], notes: tuple[str, ...] = ()
) -> Table:
    """Return a frame as a table.

    Args:
        name, title, notes: of the table.
        data: a row each.
        columns: of the frame's columns that are no settings; the names of all others are dotted keys.
    """
    kinds = [columns.get(key) or setting(key) for key in map(str, data.columns)]
    rows = [list(row) for row in data.astype(object).itertuples(index=False)]
    return Table(name, title, kinds, rows, notes)


def _present(text: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return a format that leaves what is missing empty, and writes what has no bound as `open`."""

    def write(value: Any) -> str:
        if isinstance(value, str):
            return value
        if pd.isna(value):
            return ""
        return "open" if abs(value) == float("inf") else text(value)

    return write
