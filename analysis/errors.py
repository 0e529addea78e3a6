"""What is skipped while results are read, and how it is named. Bad input is `memo_core.errors.MemosweepError`."""

from collections.abc import Sequence

_MAX_NAMED = 3


class SkippedResultsWarning(UserWarning):
    """Part of a result folder could not be read; the rest was."""


def some_of(names: Sequence[str]) -> str:
    """Return the first few of some names for a message, and how many there are besides."""
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"{', '.join(names[:_MAX_NAMED])}{more}"
