"""What a page is made of: tables that sort and filter, figures that zoom."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, and the number that it sorts by."""

    text: str
    sort: float | None = None

    @classmethod
    def of(cls, value: float | None, text: str | None = None, digits: int = 4) -> "Cell":
        """A number with up to `digits` significant digits; empty where it is missing."""
        if value is None or math.isnan(value):
            return cls("", None)
        return cls(text if text is not None else f"{value:.{digits}g}", float(value))


@dataclass(frozen=True)
class Table:
    """A table with a caption."""

    id: str
    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = field(default_factory=frozenset)
    """Columns that are aligned to the right."""
    screen_only: frozenset[int] = field(default_factory=frozenset)
    """Columns that paper has no room for: they say what another one says."""

    def classes(self, index: int) -> Markup:
        """The `class` attribute of a column's cells, with a space in front; empty where it has none."""
        names = [name for name, columns in (("n", self.numeric), ("screen", self.screen_only)) if index in columns]
        return Markup(f' class="{" ".join(names)}"' if names else "")


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its caption."""

    id: str
    title: str
    caption: str
    svg: str
    group: str = ""
    """The page folds figures with a group away under its name."""


def table(ident: str, title: str, note: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    """A table whose numeric columns are those that hold numbers only."""
    numeric = frozenset(
        index
        for index in range(len(columns))
        if any(row[index].sort is not None for row in rows)
        and all(row[index].sort is not None or not row[index].text for row in rows)
    )
    return Table(ident, title, note, columns, rows, numeric)
