"""A quiet Ray session: joins the cluster of $RAY_ADDRESS or a Ray job, else starts one on this machine."""

import atexit
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from memo_core.data.sources import DATA_ROOT_VARIABLE
from memo_core.errors import MemosweepError, first_line
from sweeps.engine.cluster import folders, watch
from sweeps.engine.cluster.address import check_address
from sweeps.engine.cluster.granted import granted_cpus
from sweeps.engine.cluster.limited import limited
from sweeps.engine.cluster.temporary import check_temporary_folder, temporary_folder

# Ray reads these when it is imported and when its processes start.
_ENVIRONMENT = {
    # Our own display replaces Tune's tables, and nobody can act on these warnings.
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Said once, by the display, with its cause.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "died or was killed|killed due to",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # The last report of a trial that diverged has no ratio, on purpose: searchers and schedulers know.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Trials write their own results, and Tune's state is thrown away.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    # A signal ends a sweep at once: what it has trained is on the disk.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402 - after the environment

_QUIET = {"log_to_driver": False, "logging_level": logging.CRITICAL}


@dataclass(frozen=True)
class Cluster:
    """What trials can use."""

    cpus: int
    gpus: int
    description: str
    address: str | None = None
    """Of a cluster that was joined; None for a Ray of our own."""
    nodes: int = 1


@dataclass(frozen=True)
class _OwnRay:
    """What belongs to the Ray that this process started."""

    folder: Path
    marker: int
    """The file descriptor that holds its lock."""
    watch: "subprocess.Popen[bytes]"


_own: _OwnRay | None = None
_joined = False
"""This process has joined a cluster by `start`."""


def look(address: str | None = None) -> Cluster:
    """Return what trials will have; an existing cluster is joined to ask it, otherwise nothing starts.

    Args:
        address: as for `start`.
    """
    if ray.is_initialized() or _to_join(address):
        return start(address)
    import torch  # noqa: PLC0415 - slow, and only needed here

    return _described(granted_cpus(), torch.cuda.device_count(), None)


def start(address: str | None = None) -> Cluster:
    """Join or start Ray without a line on the screen; called again, it only describes the session.

    Args:
        address: `host:port`, `ray://host:port` or `auto` to join a cluster, `local` to start a Ray of our own with the
            CPUs that this process was granted; `$RAY_ADDRESS` where not given, else `local`.

    Raises:
        MemosweepError: no cluster answers there, Ray's temporary folder cannot be used, or Ray does not start. Nothing
            is left behind.
    """
    global _joined  # noqa: PLW0603 - as Ray's own session, one a process
    joined = _to_join(address)
    if not ray.is_initialized():
        if joined:
            check_address(joined)
            message = f"the Ray cluster at {joined} cannot be joined"
            with _in_one_line(message), _quiet_screen(), _kept_sigterm():
                ray.init(address=joined, **_QUIET)
            _joined = True
        else:
            _start_own()
    for name in ("ray", "ray.tune", "ray.train"):
        # A failed trial is reported in one line, with the place of its traceback.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    resources = ray.cluster_resources()
    nodes = sum(bool(node["Alive"]) for node in ray.nodes())
    return _described(int(resources.get("CPU", 1)), int(resources.get("GPU", 0)), joined, nodes)


def stop(seconds: float = 10) -> None:
    """End what this process started: of a Ray of our own every process and its folder; a cluster it only leaves.

    Works also where a signal has already ended a part of Ray. Called again, or without Ray, it does nothing.

    Args:
        seconds: how long Ray may take to end by itself; then its processes are killed.
    """
    global _own, _joined  # noqa: PLW0603
    if not _joined and _own is None:
        return
    _joined = False
    with _quiet_screen():
        if _own is not None:
            # Ray would wait for parts that are gone.
            watch.ask(_own.watch, seconds if _is_whole(_own.folder) else 0)
        _shut_down(seconds + 5)
        if _own is None:
            return
        folders.end(folders.processes_in(_own.folder))
        folders.remove(_own.folder)
    os.close(_own.marker)
    watch.release(_own.watch, seconds=5)
    _own = None


def remove_stale() -> int:
    """Remove the session folders of sweeps whose drivers were killed; returns how many. `start` calls it."""
    return folders.remove_stale(temporary_folder())


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """Make a folder for what is thrown away, within Ray's own where that is on this machine: it goes with it."""
    node = ray._private.worker.global_worker.node
    folder = tempfile.mkdtemp(prefix="memosweep-", dir=None if node is None else node.get_session_dir_path())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _to_join(address: str | None) -> str | None:
    chosen = address or os.environ.get("RAY_ADDRESS")
    return None if chosen in (None, "", "local") else chosen


def _described(cpus: int, gpus: int, address: str | None, nodes: int = 1) -> Cluster:
    where = f"the Ray cluster at {address}" if address else "this machine"
    return Cluster(cpus, gpus, f"{where} has {cpus} CPUs and {gpus} GPUs", address, nodes)


def _start_own() -> None:
    global _own  # noqa: PLW0603
    check_temporary_folder()
    remove_stale()
    root = temporary_folder()
    existed, before = root.exists(), set(_own_folders(root))
    try:
        with _in_one_line("Ray does not start"), _quiet_screen(), _kept_sigterm():
            # With its dashboard, which people watch.
            context = ray.init(address="local", num_cpus=granted_cpus(), **_QUIET)
            folder = Path(context.address_info["session_dir"])
            _own = _OwnRay(folder, folders.mark(folder), watch.watch(folder))
    except BaseException:
        with _quiet_screen():
            _shut_down(seconds=5)
            for folder in set(_own_folders(root)) - before:
                folders.end(folders.processes_in(folder))
                folders.remove(folder)
        if not existed and not any(root.glob("session_*")):
            shutil.rmtree(root, ignore_errors=True)
        raise


@contextlib.contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Leave SIGTERM to this process alone, with the handler that it has.

    Ray sets a handler that exits with 15, and its C++ part one that aborts. Its processes inherit that the signal is
    blocked: one to the whole process group would end them, and the driver would wait in C++ code for what is gone.
    """
    handler, mask = signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _own_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of the sessions that this process started; Ray names them by its process id."""
    return root.glob(f"session_*_{os.getpid()}")


def _is_whole(folder: Path) -> bool:
    return {"gcs_server", "raylet"} <= {process.name() for process in folders.processes_in(folder)}


def _shut_down(seconds: float) -> None:
    """Call `ray.shutdown`, which waits for what is gone; it is given up after `seconds`."""
    try:
        limited(ray.shutdown, seconds)
    except TimeoutError:
        # It would be called again when this process ends, and wait again.
        atexit.unregister(ray.shutdown)
    except Exception:  # nothing is left to shut down
        atexit.unregister(ray.shutdown)


@contextlib.contextmanager
def _in_one_line(message: str) -> Iterator[None]:
    """Turn whatever Ray raises into one line: `message` and the reason."""
    try:
        yield
    except Exception as error:
        raise MemosweepError(f"{message} ({first_line(error)})") from None


@contextlib.contextmanager
def _quiet_screen() -> Iterator[None]:
    """Send away what Ray's C++ parts write to standard error, past Python."""
    sys.stderr.flush()
    try:
        screen = os.dup(2)
    except OSError:  # closed, as under a service
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(screen, 2)
        os.close(screen)


def fix_data_root() -> None:
    """Make a relative `$MEMOSWEEP_DATA` absolute for this process and for the workers that Ray starts from it."""
    root = os.environ.get(DATA_ROOT_VARIABLE)
    if root:
        os.environ[DATA_ROOT_VARIABLE] = os.path.abspath(os.path.expanduser(root))  # noqa: PTH100, PTH111


def trials_at_once(resources: Mapping[Literal["cpu", "gpu"], float]) -> int | None:
    """Return how many trials the cluster holds at present, whether or not they run; none where Ray is not running."""
    if not ray.is_initialized():
        return None
    there = ray.cluster_resources()
    counts = [int(there.get(name.upper(), 0) / amount + 1e-9) for name, amount in resources.items() if amount > 0]
    return max(1, min(counts, default=1))
