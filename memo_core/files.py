"""Write files whole or not at all, check before long work that a place can be written, and refuse URLs as files."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from memo_core.errors import MemosweepError, StorageError, StorageFullError, quoted

DATA_ROOT_VARIABLE = "MEMOSWEEP_DATA"
"""Names the folder of downloads."""

_URL = re.compile(r"(?i)(?:(?:https?|ftp|s3|gs|hf)://?[^/]|file:/)")
"""One slash as well as two, which is what a URL becomes as a path."""

UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.part")
"""Names of the files that a killed `write_atomically` leaves."""


def write_atomically(path: str | Path, content: bytes) -> None:
    """Replace a file by `content` in one step: a reader or a crash sees the old one or the new one.

    Missing folders are made; the file has the permissions that the user's umask leaves. It is read back first: a disk
    that kept only a part of it is noticed here.

    Raises:
        StorageFullError: the disk is full.
        MemosweepError: the place cannot be written.
    """
    path = Path(path)
    # A short name of its own: with the target's in it, it might be too long where the target's is not.
    unfinished = path.parent / f".{secrets.token_hex(8)}.part"
    with write_errors(path, len(content)), _removed_in_the_end(unfinished):
        _write_checked(unfinished, content)
        unfinished.replace(path)
        sync_folder(path.parent)


def write_together(folder: str | Path, files: Mapping[str, bytes], vouching: str) -> None:
    """Replace several files of a folder that belong together; all are on the disk before the first is replaced.

    Args:
        folder: is made where it is missing.
        files: contents by name.
        vouching: that one of them which says that the others belong together, such as checksums. A crash amid the
            replacements leaves a folder without it.

    Raises:
        StorageFullError: the disk is full; what was there stays.
        MemosweepError: the place cannot be written; likewise.
    """
    folder = Path(folder)
    names = [*(name for name in files if name != vouching), vouching]
    # Always the same, so that the next call overwrites what a killed process left.
    unfinished = {name: folder / f".{name}.part" for name in names}
    with contextlib.ExitStack() as stack:
        for name in names:
            with write_errors(folder / name, len(files[name])):
                stack.enter_context(_removed_in_the_end(unfinished[name]))
                _write_checked(unfinished[name], files[name])
        with write_errors(folder / vouching, 0):
            (folder / vouching).unlink(missing_ok=True)
            for name in names:
                unfinished[name].replace(folder / name)
            sync_folder(folder)


@contextlib.contextmanager
def write_errors(path: Path, size: int) -> Iterator[None]:
    """Turn errors of the file system into one line.

    Args:
        path: what is written.
        size: its bytes.

    Raises:
        StorageFullError: the disk is full, or a quota is used up.
        StorageError: any other error of the file system.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"{path}: cannot be written ({reason})") from None
        free = "" if error.errno == errno.EDQUOT else f", {_free_space(path)} free"
        raise StorageFullError(
            f"{path}: cannot be written ({reason}; {_as_size(size)} needed{free}); "
            "make room there, or name another place"
        ) from None


def sync_folder(folder: Path) -> None:
    """Make sure that new names in a folder survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _removed_in_the_end(path: Path) -> Iterator[None]:
    """Make the folder of a file, which is removed in the end where it is still there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _write_checked(path: Path, content: bytes) -> None:
    # Not tempfile's, whose files are readable by their owner alone.
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    with path.open("rb") as file:
        read_back = hashlib.file_digest(file, "sha256").digest()
    if read_back != hashlib.sha256(content).digest():
        raise OSError(errno.EIO, f"{path.stat().st_size:,} of {len(content):,} bytes are there, or others")


def _free_space(path: Path) -> str:
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return _as_size(shutil.disk_usage(folder).free)
    except OSError:
        return "an unknown number of bytes"


def _as_size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB" if count < 2**30 else f"{count / 2**30:,.1f} GiB"


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
