"""A table: columns with their formats, rows of values, notes; `analysis.tables.writers` writes it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import pandas as pd

from analysis.runs.effects import odds_text
from analysis.runs.factors import factor, value_text

RATIO, LOW, HIGH = "Ratio (%)", "95% low", "95% high"
"""Titles that all tables share."""


@dataclass(frozen=True)
class Marked:
    """A number with a mark before it, such as `>=` of a lower bound."""

    value: float
    mark: str


def at_least(value: float, is_bound: bool) -> float | Marked:
    """Return a ratio, marked where it is a lower bound: a trial was stopped on reaching its target."""
    return Marked(value, ">=") if is_bound else value


def number(value: float, digits: int = 6) -> str:
    """Return a whole number with grouped thousands, another one with some significant digits."""
    if math.isnan(value):
        return ""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.{digits}g}"


def duration(hours: float) -> str:
    """Return a time in the unit that suits it, such as `40 s`, `12 min` or `3.5 h`, with at most three digits."""
    seconds = 3600 * hours
    if round(seconds) < 100:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else number(float(f"{hours:.3g}")) + " h"


def plain(value: Any) -> str:
    """Return a value as it is; empty where it is missing."""
    return "" if pd.isna(value) else str(value)


@dataclass(frozen=True)
class Column:
    """A column's title, and how its values are written."""

    title: str
    format: Callable[[Any], str] = plain
    screen_only: bool = False
    """Whether paper has no room for it, as it repeats what another column says."""

    def text(self, value: Any) -> str:
        """Return one of its values as text."""
        return f"{value.mark}{self.format(value.value)}" if isinstance(value, Marked) else self.format(value)

    @classmethod
    def setting(cls, key: str, screen_only: bool = False) -> "Column":
        """Return the column of a setting, by its dotted key, with its values in the paper's words."""
        return cls(factor(key).title, lambda value: value_text(key, value), screen_only)

    @classmethod
    def texts(cls, *titles: str) -> "list[Column]":
        """Return columns whose values stand as they are."""
        return [cls(title) for title in titles]

    @classmethod
    def formatted(cls, title: str, form: str) -> "Column":
        """Return a column of numbers with a format specification such as `.2f`."""
        return cls(title, _present(lambda value: format(float(value), form)))

    @classmethod
    def ratio(cls, title: str = RATIO) -> "Column":
        """Return a column of ratios in percent, with two decimals."""
        return cls.formatted(title, ".2f")

    @classmethod
    def with_interval(cls, title: str, form: str) -> "list[Column]":
        """Return a column of estimates and those of the ends of their 95% intervals."""
        return [cls.formatted(name, form) for name in (title, LOW, HIGH)]

    @classmethod
    def odds(cls) -> "list[Column]":
        """Return the columns of factors of odds with two digits, and of the ends of their 95% intervals."""
        return [cls(title, _present(lambda odds: odds_text(math.log(odds)))) for title in ("Odds times", LOW, HIGH)]

    @classmethod
    def numbers(cls, title: str, digits: int = 4) -> "Column":
        """Return a column of numbers with some significant digits; whole ones with grouped thousands."""
        return cls(title, _present(lambda value: number(float(value), digits)))

    @classmethod
    def p_values(cls, title: str, level: float = 0.0) -> "Column":
        """Return a column of p-values with two digits, at least 0.0001; those below a level have a star."""
        return cls(title, _present(lambda p: (f"{p:.2g}" if p >= 1e-4 else "< 0.0001") + (" *" if p < level else "")))


def _present(text: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return a format that leaves what is missing empty, and writes what has no bound as `open`."""

    def write(value: Any) -> str:
        if isinstance(value, str):
            return value
        if pd.isna(value):
            return ""
        return "open" if abs(value) == float("inf") else text(value)

    return write


@dataclass(frozen=True)
class Table:
    """A table of any kind.

    Attributes:
        name: identifies it in a page, `[a-z0-9-]+`.
        title: stands above it.
        columns: at least one.
        rows: a value per column: number, text, `Marked`, or missing (None, NaN).
        notes: what a reader has to know, a sentence or two each.

    Raises:
        ValueError: a row has another number of values than there are columns.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name}: a row of {len(row)} values for {len(self.columns)} columns")

    @classmethod
    def of_frame(
        cls, name: str, title: str, data: pd.DataFrame, columns: Mapping[str, Column], notes: Sequence[str] = ()
    ) -> "Table":
        """Return a frame as a table, its rows in order; `columns` has all that are not settings, by name."""
        kinds = [columns.get(key) or Column.setting(key) for key in map(str, data.columns)]
        return cls(name, title, kinds, [list(row) for row in data.astype(object).itertuples(index=False)], notes)

    @property
    def header(self) -> list[str]:
        """The titles of the columns."""
        return [column.title for column in self.columns]

    @property
    def texts(self) -> list[list[str]]:
        """The rows as text."""
        return [[column.text(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]

    def is_numeric(self, index: int) -> bool:
        """Whether a column holds numbers only, which are aligned to the right."""
        numbers = [number_of(row[index]) is not None for row in self.rows]
        empty = [not self.columns[index].text(row[index]) for row in self.rows]
        return any(numbers) and all(number or nothing for number, nothing in zip(numbers, empty, strict=True))


def number_of(value: Any) -> float | None:
    """Return the number by which a value sorts; None for text and for what is missing."""
    if isinstance(value, Marked):
        value = value.value
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
        return None
    return float(value)
