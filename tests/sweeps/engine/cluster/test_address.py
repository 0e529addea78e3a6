"""Addresses where no Ray answers are one line, soon."""

import os
import socket
import threading
import time
from types import SimpleNamespace

import psutil
import pytest

from memo_core.errors import MemosweepError
from sweeps.engine.cluster import address as address_module
from sweeps.engine.cluster.address import Target, check_address, running_ray, target
from sweeps.engine.cluster.own_ray.folders import MARKER


def message(address):
    begin = time.monotonic()
    with pytest.raises(MemosweepError) as error:
        check_address(Target(address, "", f"--address {address}"))
    assert time.monotonic() - begin < 30
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"--address {address}")
    return str(error.value)


@pytest.mark.parametrize(
    "address", ["head", "head:", ":6379", "head:port", "head:99999999", "http://head:8265", "ray://", "a b:1", "[::1:1"]
)
def test_what_is_no_address_says_what_would_be(address):
    assert "expected host:port, auto or local" in message(address)


def test_a_host_that_is_not_known():
    assert "no-such-host.invalid is not a known host" in message("no-such-host.invalid:6379")


@pytest.fixture
def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_a_port_that_is_closed(free_port):
    assert "Connection refused" in message(f"127.0.0.1:{free_port}")


def test_ray_client_is_refused_whether_or_not_it_answers(free_port):
    said = message(f"ray://127.0.0.1:{free_port}")
    assert "runs on a node of its cluster, not through Ray Client; expected host:port, auto or local" in said


def test_a_machine_that_does_not_answer(monkeypatch):
    # As packets that a firewall drops.
    monkeypatch.setattr(address_module, "_CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(socket, "create_connection", lambda *_: time.sleep(2))
    assert "no answer" in message("10.255.255.1:6379")


def test_a_port_that_answers_but_is_not_ray(monkeypatch):
    monkeypatch.setattr(address_module, "_JOIN_SECONDS", 4)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.sendall(b"220 mail\r\n")

        threading.Thread(target=serve, daemon=True).start()
        assert "does not answer as a Ray cluster within 4 s" in message(f"127.0.0.1:{server.getsockname()[1]}")


def test_a_ray_that_answers_can_be_joined(cluster):
    check_address(Target(cluster, "", "it"))


def test_the_option_comes_before_the_variable_and_that_before_this_machine(monkeypatch):
    monkeypatch.setattr(address_module, "running_ray", lambda: "10.0.0.1:6379")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    found = target()
    assert found is not None
    assert (found.address, found.origin) == ("auto", "it runs on this machine")
    assert found.named.endswith("at 10.0.0.1:6379")
    for variable, expected in (("", "auto"), ("local", None), ("head:1", "head:1"), ("auto", "auto")):
        monkeypatch.setenv("RAY_ADDRESS", variable)
        found = target()
        assert (found and found.address) == expected
    assert target("local") is None
    chosen = target("other:2")
    assert chosen is not None
    assert (chosen.address, chosen.named) == ("other:2", "--address other:2")


def processes(monkeypatch, *lines, user=None):
    uids = SimpleNamespace(real=os.getuid() if user is None else user)
    found = [SimpleNamespace(info={"name": name, "cmdline": line, "uids": uids}) for name, line in lines]
    monkeypatch.setattr(psutil, "process_iter", lambda _: found)


def test_the_address_file_counts_while_its_ray_runs_here(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    session = tmp_path / "ray/session_1"
    session.mkdir(parents=True)
    assert running_ray() is None
    (tmp_path / "ray/ray_current_cluster").write_text("10.0.0.1:6379\n")
    here = ["raylet", "--gcs-address=10.0.0.1:6379", f"--session_dir={session}"]
    # A file that was left over, and other programs that have the address on their command line.
    processes(monkeypatch, ("raylet", None), ("raylet", ["raylet", "--gcs-address=10.0.0.1:63"]), ("python", here))
    assert running_ray() is None
    processes(monkeypatch, ("raylet", here))
    assert running_ray() == "10.0.0.1:6379"
    processes(monkeypatch, ("raylet", here), user=os.getuid() + 1)
    assert running_ray() is None
    processes(monkeypatch, ("raylet", here))
    # A sweep's own Ray has got the same port.
    (session / MARKER).touch()
    assert running_ray() is None
