"""The processes of one training on hosts of their own, whose names lead to themselves, as Debian's installer writes it.

MEMOSWEEP_CLUSTER_TESTS=1 python -m pytest tests/cluster/test_ranks.py
"""

import sys
from pathlib import Path

import pytest

from tests.cluster.hosts import Host, hosts, obstacle
from tests.sweeps.conftest import REPOSITORY

REASON = obstacle()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=REASON or "")]

CODE = """
import sys
import torch
from memo_core.training.steps.distributed import joined

address, rank, host = sys.argv[1:]
with joined(address, int(rank), 2, host) as ranks:
    numbers = torch.tensor([1.0 + int(rank)])
    ranks.add_up(numbers)
    print(numbers.item(), ranks.share("hello" if rank == "0" else None))
"""


def named_as_itself(host: Host, folder: Path) -> None:
    file = folder / f"{host.name}.hosts"
    file.write_text(f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n")
    done = host.run("mount", "--bind", str(file), "/etc/hosts")
    assert done.returncode == 0, done.stderr


def test_hosts_that_take_themselves_for_localhost_find_each_other(place: Path) -> None:
    with hosts(["a", "b"], place) as made:
        for host in made:
            named_as_itself(host, place)
        running, logs = [], [place / "0.log", place / "1.log"]
        for rank, (host, log) in enumerate(zip(made, logs, strict=True)):
            words = (sys.executable, "-c", CODE, f"{made[0].address}:29500", str(rank), host.address)
            running.append(host.start(*words, log=log, environment={"PYTHONPATH": str(REPOSITORY)}))
        codes = [process.wait(timeout=120) for process in running]
        said = [log.read_text() for log in logs]
        assert codes == [0, 0], said
        assert all("3.0 hello" in text for text in said)
