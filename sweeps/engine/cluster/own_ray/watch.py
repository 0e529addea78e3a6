"""A small process beside a driver that started Ray: once the driver is gone, it ends what is left.

Ray's own processes notice the death of a killed driver one after the other, its agents after more than a minute.
`python -m sweeps.engine.cluster.own_ray.watch SESSION_FOLDER` waits for the end of its standard input. A line with a
number of seconds on it asks it to kill Ray's processes after that time: a driver inside Ray's C++ code cannot do so
itself.
"""

import contextlib
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from sweeps.engine.cluster.own_ray import folders

_TRIES = 10


def watch(folder: Path) -> "subprocess.Popen[bytes]":
    """Start it for the Ray session of this process; `release` ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(folder)],
        cwd=Path(__file__).parents[4],
        stdin=subprocess.PIPE,
        # The driver's output has an end when the driver ends.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def ask(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Have Ray's processes killed after some seconds."""
    with contextlib.suppress(OSError):  # it was killed itself
        if process.stdin is not None:
            process.stdin.write(f"{seconds}\n".encode())
            process.stdin.flush()


def release(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Let it find that nothing is left, and end."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(folder: Path) -> None:
    """Wait for the driver's end, then clean up behind it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    line = sys.stdin.readline()
    if line:
        if not select.select([sys.stdin], [], [], float(line))[0]:
            folders.end(folders.processes_in(folder))
        sys.stdin.read()
    for _ in range(_TRIES):
        left = folders.processes_in(folder)
        if not left and not folder.exists():
            return
        folders.end(left)
        folders.remove(folder)
        time.sleep(0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
