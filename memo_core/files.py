"""Write files whole or not at all, check before long work that a place can be written, and refuse URLs as files."""

import os
import re
import secrets
import tempfile
from pathlib import Path

from memo_core.errors import MemosweepError, quoted

_URL = re.compile(r"(?i)(?:(?:https?|ftp|s3|gs|hf)://?[^/]|file:/)")
"""One slash as well as two, which is what a URL becomes as a path."""


def write_atomically(path: str | Path, content: bytes) -> None:
    """Replace a file by `content` in one step: a reader or a crash sees the old one or the new one.

    Missing folders are made; the file has the permissions that the user's umask leaves.

    Raises:
        MemosweepError: the place cannot be written, or the disk is full.
    """
    path = Path(path)
    # A short name of its own: with the target's in it, it might be too long where the target's is not.
    unfinished = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Not tempfile's, whose files are readable by their owner alone.
            with unfinished.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MemosweepError(f"{path}: cannot be written ({error.strerror or error})") from None


def check_output_file(path: Path, option: str) -> None:
    """Refuse a place where no file can be written; leaves nothing behind.

    Args:
        path: of the file, which may exist, as may its folder.
        option: the option that named it, for messages.

    Raises:
        MemosweepError: `path` is a folder, or its folder cannot be written or made.
    """
    try:
        if path.is_dir():
            raise MemosweepError(f"{option} {path}: is a folder, name a file")
        _try_folder(path.parent)
    except OSError as error:
        raise MemosweepError(f"{option} {path}: cannot be written ({error.strerror or error})") from None


def check_output_folder(path: Path, option: str) -> None:
    """Refuse a place where no files can be written, as `check_output_file` does for one file."""
    try:
        if path.exists() and not path.is_dir():
            raise MemosweepError(f"{option} {path}: is a file, name a folder")
        _try_folder(path)
    except OSError as error:
        raise MemosweepError(f"{option} {path}: cannot be written ({error.strerror or error})") from None


def is_url(text: str) -> bool:
    """Return whether a text is a URL, or what one becomes as a path."""
    return _URL.match(text) is not None


def refuse_url(text: str, what: str) -> None:
    """Raise MemosweepError for a URL where `what` (in the plural) is read from files."""
    if not is_url(text):
        return
    if text.lower().startswith("file:"):
        raise MemosweepError(f"{_shown(text)}: is a URL; name the file itself, without file:// before its path")
    raise MemosweepError(
        f"{_shown(text)}: is a URL, and {what} are read from files; download it first (for example with curl -LO) and "
        "name the file"
    )


def _shown(text: str) -> str:
    return text if text.isprintable() and len(text) <= 200 else quoted(text)


def _try_folder(folder: Path) -> None:
    """Write into a folder, or into the one that it would be made in; OSError where that fails."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    # Permissions do not tell of read-only disks, quotas, or root.
    with tempfile.TemporaryFile(dir=folder):
        pass
