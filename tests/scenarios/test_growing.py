"""A sweep before a cluster whose workers are yet to start, with Ray's own autoscaler and its provider for tests."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from memo_core.data import write_npz
from memo_core.data.sources import DATA_ROOT_VARIABLE
from tests.sweeps.conftest import REPOSITORY, settings

COMMANDS = [
    "initialization_commands",
    *(f"{who}setup_commands" for who in ("", "head_", "worker_")),
    *(f"{who}_start_ray_commands" for who in ("head", "worker")),
    "cluster_synced_files",
]


class Growing:
    """A head without CPUs, and up to two workers of one CPU and one GPU that nobody has started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
            DATA_ROOT_VARIABLE: str(folder / "data"),
            # Ray's address file lies here, where a sweep finds it by itself.
            "RAY_TMPDIR": str(folder),
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        }
        worker = {"resources": {"CPU": 1, "GPU": 1, "object_store_memory": 10**8}, "node_config": {}}
        head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
        # As `ray.cluster_utils.AutoscalingCluster` has it, which needs a file that is not in Ray's packages, and which
        # first ends every Ray on this machine.
        provider = {"type": "fake_multinode", "use_node_id_as_ip": True}
        unchecked = {"disable_node_updaters": True, "disable_launch_config_check": True}
        config = {
            "cluster_name": "growing",
            "provider": {**provider, **unchecked},
            "head_node_type": "ray.head.default",
            "available_node_types": {
                "ray.head.default": head,
                "worker": {**worker, "min_workers": 0, "max_workers": 2},
            },
            "max_workers": 2,
            "upscaling_speed": 1.0,
            "idle_timeout_minutes": 10,
            **{key: {} for key in ("auth", "docker", "file_mounts")},
            **{key: [] for key in COMMANDS},
        }
        (folder / "autoscaler.json").write_text(json.dumps(config))

    def start(self) -> None:
        command = ["ray", "start", "--head", "--port=0", "--num-cpus=0", "--include-dashboard=false"]
        sizes = [f"--temp-dir={self.folder}/ray", "--object-store-memory=100000000"]
        config = f"--autoscaling-config={self.folder}/autoscaler.json"
        ray = [str(Path(sys.executable).with_name("ray")), *command[1:], *sizes, config]
        subprocess.run(ray, env=self.environment, check=True, capture_output=True)

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in part for part in process.info["cmdline"] or []):
                found.append(process)
        return found

    @property
    def nodes(self) -> int:
        return sum(process.name() == "raylet" for process in self.processes() if process.is_running())

    def sweep(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "sweeps/weight_decay.py", *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def growing() -> Iterator[Growing]:
    """A cluster that knows whoever has its token."""
    cluster = Growing(Path(tempfile.mkdtemp(dir="/tmp")))
    cluster.environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 32}
    cluster.start()
    yield cluster
    left = cluster.processes()
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=10)
    shutil.rmtree(cluster.folder, ignore_errors=True)


@pytest.mark.ray
def test_what_a_cluster_can_become_decides(growing):
    images, results = growing.folder / "images.npz", growing.folder / "results"
    write_npz(images, np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), np.uint8), None)
    tiny = ["--preset", "laptop", "--sizes", "10", "--storage-path", str(results), *settings()]

    # What the cluster can become decides: a GPU for each trial of the paper's preset, and never four of them.
    arguments = {
        "planned": ("--dry-run", "--figure", "Table 2"),
        "too large": (*tiny, "--gpus-per-trial", "4", "--shared-storage"),
        "not shared": tuple(tiny),
    }
    ended = {}
    for name, typed in arguments.items():
        refused = growing.sweep(*typed)
        ended[name] = (*refused.communicate(timeout=300), refused.returncode)
    output, errors, code = ended["planned"]
    assert code == 0, errors
    assert json.loads(output.splitlines()[0])["resources"] == {"cpu": 1, "gpu": 1}
    output, errors, code = ended["too large"]
    assert (code, errors.count("\n")) == (2, 1)
    assert "--gpus-per-trial 4: the Ray cluster at" in errors
    assert "can grow to 2 CPUs and 2 GPUs" in errors
    first = output.splitlines()[0]
    assert first.startswith("Ray: the cluster at ")
    assert first.endswith("(it runs on this machine), up to 2 CPUs and 2 GPUs, 1 node at present; dashboard off")
    _, errors, code = ended["not shared"]
    assert (code, errors.count("\n")) == (2, 1)
    assert "nodes that are yet to start, which may not have this folder" in errors
    assert "--shared-storage" in errors
    assert growing.nodes == 1
    assert not results.exists()


@pytest.mark.ray
def test_a_cluster_refuses_whom_it_does_not_know(growing, monkeypatch):
    monkeypatch.setitem(growing.environment, "RAY_AUTH_TOKEN", "b" * 32)
    sweep = growing.sweep("--preset", "laptop", "--storage-path", str(growing.folder / "results"))
    output, errors = sweep.communicate(timeout=120)
    assert (sweep.returncode, output, errors.count("\n")) == (2, "", 1)
    assert "error: the Ray that runs on this machine at" in errors
    assert "token" in errors
