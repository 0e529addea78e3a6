"""What a cluster can become, from the descriptions that Ray and its autoscaler give."""

import math
from types import SimpleNamespace

import psutil
import pytest
import yaml

from memo_core.errors import MemosweepError
from sweeps.engine.cluster.machines import capacity
from sweeps.engine.cluster.machines.capacity import (
    Capacity,
    Nodes,
    capacity_of_config,
    capacity_of_groups,
    growth,
    present,
)

CONFIG = {
    "head_node_type": "head",
    "max_workers": 3,
    "available_node_types": {
        "head": {"resources": {"CPU": 4}, "max_workers": 0},
        "spot": {"resources": {"CPU": 8, "GPU": 1}, "min_workers": 0, "max_workers": 3},
        "on_demand": {"resources": {"CPU": 48, "GPU": 4}, "max_workers": 2},
    },
}


def test_present_nodes_are_those_alive():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}},
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}},
        {"Alive": True, "Resources": {"memory": 1.0}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
    ]
    there = present(nodes)
    assert (there.cpus, there.gpus) == (16, 2)
    assert there.fixed == [Nodes(8, 1, 2), Nodes(0, 0, 1)]


def test_what_can_be_started_is_bounded_over_all_kinds():
    can = capacity_of_config(CONFIG)
    # Three workers in all: two of the large kind and a small one.
    assert (can.cpus, can.gpus) == (4 + 48 + 48 + 8, 9)
    assert can.at_once({"cpu": 8, "gpu": 1}) == 9
    assert can.at_once({"cpu": 1, "gpu": 0.25}) == 36
    assert can.at_once({"cpu": 1, "gpu": 2}) == 4
    assert can.at_once({"cpu": 4, "gpu": 0}) == 1 + 12 + 12 + 2


def test_what_one_process_needs_is_never_split_between_nodes():
    four = Capacity([Nodes(4, 1, 4)])
    assert four.at_once({"cpu": 3, "gpu": 0}) == 4
    # A trial of several GPUs has a process for each.
    assert four.at_once({"cpu": 8, "gpu": 2}) == 2
    assert four.at_once({"cpu": 10, "gpu": 2}) == 0
    assert Nodes(16, 2).holds({"cpu": 1, "gpu": 0.1}) == 16


def test_the_record_of_ray_may_be_without_limits():
    assert capacity_of_groups(None) is None
    assert capacity_of_groups(SimpleNamespace(node_group_configs=[])) is None
    groups = [
        SimpleNamespace(resources={"CPU": 8, "GPU": 2}, max_count=5),
        SimpleNamespace(resources={"CPU": 2}, max_count=-1),
        SimpleNamespace(resources={"GPU": 100}, max_count=0),
    ]
    found = capacity_of_groups(SimpleNamespace(node_group_configs=groups))
    assert found is not None
    assert found.gpus == 10
    assert found.cpus > 10**6


def running(monkeypatch, *lines):
    processes = [SimpleNamespace(info={"cmdline": line}) for line in lines]
    monkeypatch.setattr(psutil, "process_iter", lambda _: processes)
    monkeypatch.setattr(capacity, "_recorded", lambda: None)


def test_growth_is_that_of_the_autoscaler_of_this_cluster(tmp_path, monkeypatch):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    there = Capacity([Nodes(4, 0)])
    running(
        monkeypatch,
        None,
        ["monitor.py", "--gcs-address=10.0.0.9:1", "--autoscaling-config=/elsewhere"],
        ["monitor.py", "--gcs-address=10.0.0.1:6379", f"--autoscaling-config={file}"],
    )
    grown = growth(there, "10.0.0.1:6379", None)
    assert grown is not None
    assert grown.gpus == 9
    assert growth(there, "10.0.0.2:6379", None) is None
    # More than the autoscaler would start, by hand.
    assert growth(Capacity([Nodes(64, 16)]), "10.0.0.1:6379", None) == Capacity([Nodes(64, 16)])


@pytest.mark.parametrize("content", ["a: [", "- 1", "available_node_types: 3", ""])
def test_a_damaged_configuration_is_one_line(content, tmp_path, monkeypatch):
    file = tmp_path / "config.yaml"
    file.write_text(content)
    running(monkeypatch, ["monitor.py", "--gcs-address=h:1", f"--autoscaling-config={file}"])
    with pytest.raises(MemosweepError, match="--max-gpus says how far") as error:
        growth(Capacity([]), "h:1", None)
    assert "\n" not in str(error.value)


def test_the_user_says_how_far_a_cluster_grows():
    there = Capacity([Nodes(4, 0), Nodes(8, 1)])
    grown = growth(there, "h:1", 16)
    assert grown is not None
    assert (grown.cpus, grown.gpus) == (12, 16)
    assert grown.at_once({"cpu": 1, "gpu": 1}) == 16
    assert grown.startable == [Nodes(math.inf, 15)]
    assert growth(there, "h:1", 1) == Capacity(there.fixed, [])
