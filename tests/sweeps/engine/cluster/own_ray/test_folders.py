"""Folders of Ray sessions are removed once their drivers are gone, and no others."""

import os
import subprocess
import sys

import psutil
import pytest

from sweeps.engine.cluster.own_ray import folders, watch
from sweeps.engine.cluster.own_ray.folders import MARKER, end, processes_in, remove, remove_stale
from tests.sweeps.conftest import wait_for


def session(root, name):
    folder = root / f"session_{name}"
    (folder / "logs").mkdir(parents=True)
    return folder


OWN_RAY = "sweeps.engine.cluster.own_ray"


def driver(folder, then="sys.stdin.read()"):
    """Start a process that marks a session folder; wait until it has."""
    code = f"import sys, pathlib; from {OWN_RAY}.folders import mark; mark(pathlib.Path(sys.argv[1])); {then}"
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE)
    wait_for((folder / MARKER).exists)
    return process


def kill(process):
    process.kill()
    process.wait()
    if process.stdin:
        process.stdin.close()


def test_only_the_marked_folders_of_drivers_that_are_gone_are_removed(tmp_path):
    stale, running, foreign = (session(tmp_path, name) for name in ("stale", "running", "foreign"))
    kill(driver(stale))
    living = driver(running)
    (tmp_path / "session_latest").symlink_to(stale)
    assert remove_stale(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["session_foreign", "session_running"]
    kill(living)
    assert remove_stale(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [foreign]


def test_folders_of_other_users_stay(tmp_path, monkeypatch):
    kill(driver(session(tmp_path, "stale")))
    own = os.getuid()
    monkeypatch.setattr(folders.os, "getuid", lambda: own + 1)
    assert remove_stale(tmp_path) == 0
    assert (tmp_path / "session_stale").exists()


def test_the_link_stays_where_it_leads_to_another_session(tmp_path):
    old, new = session(tmp_path, "old"), session(tmp_path, "new")
    (tmp_path / "session_latest").symlink_to(new)
    remove(old)
    assert not old.exists()
    assert (tmp_path / "session_latest").resolve() == new


@pytest.fixture
def start(tmp_path):
    """Start a process that has a file open."""
    started = []

    def start(file, mode):
        code = "import sys; file = open(sys.argv[1], sys.argv[2]); print(flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", code, str(file), mode]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        process.stdout.read(1)
        started.append(process)
        return process

    yield start
    for process in started:
        kill(process)
        process.stdout.close()


def test_what_writes_into_a_session_belongs_to_it(tmp_path, start):
    folder, other = session(tmp_path, "a"), session(tmp_path, "ab")
    worker = start(folder / "logs/worker-1.out", "a")
    start(other / "logs/worker-1.out", "a")
    start(folder / "logs/worker-1.out", "r")  # somebody reads the log
    start(folder / "logs/python-core-driver-1.log", "w")
    assert [process.pid for process in processes_in(folder)] == [worker.pid]
    end(processes_in(folder))
    assert processes_in(folder) == []


def test_what_a_killed_driver_left_running_is_ended(tmp_path, start):
    folder = session(tmp_path, "stale")
    kill(driver(folder))
    worker = start(folder / "logs/worker-1.out", "a")
    assert remove_stale(tmp_path) == 1
    assert not psutil.pid_exists(worker.pid)


def test_the_watch_cleans_up_behind_a_driver_that_was_killed(tmp_path, start):
    folder = session(tmp_path, "watched")
    worker = start(folder / "logs/worker-1.out", "a")
    watched = driver(folder, f"from {OWN_RAY}.watch import watch; w = watch(pathlib.Path(sys.argv[1])); "
                     "print(w.pid, file=open(sys.argv[1] + '/pid', 'w'), flush=True); sys.stdin.read()")  # fmt: skip
    wait_for((folder / "pid").exists)
    assert worker.poll() is None
    kill(watched)
    assert worker.wait(20) < 0
    wait_for(lambda: not folder.exists(), seconds=20)


def test_the_watch_ends_what_a_stuck_driver_waits_for(tmp_path, start):
    folder = session(tmp_path, "stuck")
    worker = start(folder / "logs/worker-1.out", "a")
    watched = watch.watch(folder)
    watch.ask(watched, 0.1)
    assert worker.wait(20) < 0
    # Its driver, this process, still owns the folder.
    assert folder.exists()
    watch.release(watched, 20)
    assert watched.returncode == 0


def test_the_watch_kills_nothing_in_a_driver_that_ends_in_time(tmp_path, start):
    folder = session(tmp_path, "prompt")
    watched = watch.watch(folder)
    watch.ask(watched, 60)
    remove(folder)
    watch.release(watched, 20)
    assert watched.returncode == 0
