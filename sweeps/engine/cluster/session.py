"""A quiet Ray session: joins the cluster of $RAY_ADDRESS or a Ray job, else starts one on this machine."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from memo_core.data.sources import DATA_ROOT_VARIABLE

# Ray reads these when it is imported and when its processes start.
_ENVIRONMENT = {
    # Our own display replaces Tune's tables, and nobody can act on these warnings.
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
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


@dataclass(frozen=True)
class Cluster:
    """What trials can use."""

    cpus: int
    gpus: int
    description: str


def look() -> Cluster:
    """Return what trials will have; an existing cluster is joined to ask it, otherwise nothing starts."""
    if ray.is_initialized() or os.environ.get("RAY_ADDRESS"):
        return start()
    import torch  # noqa: PLC0415 - slow, and only needed here

    cpus, gpus = len(os.sched_getaffinity(0)), torch.cuda.device_count()
    return Cluster(cpus, gpus, f"this machine has {cpus} CPUs and {gpus} GPUs")


def start() -> Cluster:
    """Join or start Ray without logging to the screen; called again, it only describes the session."""
    address = os.environ.get("RAY_ADDRESS")
    if not ray.is_initialized():
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR)
    for name in ("ray", "ray.tune", "ray.train"):
        # A failed trial is reported in one line, with the place of its traceback.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    resources = ray.cluster_resources()
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    where = f"the Ray cluster at {address}" if address else "this machine"
    return Cluster(cpus, gpus, f"{where} has {cpus} CPUs and {gpus} GPUs")


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
