"""A sweep's driver as its user starts it: one command line, the same each time, in a process group of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[2]
_TOKEN = "MEMOSWEEP_WITNESS"
_WITNESS = Path(__file__).parent / "witness"


class Place:
    """Where a sweep runs: its working folder, which can be moved, and all temporary files.

    Args:
        root: an empty folder; short, for Ray's sockets.
        disk: where the working folder lies; None takes one below `root`.
    """

    def __init__(self, root: Path, disk: Path | None = None) -> None:
        self.disk = disk or root / "disk"
        self.work = self.disk / "work-0"
        self.temporary, self.witness, self.output = root / "t", root / "witness", root / "output"
        for folder in (self.work, self.temporary, self.witness, self.output):
            folder.mkdir(parents=True)
        self.moves = 0

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.work / "results/run"

    def move(self) -> None:
        """Move the working folder; its relative paths stay as they are."""
        self.moves += 1
        target = self.disk / f"work-{self.moves}"
        self.work.rename(target)
        self.work = target

    def environment(self) -> dict[str, str]:
        """Of the driver and, through it, of all its processes, which are known by it."""
        path = os.pathsep.join([str(_WITNESS), str(REPOSITORY)])
        there = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
        return {
            **there,
            "PYTHONPATH": path,
            "RAY_TMPDIR": str(self.temporary),
            "TMPDIR": str(self.temporary),
            _TOKEN: str(self.witness),
        }

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the sweep, drivers among them."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(_TOKEN) == str(self.witness) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


class Driver:
    """One start of the command line.

    Args:
        place: where.
        arguments: the script and its options.
        number: of the start, for the name of its output's file.
    """

    def __init__(self, place: Place, arguments: Sequence[str], number: int) -> None:
        self._place = place
        self.started = time.time()
        self.output = place.output / f"{number:03d}.txt"
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=place.work,
                env=place.environment(),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; returns its exit code, None where it runs still."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Kill the driver alone, which cannot clean up."""
        self._process.kill()
        self._process.wait()

    def terminate_group(self) -> None:
        """Send SIGTERM to the driver's process group, as `timeout`, Slurm and spot machines do."""
        os.killpg(self._process.pid, signal.SIGTERM)

    def trial_processes(self) -> list[psutil.Process]:
        """Return the processes that have a trial."""
        return [process for process in self._place.processes() if _title(process).startswith("ray::ImplicitFunc")]

    def text(self) -> str:
        """Return what it has printed."""
        return self.output.read_text(errors="replace")


def _title(process: psutil.Process) -> str:
    try:
        return str((process.cmdline() or [""])[0])
    except psutil.Error:
        return ""
