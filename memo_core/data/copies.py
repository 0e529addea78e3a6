"""Copies of data sets that lie on another machine, in the place of their paths."""

import threading
from pathlib import Path

_copies: dict[str, Path] = {}
_lock = threading.Lock()


def use_copy(dataset: str, copy: Path) -> None:
    """Read a file or folder of this machine in the place of a data set, in this process from now on.

    Experiments keep the path that they name: it is a part of what they are.

    Args:
        dataset: as experiments name it.
        copy: holds the same.
    """
    with _lock:
        _copies[dataset] = copy


def place_of(dataset: str) -> str:
    """Return where a data set is read from: its copy where there is one, else itself."""
    with _lock:
        copy = _copies.get(dataset)
    return dataset if copy is None else str(copy)
