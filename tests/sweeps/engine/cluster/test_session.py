"""A Ray of our own, from its start to its end, in drivers of their own that meet real faults."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import ray

from memo_core.errors import MemosweepError
from sweeps.engine.cluster import session
from sweeps.engine.cluster.machines.capacity import Capacity, Nodes
from sweeps.engine.cluster.own_ray.folders import MARKER, processes_in
from tests.sweeps.conftest import REPOSITORY, wait_for

DRIVER = """
import os, signal, sys, time
from sweeps.engine.cluster import session
from sweeps.engine.cluster.machines.capacity import Capacity, Nodes
import ray

def ended(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, ended)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

@ray.remote
def busy():
    import torch
    while True:
        torch.randn(300, 300) @ torch.randn(300, 300)

cluster = session.start()
work = busy.remote()
ray.get(ray.remote(num_cpus=0)(lambda: None).remote())
try:
    # Whoever reads this may send a signal at once.
    print(cluster.cpus, flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    pass
begin = time.monotonic()
session.stop()
session.stop()
print(time.monotonic() - begin < 20, ray.is_initialized(), flush=True)
"""


@pytest.fixture
def temporary():
    """A folder for Ray, short enough for its sockets."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def driver(temporary):
    """A driver with one CPU, whose Ray runs a task on it, and its session's folder."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=REPOSITORY,
        env={**environment, "RAY_TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "1\n"
    (marker,) = (temporary / "ray").glob(f"session_*_{process.pid}/{MARKER}")
    yield process, marker.parent
    process.kill()
    process.communicate()


@pytest.mark.ray
def test_a_signal_to_the_whole_group_leaves_nothing_and_says_nothing(driver):
    process, folder = driver
    assert {"gcs_server", "raylet"} <= {process.name() for process in processes_in(folder)}
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGTERM)
    for part in family:
        # However far the signal has come: the parts that would be waited for are gone.
        if part.name() in ("gcs_server", "raylet"):
            part.kill()
    assert process.communicate(timeout=60) == ("True False\n", "")
    assert process.returncode == 0
    wait_for(lambda: not [part for part in family if part.is_running()], seconds=30)
    assert not folder.exists()
    assert not (folder.parent / "session_latest").is_symlink()


@pytest.mark.ray
def test_a_polite_signal_is_for_the_driver_alone_and_after_a_killed_one_nothing_is_left(driver):
    # Without the parts that it reaches a driver would wait for a minute in Ray's C++ code, and be aborted there.
    process, folder = driver
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) > 5
    for part in processes_in(folder):
        part.terminate()
    time.sleep(2)
    assert {"gcs_server", "raylet"} <= {process.name() for process in processes_in(folder)}
    process.kill()
    wait_for(lambda: not any(part.is_running() and part.status() != psutil.STATUS_ZOMBIE for part in family), 30)
    wait_for(lambda: not folder.exists(), 30)


@pytest.mark.ray
def test_a_start_that_ray_gives_up_is_one_line_and_leaves_nothing(temporary):
    # The cluster's controller runs by the time that Ray reads this.
    code = "from sweeps.engine.cluster import session\nsession.start()"
    environment = {**os.environ, "RAY_TMPDIR": str(temporary), "RAY_OVERRIDE_RESOURCES": '{"CPU"', "RAY_ADDRESS": ""}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert "MemosweepError: Ray does not start (Expecting ':' delimiter" in process.stderr.splitlines()[-1]
    assert "Expecting" not in "".join(process.stderr.splitlines()[:-1])
    assert list(temporary.iterdir()) == []
    commands = [" ".join(found.info["cmdline"] or []) for found in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if str(temporary) in command]


@pytest.mark.parametrize("address", [None, "", "local"])
def test_nothing_starts_and_nothing_is_joined_to_look(address, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("started"))
    monkeypatch.setattr(session, "granted_cpus", lambda: 3)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", "/nowhere")
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    session.choose()
    found = session.look()
    assert (found.cpus, found.address, found.nodes) == (3, None, 1)
    assert found.description.startswith("this machine has 3 CPUs and ")


def test_a_dead_address_is_refused_before_ray_tries(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("tried"))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    session.choose()
    with pytest.raises(MemosweepError, match=r"RAY_ADDRESS=127\.0\.0\.1:1: nothing can be reached there"):
        session.start()


def test_stop_without_ray_does_nothing(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("shut down"))
    session.stop()


def test_a_joined_cluster_is_described_with_its_address(cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    found = session.start()
    assert (found.cpus, found.address, found.nodes) == (1, cluster, 1)
    assert found.description.startswith(f"the Ray cluster at {cluster} has 1 CPUs")
    expected = f"Ray: the cluster at {cluster} (RAY_ADDRESS), 1 CPUs and 0 GPUs on 1 node; dashboard off"
    assert found.headline == expected


@pytest.mark.parametrize("maximum", [0, -3])
def test_a_cluster_cannot_grow_to_nothing(maximum):
    with pytest.raises(MemosweepError, match=f"--max-gpus {maximum}: expected at least 1"):
        session.choose("auto", maximum)


def test_this_machine_alone_does_not_grow(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    session.choose("local", 4)
    try:
        with pytest.raises(MemosweepError, match="--max-gpus 4: goes with a cluster that grows"):
            session.look()
    finally:
        session.choose()


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_a_cluster_that_grows_gets_as_many_waiting_trials_as_it_can_hold(monkeypatch):
    trial = {"cpu": 1, "gpu": 1}
    assert session.most_started(trial) is None
    workers = Nodes(cpus=8, gpus=4, count=5)
    monkeypatch.setattr(session, "_grown", Capacity([], [workers], most_started=3))
    assert session.most_started(trial) == 12
    assert session.most_started({"cpu": 8, "gpu": 0.25}) == 3
    assert session.most_started({"cpu": 8, "gpu": 8}) == 1
