"""The faults: each is really caused, to the driver's processes or to the files of its run."""

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.faulting import disk
from benchmarks.faulting.driver import Driver, Place

TRIAL_KILLED = "trial's process killed"
DRIVER_KILLED = "driver killed"
GROUP_TERMINATED = "SIGTERM to the process group"
CHECKPOINT_DAMAGED = "newest checkpoint damaged"
JOURNAL_CUT = "journal cut"
RESULTS_CUT = "result file cut or emptied"
DISK_FULL = "disk full"
FOLDER_MOVED = "run's folder moved"
KINDS = (
    TRIAL_KILLED,
    DRIVER_KILLED,
    GROUP_TERMINATED,
    CHECKPOINT_DAMAGED,
    JOURNAL_CUT,
    RESULTS_CUT,
    DISK_FULL,
    FOLDER_MOVED,
)
ENDS_DRIVER = (DRIVER_KILLED, GROUP_TERMINATED)


class Faults:
    """Causes faults in the order that a seed gives, all kinds equally often.

    Args:
        place: of the sweep.
        seed: of the order, of what is hit and how.
        kinds: those that are caused.
    """

    def __init__(self, place: Place, seed: int, kinds: tuple[str, ...] = KINDS) -> None:
        self._place, self._random, self.kinds = place, random.Random(seed), kinds
        self._order: list[str] = []
        self.counts: Counter[str] = Counter()
        """By kind, those that hit something."""
        self.between: Counter[str] = Counter()
        """Those of them that hit while no driver ran."""
        self.is_full = False
        """The disk was filled, and not yet emptied."""
        self._log = place.witness / "faults.jsonl"

    def pause(self, low: float, high: float) -> float:
        """Return the seconds of training until the next fault."""
        return self._random.uniform(low, high)

    def next_kind(self) -> str:
        """Return the kind of the next fault."""
        if not self._order:
            self._order = self._random.sample(self.kinds, len(self.kinds))
        return self._order.pop()

    def is_for_later(self, kind: str) -> bool:
        """Whether a fault waits until no driver runs, which it ends first."""
        return kind == FOLDER_MOVED or (kind not in (TRIAL_KILLED, *ENDS_DRIVER) and self._random.random() < 0.35)

    def end_of_driver(self) -> str:
        """Return one of the faults that end a driver."""
        return self._random.choice(ENDS_DRIVER)

    def cause(self, kind: str, driver: Driver | None) -> bool:
        """Cause a fault; returns whether there was something to hit.

        Args:
            kind: one of `KINDS`.
            driver: the one that runs; None between two.
        """
        if driver is not None and kind in ENDS_DRIVER:
            (driver.kill if kind == DRIVER_KILLED else driver.terminate_group)()
            hit = True
        elif kind == TRIAL_KILLED:
            hit = driver is not None and self._kill_trial(driver)
        else:
            hit = self._on_files()[kind]()
            if hit and kind == CHECKPOINT_DAMAGED and driver is not None and self._random.random() < 0.5:
                # Else its process, which knows better, would write a newer one.
                self._count(TRIAL_KILLED, self._kill_trial(driver), between=False)
        self._count(kind, hit, between=driver is None)
        return hit

    def make_room(self) -> None:
        """Empty the disk, where it was filled."""
        if self.is_full:
            disk.empty(self._place.disk)
            self.is_full = False

    def _count(self, kind: str, hit: bool, between: bool) -> None:
        self.counts[kind] += hit
        self.between[kind] += hit and between

    def _on_files(self) -> dict[str, Callable[[], bool]]:
        return {
            CHECKPOINT_DAMAGED: self._damage_checkpoint,
            JOURNAL_CUT: self._cut_journal,
            RESULTS_CUT: self._cut_results,
            DISK_FULL: self._fill_disk,
            FOLDER_MOVED: self._move,
        }

    def _kill_trial(self, driver: Driver) -> bool:
        processes = driver.trial_processes()
        if not processes:
            return False
        try:
            self._random.choice(processes).kill()
        except psutil.NoSuchProcess:
            return False
        return True

    def _damage_checkpoint(self) -> bool:
        """Flip a byte of a trial's newest checkpoint, or cut it, where the one before is whole."""
        fitting = []
        for trial in _trials(self._place.run):
            checkpoints = sorted(trial.glob("checkpoint_*"))
            if len(checkpoints) > 1 and all(map(_is_whole, checkpoints[-2:])):
                fitting.append(checkpoints[-1])
        if not fitting:
            return False
        # The most recent ones are those that matter: nothing is trained on from the others.
        folder = self._random.choice(sorted(fitting, key=_age)[:3])
        file = folder / "checkpoint.pt"
        try:
            content = bytearray(file.read_bytes())
            at = self._random.randrange(len(content))
            if self._random.random() < 0.5:
                content[at] ^= 1 << self._random.randrange(8)
            else:
                del content[at:]
            self._note("damaged", folder.parent.name, int(folder.name.rpartition("_")[2]))
            # Not through a handle of an old file: a checkpoint may be replaced at any moment.
            file.write_bytes(content)
        except OSError:  # a newer one has taken its place, or the disk is full
            return False
        return True

    def _cut_journal(self) -> bool:
        file = self._place.run / "trials.jsonl"
        if not file.exists() or not file.stat().st_size:
            return False
        with file.open("r+b") as journal:
            journal.truncate(self._random.randrange(file.stat().st_size))
        return True

    def _cut_results(self) -> bool:
        files = [file for trial in _trials(self._place.run) if (file := trial / "result.json").exists()]
        files = [file for file in files if file.stat().st_size]
        if not files:
            return False
        file = self._random.choice(sorted(files))
        self._note("results lost", file.parent.name, 0)
        with file.open("r+b") as results:
            results.truncate(0 if self._random.random() < 0.5 else self._random.randrange(file.stat().st_size))
        return True

    def _fill_disk(self) -> bool:
        disk.fill(self._place.disk)
        self.is_full = True
        return True

    def _move(self) -> bool:
        self._place.move()
        return True

    def _note(self, event: str, trial: str, images_seen: int) -> None:
        with self._log.open("a") as log:
            log.write(f"{json.dumps([time.time(), event, trial, images_seen])}\n")


def _trials(run: Path) -> list[Path]:
    return sorted(
        {file.parent for file in run.glob("*/checkpoint_*")} | {file.parent for file in run.glob("*/result.json")}
    )


def _is_whole(checkpoint: Path) -> bool:
    """Whether the files of a checkpoint are those that its sums are of, by no code of the sweep's."""
    try:
        lines = (checkpoint / "checkpoint.sha256").read_text().splitlines()
        sums = [line.split(maxsplit=1) for line in lines]
        return bool(sums) and all(
            hashlib.sha256((checkpoint / name.lstrip("*")).read_bytes()).hexdigest() == value for value, name in sums
        )
    except (OSError, ValueError):
        return False


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0
