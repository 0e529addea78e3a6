"""The lock of a run behind a URL: a lease, an object that its driver renews.

`RUN/.driver.lease/000001.json` says who holds the run and when it last gave a sign of life. The lease with the highest
number counts. A driver that follows writes the next number, which succeeds for one only: object stores can write an
object only where there is none. Where a file system cannot do that at once (S3 without s3fs, HDFS), the object is read
back after a moment, and who reads itself holds it.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from analysis.results.store import join_url, open_location
from memo_core.errors import MemosweepError
from sweeps.engine.plans.manifest import unreachable

FOLDER = ".driver.lease"
RENEW_SECONDS = 20.0
STALE_SECONDS = 180.0
"""After so long a silence a driver counts as dead. The clocks of the machines must agree to some seconds."""
_SETTLE_SECONDS = 3.0
_POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Holder:
    """What a lease says."""

    token: str
    host: str
    boot: str
    """Of the machine or container: others may have its name, and no process of theirs is seen here."""
    pid: int
    started: float
    """When its process started, seconds since 1970: process numbers are given again."""
    renewed: float
    """Seconds since 1970."""
    ended: bool = False

    @property
    def is_dead(self) -> bool:
        """Whether it surely gives no more signs of life."""
        if self.ended:
            return True
        if (self.host, self.boot) != (socket.gethostname(), _boot()):
            return False
        try:
            return bool(abs(psutil.Process(self.pid).create_time() - self.started) > 2)
        except psutil.Error:
            return True


class Lease:
    """The lease of this process on a run.

    Args:
        run_path: URL of the run.
        clock: seconds since 1970.
    """

    def __init__(self, run_path: str, clock: Callable[[], float] = time.time) -> None:
        self._run_path, self._clock = run_path, clock
        self._filesystem, self._folder = open_location(join_url(run_path, FOLDER))
        process = psutil.Process()
        self._holder = Holder(
            secrets.token_hex(8), socket.gethostname(), _boot(), os.getpid(), process.create_time(), clock()
        )
        self._number = 0
        self._lost: str | None = None

    def take(self, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep) -> None:
        """Take the lease; where another driver holds it, wait for its next sign of life or until it is stale.

        Args:
            say: takes a line for the user.
            sleep: waits for some seconds.

        Raises:
            MemosweepError: another driver lives, or the place cannot be written.
        """
        with unreachable(f"{self._run_path}: cannot be locked"):
            while True:
                number, holder = self._highest()
                if holder is not None:
                    self._wait_for(number, holder, say, sleep)
                if self._create(number + 1, sleep):
                    self._number = number + 1
                    self._remove_before(self._number)
                    return

    def renew(self) -> None:
        """Give a sign of life, or notice that another driver has taken the lease.

        Raises:
            OSError: the store does not answer.
        """
        number, holder = self._highest()
        if number != self._number or holder is None or holder.token != self._holder.token:
            by = f" on {holder.host}" if holder is not None else ""
            self._lost = f"another driver{by} has taken over {self._run_path}, since this one gave no sign of life"
            return
        self._write(replace(self._holder, renewed=self._clock()))

    def check(self) -> None:
        """Raise MemosweepError where the lease was lost."""
        if self._lost is not None:
            raise MemosweepError(self._lost)

    def release(self) -> None:
        """Give the lease back; others need not wait."""
        if self._lost is None:
            with contextlib.suppress(OSError, ValueError):  # it becomes stale by itself
                self._write(replace(self._holder, renewed=self._clock(), ended=True))

    def _wait_for(
        self, number: int, holder: Holder, say: Callable[[str], None], sleep: Callable[[float], None]
    ) -> None:
        """Return once a holder is dead or stale, or has been followed by another."""
        said = False
        while not holder.is_dead and self._clock() - holder.renewed < STALE_SECONDS:
            if not said:
                silence = self._clock() - holder.renewed
                say(
                    f"{self._run_path} was being run on {holder.host} (process {holder.pid}) {max(0, silence):.0f} s "
                    f"ago; waiting for its next sign of life, at most {STALE_SECONDS - silence:.0f} s"
                )
                said = True
            sleep(_POLL_SECONDS)
            later, now = self._highest()
            if later != number or now is None:
                return
            if now.renewed != holder.renewed and not now.ended:
                advice = "wait until it has ended, or stop it first"
                where = f"process {holder.pid} on {holder.host}"
                raise MemosweepError(f"{self._run_path} is being run by another process ({where}): {advice}")
            holder = now

    def _highest(self) -> tuple[int, Holder | None]:
        """Return the lease that counts; 0 without any."""
        try:
            entries = self._filesystem.ls(self._folder, detail=False)
        except FileNotFoundError:
            return 0, None
        numbers = [int(stem) for stem in (_stem(entry) for entry in entries) if stem.isdecimal()]
        number = max(numbers, default=0)
        if not number:
            return 0, None
        try:
            return number, _parse(self._filesystem.cat_file(self._path(number)))
        except FileNotFoundError:
            return self._highest()  # removed by its follower since it was listed

    def _create(self, number: int, sleep: Callable[[float], None]) -> bool:
        """Write a lease where there is none; returns whether this process has got it."""
        content = json.dumps(asdict(replace(self._holder, renewed=self._clock()))).encode()
        try:
            self._filesystem.pipe_file(self._path(number), content, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if "conflict" in str(error).lower():  # S3's answer to two at the same moment
                return False
            raise
        except TypeError:  # a file system that does not know the mode
            self._filesystem.pipe_file(self._path(number), content)
        if not self._filesystem.creates_exclusively:
            sleep(_SETTLE_SECONDS)
        found = _parse(self._filesystem.cat_file(self._path(number)))
        return found is not None and found.token == self._holder.token

    def _write(self, holder: Holder) -> None:
        self._filesystem.pipe_file(self._path(self._number), json.dumps(asdict(holder)).encode())

    def _remove_before(self, number: int) -> None:
        for entry in self._filesystem.ls(self._folder, detail=False):
            if _stem(entry).isdecimal() and int(_stem(entry)) < number:
                with contextlib.suppress(OSError):
                    self._filesystem.rm_file(str(entry))

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number:06d}.json"


@contextlib.contextmanager
def held(run_path: str, say: Callable[[str], None]) -> Iterator[Lease]:
    """Hold the lease of a run behind a URL, renewed in the background.

    Raises:
        MemosweepError: another driver holds it, or the place cannot be written.
    """
    with unreachable(f"{run_path}: cannot be locked"):
        lease = Lease(run_path)
    lease.take(say)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            # Tried again, whatever the store's client raises: what cannot be renewed becomes stale.
            with contextlib.suppress(Exception):
                lease.renew()

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join(RENEW_SECONDS)
        lease.release()


def _boot() -> str:
    """Return what tells this machine since its start, and this container on it, from others; empty where unknown."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _stem(entry: Any) -> str:
    return str(entry).rstrip("/").rpartition("/")[2].removesuffix(".json")


def _parse(content: bytes) -> Holder | None:
    """Return what a lease says; None for a damaged one, which holds nothing."""
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError):
        return None
