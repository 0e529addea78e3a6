"""A run's folder or URL: its name, which other runs there are, and the lock of the one driver that may write it."""

import contextlib
import itertools
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from analysis.results.store import is_local, join_url, last_part, local_path, open_location
from memo_core.errors import MemosweepError, quoted
from memo_core.files import UNFINISHED
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.manifest import FILE as MANIFEST
from sweeps.engine.plans.manifest import Manifest, name_of, unreachable
from sweeps.engine.run import lease
from sweeps.engine.tune.trial.trial_folder import NOTES_FILE, TrialRecord

LOCK = ".driver.lock"
_MAX_NAME_BYTES = 200
"""File systems take 255, and Ray puts endings behind it."""


def absolute(storage: str) -> str:
    """Return a storage path as Tune wants it: absolute, or a URL."""
    if not is_local(storage):
        return storage
    # Not Path's, which fails over the home of nobody.
    return str(Path(os.path.expanduser(local_path(storage))).resolve())  # noqa: PTH111


@contextlib.contextmanager
def only_driver(run_path: str) -> Iterator[Callable[[], None]]:
    """Hold a run's folder for this process, since a second driver would train again what the first one trains.

    The operating system releases it however the process ends; behind a URL a lease does (`lease.py`), which its driver
    renews. File systems that know no locks are not guarded. Makes the folder.

    Yields:
        what raises MemosweepError where another driver has taken over, to be called now and then.

    Raises:
        MemosweepError: another process holds it.
    """
    with contextlib.ExitStack() as stack:
        check: Callable[[], None] = _nothing_to_check
        if is_local(run_path):
            try:
                Path(run_path).mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(f"{run_path}/{LOCK}", timeout=0))
            except Timeout:
                advice = "wait until it has ended, or stop it first"
                raise MemosweepError(f"{run_path} is being run by another process: {advice}") from None
            except (OSError, NotImplementedError):
                pass
        else:
            check = stack.enter_context(lease.held(run_path, lambda line: print(line, flush=True))).check
        yield check


def _nothing_to_check() -> None:
    """A lock of the operating system is not lost."""


def check_name(storage: str, name: str) -> None:
    """Refuse a name of `--name` that Ray, the file system or the URL of the storage would take for something else.

    Raises:
        MemosweepError: what is wrong with it.
    """
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise MemosweepError(f"--name {quoted(name)}: expected at most {_MAX_NAME_BYTES} bytes")
    # Ray searches its folders by pattern, and names of objects go through URLs.
    wrong = re.search(r"[\[\]*?\\\x00-\x1f\x7f]" if is_local(storage) else r"[^A-Za-z0-9._=+-]", name)
    if wrong is not None:
        raise MemosweepError(f"--name {quoted(name)}: {quoted(wrong[0])} cannot stand in the name of a run")


def claim_name(storage: str, wanted: str) -> str:
    """Return a name that no other run has, and make its folder: `wanted`, else with -2, -3, ... behind it.

    Behind a URL no folder can be made for oneself alone; there a random ending makes the name unique.

    Raises:
        MemosweepError: the place cannot be written.
    """
    if not is_local(storage):
        return f"{wanted}-{secrets.token_hex(3)}"
    for number in itertools.count(1):
        name = wanted if number == 1 else f"{wanted}-{number}"
        with unreachable(f"--storage-path: {storage} cannot be written"):
            try:
                Path(storage).mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                raise OSError("it is a file") from None
            with contextlib.suppress(FileExistsError):
                (Path(storage) / name).mkdir()
                return name
    raise AssertionError  # the numbers do not end


def exists(run_path: str) -> bool:
    """Return whether there is a run; MemosweepError where the place cannot be reached."""
    with unreachable(f"--storage-path: {run_path} cannot be reached"):
        filesystem, path = open_location(run_path)
        return bool(filesystem.exists(f"{path}/{MANIFEST}"))


def refuse_existing(run_path: str) -> None:
    """Raise MemosweepError for a run, or a folder of something else.

    A lock alone is that of this start, or of one that was killed before it had written anything, or while it did.
    """
    with unreachable(f"--storage-path: {run_path} cannot be reached"):
        filesystem, path = open_location(run_path)
        names = filesystem.ls(path, detail=False) if filesystem.exists(path) else []
    inside = set(map(last_part, names))
    if MANIFEST in inside:
        name = name_of(run_path)
        raise MemosweepError(
            f"{run_path} exists: --resume finishes it as it was begun, --auto-resume finishes it where the options are "
            f"the same, --extend {name} adds values, sizes, repeats or a longer budget, another --name starts anew"
        )
    if any(name not in (LOCK, lease.FOLDER) and not UNFINISHED.fullmatch(name) for name in inside):
        raise MemosweepError(f"{run_path} exists and is not the run of a sweep: give another --name or --storage-path")


def read_run(factor: Factor, run_path: str) -> Manifest:
    """Return the manifest of a run of a factor.

    Raises:
        MemosweepError: there is none, or it is a run of another factor.
    """
    manifest = Manifest.read(run_path)
    plan = manifest.plan
    if (plan.factor.name, plan.factor.key) != (factor.name, factor.key):
        raise MemosweepError(f"{run_path} is a run of {plan.factor.name} ({plan.factor.key}), not of {factor.name}")
    return manifest


def latest_run(storage: str, factor: str) -> str:
    """Return the name of the run of a factor that was started last.

    Raises:
        MemosweepError: there is none, or the storage cannot be reached.
    """
    with unreachable(f"--storage-path: {storage} cannot be reached"):
        filesystem, path = open_location(storage)
        # Not by a pattern, in which the brackets of a folder's name would have a meaning.
        inside = filesystem.ls(path, detail=True) if filesystem.isdir(path) else []
        folders = [str(entry["name"]).rstrip("/") for entry in inside if entry["type"] == "directory"]
        found = [folder.rpartition("/")[2] for folder in folders if filesystem.exists(f"{folder}/{MANIFEST}")]
    started = {}
    for name in found:
        with contextlib.suppress(MemosweepError):  # of another tool, of another version, or damaged
            manifest = Manifest.read(join_url(storage, name))
            if manifest.plan.factor.name == factor:
                started[name] = (manifest.started, name)
    if not started:
        raise MemosweepError(f"--resume: {storage} holds no run of {factor}, give --storage-path or --name")
    return max(started, key=started.__getitem__)


def notes(run_path: str, records: Mapping[str, TrialRecord]) -> list[str]:
    """Return what the trials' attempts left for the user to know, a line each, with the trial's folder before it."""
    lines = []
    with unreachable(f"{run_path}: cannot be read"):
        filesystem, path = open_location(run_path)
        for record in records.values():
            with contextlib.suppress(FileNotFoundError):
                text = bytes(filesystem.cat_file(f"{path}/{record.folder}/{NOTES_FILE}")).decode(errors="replace")
                lines += [f"{record.folder}: {line}" for line in text.splitlines()]
    return lines
