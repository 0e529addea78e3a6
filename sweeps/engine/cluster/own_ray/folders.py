"""The folders of Ray sessions in Ray's temporary folder: whose they are, what runs in them, and their removal.

A folder that a sweep started holds a marker file, locked for as long as its driver lives: the lock goes with the
process however it ends, and unlike a process id it is never given to another.
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

import psutil

MARKER = "memosweep-driver"
_LINK = "session_latest"


def mark(folder: Path) -> int:
    """Put the marker of this process into a session folder; returns the file descriptor that holds its lock."""
    file = folder / f"{MARKER}.{os.getpid()}"
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, f"process {os.getpid()} started {psutil.Process().create_time():.2f}\n".encode())
    # Named once it is locked: an unlocked marker means that its driver is gone.
    file.rename(folder / MARKER)
    return descriptor


def remove_stale(root: Path) -> int:
    """Remove marked session folders below `root` whose drivers are gone, and end what still runs in them.

    Returns:
        How many were removed. Folders without a marker, of running drivers or of other users stay.
    """
    removed = 0
    for marker in root.glob(f"session_*/{MARKER}"):
        try:
            # The `session_latest` link leads to one of them a second time.
            if marker.parent.is_symlink() or marker.stat().st_uid != os.getuid():
                continue
            descriptor = os.open(marker, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end(processes_in(marker.parent))
            remove(marker.parent)
            removed += 1
        except OSError:  # locked: its driver lives, or another start is removing it
            continue
        finally:
            os.close(descriptor)
    return removed


def remove(folder: Path) -> None:
    """Remove a session folder, and the link to the latest session where it led there."""
    shutil.rmtree(folder, ignore_errors=True)
    link = folder.parent / _LINK
    with contextlib.suppress(OSError):
        if link.is_symlink() and Path(os.path.realpath(link)) == Path(os.path.realpath(folder)):
            link.unlink()


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return this user's processes of a session, whatever their parent is by now: those that write into its folder.

    Left out are drivers, whose log Ray names `python-core-driver-...`, and who holds the marker.
    """
    inside = f"{os.path.realpath(folder)}{os.sep}"
    found = []
    for process in psutil.process_iter():
        try:
            if process.uids().real != os.getuid():
                continue
            written = [file.path for file in process.open_files() if file.mode != "r" and file.path.startswith(inside)]
        except (psutil.Error, OSError, AttributeError):
            continue
        if written and not any(Path(path).name.startswith(("python-core-driver-", MARKER)) for path in written):
            found.append(process)
    return found


def end(processes: list[psutil.Process], seconds: float = 3) -> None:
    """Kill processes and wait until they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=seconds)
