"""The lease of a run behind a URL: one of two drivers holds it, and a dead one is followed."""

import os
import socket
import subprocess
import sys

import fsspec
import pytest

from memo_core.errors import MemosweepError
from sweeps.engine.run import folder, lease
from sweeps.engine.run.lease import RENEW_SECONDS, STALE_SECONDS, Lease, held

URL = "memory://leases/run"


class Time:
    """A clock that moves while a driver waits."""

    def __init__(self):
        self.now, self.events = 1000.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        for event in self.events:
            event()


@pytest.fixture
def time():
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists("/leases"):
        filesystem.rm("/leases", recursive=True)
    return Time()


@pytest.fixture
def elsewhere(monkeypatch):
    """Make a lease as if from another machine."""

    def make(clock):
        with monkeypatch.context() as patch:
            patch.setattr(socket, "gethostname", lambda: "node-7")
            return Lease(URL, clock)

    return make


def test_a_lease_that_was_given_back_is_taken_at_once(time):
    said = []
    for _ in range(3):
        one = Lease(URL, time)
        one.take(said.append, time.sleep)
        one.renew()
        one.check()
        one.release()
    assert not said
    assert fsspec.filesystem("memory").ls("/leases/run/.driver.lease", detail=False) == [
        "/leases/run/.driver.lease/000003.json"
    ]


def test_a_driver_that_gives_signs_of_life_keeps_its_run(time, elsewhere):
    first, said = elsewhere(time), []
    first.take(said.append, time.sleep)
    begin = time.now
    time.events.append(lambda: first.renew() if (time.now - begin) % RENEW_SECONDS < 2 else None)
    with pytest.raises(MemosweepError, match=r"is being run by another process \(process \d+ on node-7\)"):
        Lease(URL, time).take(said.append, time.sleep)
    assert time.now - begin <= 2 * RENEW_SECONDS
    assert len(said) == 1
    assert "waiting for its next sign of life, at most 1" in said[0]


def test_a_driver_that_says_nothing_is_followed_and_notices_it(time, elsewhere):
    first, second = elsewhere(time), Lease(URL, time)
    first.take(print, time.sleep)
    begin = time.now
    second.take(lambda _: None, time.sleep)
    assert STALE_SECONDS - 5 <= time.now - begin <= STALE_SECONDS + 10
    first.renew()
    with pytest.raises(MemosweepError, match="has taken over memory://leases/run"):
        first.check()
    first.release()
    second.renew()
    second.check()


def test_a_process_of_this_machine_that_is_gone_is_followed_at_once(time):
    code = f"""
import fsspec, json, os, psutil, socket, time
file = fsspec.filesystem("file")
print(json.dumps(dict(token="a", host=socket.gethostname(), pid=os.getpid(),
                      started=psutil.Process().create_time(), renewed={time.now})))
"""
    content = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    fsspec.filesystem("memory").pipe_file("/leases/run/.driver.lease/000007.json", content)
    said = []
    second = Lease(URL, time)
    second.take(said.append, time.sleep)
    assert not said
    assert fsspec.filesystem("memory").exists("/leases/run/.driver.lease/000008.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"token": "a"}', b"\xff"])
def test_a_damaged_lease_holds_nothing(content, time):
    fsspec.filesystem("memory").pipe_file("/leases/run/.driver.lease/000002.json", content)
    Lease(URL, time).take(print, time.sleep)
    assert fsspec.filesystem("memory").exists("/leases/run/.driver.lease/000003.json")


def test_of_two_at_the_same_moment_one_gets_it(time, elsewhere, monkeypatch):
    first, second = elsewhere(time), Lease(URL, time)
    # Both have seen that there is none, and this file system lets the second write over the first.
    monkeypatch.setattr(fsspec.filesystem("memory"), "exists", lambda _: False)
    results = []
    assert not first._create(1, lambda _: results.append(second._create(1, time.sleep)))
    assert results == [True]


def test_a_run_is_held_for_as_long_as_it_is_worked_at(time, monkeypatch):
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0)
    with folder.only_driver(URL) as still_held:
        still_held()
        inside = fsspec.filesystem("memory").ls("/leases/run", detail=False)
        assert inside == ["/leases/run/.driver.lease"]
        folder.refuse_existing(URL)
    with held(URL, print) as again:
        again.check()


def test_the_background_gives_signs_of_life(time, monkeypatch):
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    filesystem = fsspec.filesystem("memory")
    with held(URL, print):
        (file,) = filesystem.ls("/leases/run/.driver.lease", detail=False)
        before = filesystem.cat_file(file)
        deadline = os.times().elapsed + 20
        while filesystem.cat_file(file) == before:
            assert os.times().elapsed < deadline
