"""What goes wrong while results are read."""

from collections.abc import Sequence

from memo_core.errors import MemosweepError

_MAX_NAMED = 3


AnalysisError = MemosweepError
"""Also for results that cannot be read."""


class SkippedResultsWarning(UserWarning):
    """Part of a result folder could not be read; the rest was."""


def some_of(names: Sequence[str]) -> str:
    """Return the first few of some names for a message, and how many there are besides."""
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"{', '.join(names[:_MAX_NAMED])}{more}"
