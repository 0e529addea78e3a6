"""The folder in which Ray keeps sockets and logs, checked before Ray fails in it."""

import os
import sys
from pathlib import Path

from memo_core.errors import MemosweepError

_VARIABLES = ("RAY_TMPDIR", "TMPDIR") if sys.platform.startswith("linux") else ("RAY_TMPDIR",)
_MAX_SOCKET = 103 if sys.platform == "darwin" else 107
"""Bytes of a socket's path that the system takes."""
_LONGEST = "session_2026-01-31_23-59-59_999999_{pid}/sockets/dash_MetricsHead"
"""The longest path that Ray 2.60 makes for a socket below its folder."""


def temporary_folder() -> Path:
    """Return Ray's folder below `$RAY_TMPDIR`, `$TMPDIR` or `/tmp`, as Ray chooses it."""
    chosen = next((os.environ[name] for name in _VARIABLES if name in os.environ), "/tmp")
    return Path(chosen, "ray")


def check_temporary_folder() -> None:
    """Check that Ray can work in its temporary folder; nothing is created.

    Raises:
        MemosweepError: its path is relative or too long for sockets, or it cannot be written; and what to set.
    """
    folder = temporary_folder()
    parent, variable = folder.parent, next((name for name in _VARIABLES if name in os.environ), "")
    named = f"{variable} = {str(parent)!r}" if variable else str(parent)
    if not folder.is_absolute():
        raise MemosweepError(f"{named}: expected an absolute path, for Ray's temporary files")
    room = _MAX_SOCKET - len(f"/ray/{_LONGEST.format(pid=os.getpid())}")
    if len(os.fsencode(parent)) > room:
        raise MemosweepError(
            f"{named} is too long for Ray's sockets: at most {room} bytes, not {len(os.fsencode(parent))}; "
            "set RAY_TMPDIR to a shorter one, such as /tmp"
        )
    there = next(path for path in (folder, *folder.parents) if _exists(path))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = f"{there} is not writable{_owner(there)}" if there.is_dir() else f"{there} is not a folder"
        raise MemosweepError(f"{reason}: Ray keeps its temporary files there; set RAY_TMPDIR to a folder of yours")


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:  # below a file, or in a folder that may not be entered: its parent decides
        return False
    return True


def _owner(path: Path) -> str:
    """Return whose folder it is where it is not ours, in parentheses."""
    try:
        return "" if path.stat().st_uid == os.getuid() else f" (it belongs to {path.owner()})"
    except (OSError, KeyError, AttributeError):
        return ""
