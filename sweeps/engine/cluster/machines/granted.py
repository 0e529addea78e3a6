"""How many CPUs this process may use, which may be fewer than the machine has."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

MEMBERSHIP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def granted_cpus() -> int:
    """Return the CPUs that this process may use, at least 1.

    The fewest of: its affinity (`taskset`, `docker --cpuset-cpus`), the quota of its cgroup and of those above it
    (`docker --cpus`, Kubernetes), and what Slurm gave the job or the task. A fraction of a CPU is not counted.
    """
    # macOS has no affinity.
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [affinity, *cgroup_limits(MEMBERSHIP, CGROUPS), *slurm_limits(os.environ)]
    return max(1, int(min(limits)))


def cgroup_limits(membership: Path, root: Path) -> Iterator[float]:
    """Yield the CPUs that the cgroups of a process allow, its own and those above it, where they have a quota.

    Args:
        membership: `/proc/self/cgroup`; lines such as `0::/user.slice` (version 2) or `4:cpu,cpuacct:/docker/1f2e`.
        root: where the cgroups are mounted. Inside a container the path of a membership may not exist below it: the
            container's own quota then lies in the root.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        below = PurePosixPath(path.strip().lstrip("/"))
        mounts = []
        if number == "0":
            mounts = [root, root / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [root / controllers, root / "cpu"]
        for mount in mounts:
            for folder in (below, *below.parents):
                yield from _quota(mount / folder)


def slurm_limits(environment: Mapping[str, str]) -> Iterator[float]:
    """Yield the CPUs of a Slurm job on this node, and those of one task where `srun` started it."""
    names = ["SLURM_CPUS_ON_NODE"]
    # In the batch script itself, the job's other tasks are not running.
    if "SLURM_STEP_NUM_TASKS" in environment:
        names.append("SLURM_CPUS_PER_TASK")
    for name in names:
        value = environment.get(name, "")
        if value.isdecimal() and int(value) > 0:
            yield int(value)


def _quota(cgroup: Path) -> Iterator[float]:
    """Yield the CPUs that one cgroup allows, of version 2 (`cpu.max`) or 1; none without a quota."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota, period = ((cgroup / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        # Without a quota, version 2 says "max" and version 1 says -1.
        if quota != "max" and int(quota) > 0 and int(period) > 0:
            yield int(quota) / int(period)
    except (OSError, ValueError):
        return
