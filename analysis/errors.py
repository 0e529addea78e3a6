"""What goes wrong while results are read."""

from collections.abc import Sequence

_MAX_NAMED = 3


class AnalysisError(ValueError):
    """Bad input or results that cannot be read: one line that says what is wrong and what would be right.

    Command lines print it without a traceback and exit with code 2.
    """


class SkippedResultsWarning(UserWarning):
    """Part of a result folder could not be read; the rest was."""


def some_of(names: Sequence[str]) -> str:
    """Return the first few of some names for a message, and how many there are besides."""
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"{', '.join(names[:_MAX_NAMED])}{more}"
