import os
import subprocess
import sys

import pytest

from sweeps.engine.cluster.machines import granted
from sweeps.engine.cluster.machines.granted import cgroup_limits, granted_cpus, slurm_limits


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


V2 = {"user/job/cpu.max": "max 100000\n", "user/cpu.max": "150000 100000\n", "cpu.max": "max 100000\n"}
V1 = {"cpu,cpuacct/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/user/job\n", V2, [1.5]),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, [4]),
        # Seen from inside a container without a cgroup namespace: its own quota lies in the root.
        ("4:cpu,cpuacct:/docker/1f2e\n0::/docker/1f2e\n", V1, [3]),
        ("1:cpu:/job\n", {"cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, []),
        ("3:cpuset:/job\n2:memory:/\n", V1, []),
        ("0::/job\n", {"job/cpu.max": "", "cpu.max": "what 100000\n"}, []),
        ("0::/job\n", {"job/cpu.max": "100000 0\n"}, []),
        ("strange\n\n::\n", V2, []),
    ],
)
def test_quotas_of_a_cgroup_and_of_those_above_it(membership, files, expected, tmp_path):
    write(tmp_path, {"self": membership, **{f"mount/{name}": content for name, content in files.items()}})
    assert list(cgroup_limits(tmp_path / "self", tmp_path / "mount")) == expected


def test_a_system_without_cgroups_sets_no_limit(tmp_path):
    assert list(cgroup_limits(tmp_path / "missing", tmp_path)) == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, []),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "2"}, [8]),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "2", "SLURM_STEP_NUM_TASKS": "4"}, [8, 2]),
        ({"SLURM_CPUS_ON_NODE": "", "SLURM_CPUS_PER_TASK": "many", "SLURM_STEP_NUM_TASKS": "1"}, []),
    ],
)
def test_what_slurm_gave(environment, expected):
    assert list(slurm_limits(environment)) == expected


@pytest.mark.parametrize(("quota", "expected"), [("150000", 1), ("20000", 1), ("700000", 4)])
def test_the_fewest_of_all_limits_count(quota, expected, tmp_path, monkeypatch):
    write(tmp_path, {"self": "0::/\n", "cpu.max": f"{quota} 100000\n"})
    monkeypatch.setattr(granted, "MEMBERSHIP", tmp_path / "self")
    monkeypatch.setattr(granted, "CGROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert granted_cpus() == expected


def test_one_cpu_of_several():
    one = str(min(os.sched_getaffinity(0)))
    code = f"import os; os.sched_setaffinity(0, {{{one}}}); from sweeps.engine.cluster.machines.granted import *; "
    command = [sys.executable, "-c", code + "print(granted_cpus())"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"
