"""A small disk of its own, which can be filled."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

_FILLING = "filling"


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path | None]:
    """Mount an empty disk in memory; None where this is not permitted, as for all but root."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "none", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Write until nothing more goes in."""
    with contextlib.suppress(OSError), (disk / _FILLING).open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


def empty(disk: Path) -> None:
    """Make the room again."""
    (disk / _FILLING).unlink(missing_ok=True)
