"""A quiet Ray session: joins the cluster of `--address`, $RAY_ADDRESS or this machine, else starts one here."""

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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from memo_core.errors import MemosweepError, first_line
from memo_core.files import DATA_ROOT_VARIABLE
from sweeps.engine.cluster.address import Target, check_address, target
from sweeps.engine.cluster.limited import limited
from sweeps.engine.cluster.machines.capacity import Capacity, Nodes, growth, present
from sweeps.engine.cluster.machines.gpus import count_gpus
from sweeps.engine.cluster.machines.granted import granted_cpus
from sweeps.engine.cluster.own_ray import folders, watch
from sweeps.engine.cluster.own_ray.temporary import check_temporary_folder, temporary_folder

# ruff: noqa: PLC0415 - Ray takes seconds to import, which a dry run need not wait for

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

_QUIET = {"log_to_driver": False, "logging_level": logging.CRITICAL}


@dataclass(frozen=True)
class Cluster:
    """What trials can use: what is there or, of a cluster that grows, what it can become."""

    cpus: int
    gpus: int
    description: str
    address: str | None = None
    """Of a cluster that was joined; None for a Ray of our own."""
    nodes: int = 1
    """At present."""
    by_nodes: Capacity | None = None
    grows: bool = False
    """More nodes can join it."""
    origin: str = ""
    """Where the address was found."""
    dashboard: str | None = None

    @property
    def capacity(self) -> Capacity:
        """By nodes; a single one where nothing else is known."""
        return self.by_nodes or Capacity([Nodes(self.cpus, self.gpus)])

    @property
    def several(self) -> bool:
        """Trials may run on another machine than this one."""
        return self.nodes > 1 or self.grows

    @property
    def headline(self) -> str:
        """The first line of a run: which Ray, what it holds, and where its dashboard is."""
        amounts = f"{self.cpus} CPUs and {self.gpus} GPUs"
        if self.address is None:
            return f"Ray: a new one on this machine, {amounts}"
        where = f"the cluster at {self.address}{f' ({self.origin})' if self.origin else ''}"
        size = f"{self.nodes} nodes" if self.nodes > 1 else "1 node"
        amounts = f"up to {amounts}, {size} at present" if self.grows else f"{amounts} on {size}"
        return f"Ray: {where}, {amounts}; dashboard {self.dashboard or 'off'}"


@dataclass(frozen=True)
class _OwnRay:
    """What belongs to the Ray that this process started."""

    folder: Path
    marker: int
    """The file descriptor that holds its lock."""
    watch: "subprocess.Popen[bytes]"


@dataclass(frozen=True)
class _Choice:
    """What the command line says of the cluster."""

    address: str = "auto"
    max_gpus: int | None = None


_own: _OwnRay | None = None
_joined: Target | None = None
"""The cluster that this process has joined by `start`."""
_grown: Capacity | None = None
"""What that cluster can become; None for one that does not grow."""
_choice = _Choice()


def choose(address: str = "auto", max_gpus: int | None = None) -> None:
    """Settle which Ray `look` and `start` take in this process.

    Args:
        address: `auto`: that of `$RAY_ADDRESS`, else the one that runs on this machine, else a new one; `local`: a new
            one; `host:port` or `ray://host:port`: that cluster.
        max_gpus: how many GPUs a cluster can grow to that does not say so itself.

    Raises:
        MemosweepError: `max_gpus` is below 1.
    """
    global _choice  # noqa: PLW0603
    if max_gpus is not None and max_gpus < 1:
        raise MemosweepError(f"--max-gpus {max_gpus}: expected at least 1")
    _choice = _Choice(address, max_gpus)


def look() -> Cluster:
    """Return what trials will have; an existing cluster is joined to ask it, otherwise nothing starts.

    Raises:
        MemosweepError: as for `start`.
    """
    if is_joined() or target(_choice.address) is not None:
        return start()
    if _choice.max_gpus is not None:
        raise MemosweepError(f"--max-gpus {_choice.max_gpus}: goes with a cluster that grows, and none is joined here")
    return _described(granted_cpus(), count_gpus())


