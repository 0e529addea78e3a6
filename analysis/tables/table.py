"""A table: columns with their formats, rows of values, notes; `analysis.tables.writers` writes it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Marked:
    """A number with a mark before it, such as `>=` of a lower bound."""

    value: float
    mark: str


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
