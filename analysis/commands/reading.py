"""Reading results for a command: what had to be skipped becomes a warning line, not a traceback."""

import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.errors import SkippedResultsWarning

if TYPE_CHECKING:
    import pandas as pd


def read(paths: Sequence[str]) -> "pd.DataFrame":
    """`analysis.load` with its warnings on stderr, one line each.

    Raises:
        AnalysisError: nothing is left to read.
    """
    from analysis.tables import load  # noqa: PLC0415

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SkippedResultsWarning)
        frame = load(paths)
    for warning in caught:
        if issubclass(warning.category, SkippedResultsWarning):
            print(f"warning: {warning.message}", file=sys.stderr)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return frame


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows as text columns two spaces apart; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