def start() -> Cluster:
    """Join or start Ray without a line on the screen; called again, it only describes the session.

    Raises:
        MemosweepError: no cluster answers at its address, Ray's temporary folder cannot be used, or Ray does not start.
            Nothing is left behind.
    """
    global _joined  # noqa: PLW0603 - as Ray's own session, one a process
    import ray

    found = target(_choice.address)
    if not ray.is_initialized():
        if found is not None:
            check_address(found)
            message = f"the Ray cluster at {found.address} cannot be joined"
            with _in_one_line(message), _quiet_screen(), _kept_sigterm():
                ray.init(address=found.address, **_QUIET)
            _joined = found
        else:
            _start_own()
    for name in ("ray", "ray.tune", "ray.train"):
        # A failed trial is reported in one line, with the place of its traceback.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return _session(None if _own is not None else found)


def _session(joined: Target | None) -> Cluster:
    """Return what the session has, or can have."""
    import ray

    global _grown  # noqa: PLW0603
    nodes = ray.nodes()
    there = present(nodes)
    _grown, address = None, None
    if joined is not None:
        gcs_address = ray.get_runtime_context().gcs_address
        _grown = growth(there, gcs_address, _choice.max_gpus)
        address = gcs_address if joined.address == "auto" else joined.address
    capacity = there if _grown is None else _grown
    described = _described(capacity.cpus, capacity.gpus, address, _grown is not None)
    return replace(
        described,
        nodes=sum(bool(node["Alive"]) for node in nodes),
        by_nodes=capacity,
        origin=joined.origin if joined is not None else "",
        dashboard=_dashboard(),
    )


def _dashboard() -> str | None:
    import ray

    url = ray._private.worker.get_dashboard_url()
    return f"http://{url}" if url and "://" not in url else url or None


def is_joined() -> bool:
    """Return whether this process has a Ray already."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def stop(seconds: float = 10) -> None:
    """End what this process started: of a Ray of our own every process and its folder; a cluster it only leaves.

    Works also where a signal has already ended a part of Ray. Called again, or without Ray, it does nothing.

    Args:
        seconds: how long Ray may take to end by itself; then its processes are killed.
    """
    global _own, _joined, _grown  # noqa: PLW0603
    if _joined is None and _own is None:
        return
    _joined = _grown = None
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
    import ray

    node = ray._private.worker.global_worker.node
    folder = tempfile.mkdtemp(prefix="memosweep-", dir=None if node is None else node.get_session_dir_path())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _described(cpus: int, gpus: int, address: str | None = None, grows: bool = False) -> Cluster:
    where = f"the Ray cluster at {address}" if address else "this machine"
    has = "can grow to" if grows else "has"
    return Cluster(cpus, gpus, f"{where} {has} {cpus} CPUs and {gpus} GPUs", address, grows=grows)


def _start_own() -> None:
    import ray

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
    import ray

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
    """Return how many trials the cluster holds, whether or not they run: at present, or when it has grown.

    None where Ray is not running.
    """
    if not is_joined():
        return None
    import ray

    there = present(ray.nodes()).at_once(resources)
    return max(1, there, _grown.at_once(resources) if _grown is not None else 0)


def most_started(resources: Mapping[Literal["cpu", "gpu"], float]) -> int | None:
    """Return how many trials a cluster holds when it has grown; None for one that does not grow."""
    return None if _grown is None else trials_at_once(resources)


def has_other_nodes() -> bool:
    """Return whether trials run on other machines than this one too, or will when the cluster has grown."""
    if not is_joined():
        return False
    import ray

    return _grown is not None or sum(bool(node["Alive"]) for node in ray.nodes()) > 1
