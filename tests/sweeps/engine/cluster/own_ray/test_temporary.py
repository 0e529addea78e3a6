"""A temporary folder in which Ray would fail is named before it starts."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from memo_core.errors import MemosweepError
from sweeps.engine.cluster.own_ray.temporary import check_temporary_folder, temporary_folder


def message():
    with pytest.raises(MemosweepError) as error:
        check_temporary_folder()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(autouse=True)
def no_choice(monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)


@pytest.fixture
def short():
    """An empty folder whose path is short enough."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_ray_s_own_choice(monkeypatch):
    from ray._common.utils import get_default_ray_temp_dir

    assert str(temporary_folder()) == get_default_ray_temp_dir() == "/tmp/ray"
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert str(temporary_folder()) == get_default_ray_temp_dir() == "/var/tmp/ray"
    monkeypatch.setenv("RAY_TMPDIR", "/scratch")
    assert str(temporary_folder()) == get_default_ray_temp_dir() == "/scratch/ray"


def test_a_path_too_long_for_sockets(monkeypatch, tmp_path):
    long = tmp_path / ("x" * 60)
    monkeypatch.setenv("TMPDIR", str(long))
    assert f"TMPDIR = '{long}' is too long for Ray's sockets: at most " in message()
    assert message().endswith("; set RAY_TMPDIR to a shorter one, such as /tmp")
    assert not long.exists()


def test_the_longest_path_that_is_taken_leaves_room_for_ray_s_sockets(monkeypatch):
    room = int(_long_message(monkeypatch).split("at most ")[1].split()[0])
    folder = "/" + "x" * (room - 1)
    monkeypatch.setenv("RAY_TMPDIR", folder)
    check_temporary_folder()
    socket = f"{folder}/ray/session_2026-11-26_03-41-13_907219_{os.getpid()}/sockets/dash_MetricsHead"
    assert len(socket) == 107
    monkeypatch.setenv("RAY_TMPDIR", f"{folder}x")
    assert f"at most {room} bytes, not {room + 1}" in message()


def _long_message(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/" + "x" * 200)
    return message()


@pytest.mark.parametrize("relative", ["", "scratch"])
def test_a_relative_path(relative, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", relative)
    assert "expected an absolute path" in message()


def test_a_file_in_the_place_of_the_folder(monkeypatch, short):
    (short / "file").write_text("")
    monkeypatch.setenv("RAY_TMPDIR", str(short / "file"))
    assert message().startswith(f"{short}/file is not a folder: ")


@pytest.mark.parametrize("name", ["", "ray"])
def test_a_folder_that_cannot_be_written(name, short):
    folder = short / name
    folder.mkdir(exist_ok=True)
    folder.chmod(0o555)
    short.chmod(0o555)
    # Nothing is closed to root: what another user meets.
    code = "import os, sys; os.getuid() or os.setuid(65534); check_temporary_folder()"
    command = [sys.executable, "-c", f"from sweeps.engine.cluster.own_ray.temporary import *; {code}"]
    environment = {**os.environ, "RAY_TMPDIR": str(short)}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    last = process.stderr.splitlines()[-1]
    assert f"MemosweepError: {folder} is not writable" in last
    assert ("it belongs to root" in last) == (os.getuid() == 0)
    assert last.endswith("set RAY_TMPDIR to a folder of yours")
