"""A sweep under faults, started again by the same command line until it is done."""

import getpass
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faulting.driver import Driver, Place
from benchmarks.faulting.injection import FOLDER_MOVED, GROUP_TERMINATED, Faults

_FULL_SECONDS, _MOST_FULL_SECONDS = 4.0, 60.0
"""A full disk gets room again after so many seconds of training, and after so many in any case."""
_CACHES = ("ray", f"torchinductor_{getpass.getuser()}")
"""What Ray and PyTorch keep, one for all runs."""
_OF_PACKAGES = re.compile(r"tmp\w+wandb-(media|artifacts)|pymp-\w+")
"""Folders that packages make when Ray imports them, where they are installed; a killed process leaves them."""
_HANG_SECONDS = 300.0
_LOOK_SECONDS = 0.05


class SoakError(Exception):
    """The sweep does not come to its end."""


@dataclass
class Soak:
    """How a sweep came to its end.

    Attributes:
        starts: of the command line.
        exit_codes: how often each; -9 of a driver that was killed.
        seconds: on the wall.
        end_seconds: from each SIGTERM to the group to the end of the driver.
        complaints: outputs of drivers that ended with 2, or with a traceback.
    """

    starts: int = 0
    exit_codes: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    end_seconds: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def run_undisturbed(place: Place, arguments: Sequence[str]) -> float:
    """Run a sweep to its end; returns its seconds.

    Raises:
        SoakError: it ends with another code than 0.
    """
    begun = time.monotonic()
    driver = Driver(place, arguments, 0)
    code = driver.wait(3600)
    if code != 0:
        raise SoakError(f"without any fault the sweep ends with {code}:\n{driver.text()}")
    return time.monotonic() - begun


def run_with_faults(
    place: Place, arguments: Sequence[str], faults: Faults, between: tuple[float, float], starts: int, most: int = 10**6
) -> Soak:
    """Run a sweep to its end while faults are caused, each some seconds of training after the one before.

    Args:
        place: of the sweep.
        arguments: of its command line.
        faults: what is caused.
        between: the shortest and longest time between two faults, in seconds.
        starts: after so many the sweep is given up.
        most: faults; after so many the sweep is left alone.

    Raises:
        SoakError: it is given up, or hangs.
    """
    soak, begun = Soak(), time.monotonic()
    while soak.starts < starts:
        soak.starts += 1
        driver = Driver(place, arguments, soak.starts)
        pending = _until_its_end(place, driver, faults, between, soak, most)
        code = driver.poll()
        assert code is not None
        soak.exit_codes[code] += 1
        if code == 2 or "Traceback" in driver.text():
            soak.complaints.append(f"start {soak.starts}, exit code {code}: {driver.text()[-2000:]}")
        faults.make_room()
        if code == 0:
            soak.seconds = time.monotonic() - begun
            return soak
        for kind in pending:
            if kind == FOLDER_MOVED:
                # What is just being ended may still write to where the folder was.
                _wait_for(lambda: not place.processes())
            faults.cause(kind, None)
    raise SoakError(f"not done after {starts} starts; the last output:\n{driver.text()}")


def _until_its_end(
    place: Place, driver: Driver, faults: Faults, between: tuple[float, float], soak: Soak, most: int
) -> list[str]:
    """Cause faults until the driver has ended; returns those that wait for its end."""
    pending: list[str] = []
    pause, earlier = faults.pause(*between), _logs(place)
    is_training, terminated, last = False, 0.0, time.monotonic()
    while driver.poll() is None:
        time.sleep(_LOOK_SECONDS)
        now = time.monotonic()
        if time.time() - max(driver.started, _last_sign(place)) > _HANG_SECONDS:
            driver.kill()
            raise SoakError(f"the driver hangs; its output:\n{driver.text()}")
        if not is_training and _logs(place) - earlier:
            # Time counts while trials train: else faults would hit nothing but the start of Ray.
            is_training, last = True, now
        if faults.is_full and now - last > (_FULL_SECONDS if is_training else _MOST_FULL_SECONDS):
            faults.make_room()
        if terminated or not is_training or now - last < pause or sum(faults.counts.values()) >= most:
            continue
        kind = faults.next_kind()
        if faults.is_for_later(kind):
            pending.append(kind)
            kind = faults.end_of_driver()
        terminated = now if kind == GROUP_TERMINATED else 0.0
        faults.cause(kind, driver)
        pause, last = faults.pause(*between), now
    if terminated:
        soak.end_seconds.append(round(time.monotonic() - terminated, 1))
    return pending


def _last_sign(place: Place) -> float:
    """Return when a trial's process did something last, in seconds since the epoch."""
    return max((file.stat().st_mtime for file in _logs(place)), default=0.0)


def _logs(place: Place) -> set[Path]:
    """Return the logs of trials' processes."""
    return {file for file in place.witness.glob("*.jsonl") if file.stem.isdigit()}


def left_behind(place: Place) -> dict[str, int]:
    """Count what a sweep that is over has left, after half a minute at most."""

    def found() -> dict[str, int]:
        return {
            "processes": len(place.processes()),
            "session_folders": len(list(place.temporary.glob("ray/session_2*"))),
            "other_temporary_files": len([file for file in place.temporary.iterdir() if not _is_known(file.name)]),
        }

    _wait_for(lambda: not any(found().values()))
    return found()


def _is_known(name: str) -> bool:
    return name in _CACHES or _OF_PACKAGES.fullmatch(name) is not None


def _wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.2)
