import math

import pytest
import ray

from memo_core.errors import MemosweepError
from sweeps.engine.cluster.machines.capacity import Capacity, Nodes
from sweeps.engine.cluster.machines.resources import check_holds, trial_resources
from sweeps.engine.cluster.session import Cluster, trials_at_once

LAPTOP = Cluster(2, 0, "this machine has 2 CPUs and 0 GPUs")
SERVER = Cluster(32, 4, "the cluster has 32 CPUs and 4 GPUs")


@pytest.mark.parametrize(
    ("available", "gpus", "cpus", "expected"),
    [
        (LAPTOP, None, None, {"cpu": 1, "gpu": 0}),
        (LAPTOP, None, 2, {"cpu": 2, "gpu": 0}),
        (SERVER, None, None, {"cpu": 8, "gpu": 1}),
        (SERVER, 0.25, None, {"cpu": 2, "gpu": 0.25}),
        (SERVER, 0.01, None, {"cpu": 1, "gpu": 0.01}),
        (SERVER, 0, None, {"cpu": 1, "gpu": 0}),
        (SERVER, 2, 4, {"cpu": 4, "gpu": 2}),
        (SERVER, 4, None, {"cpu": 32, "gpu": 4}),
    ],
)
def test_a_trial_gets_its_share(available, gpus, cpus, expected):
    assert trial_resources(available, gpus, cpus) == expected


def test_the_share_is_of_the_nodes_that_have_the_gpus():
    head, workers = Nodes(64, 0), Nodes(8, 2, 4)
    cluster = Cluster(96, 8, "it has 96 CPUs and 8 GPUs", by_nodes=Capacity([head], [workers]))
    assert trial_resources(cluster, None, None) == {"cpu": 4, "gpu": 1}
    assert trial_resources(cluster, 2, None) == {"cpu": 8, "gpu": 2}
    assert trial_resources(cluster, 0, 64) == {"cpu": 64, "gpu": 0}
    # Nobody knows the CPUs of nodes that `--max-gpus` alone speaks of.
    unknown = Cluster(4, 8, "it grows", by_nodes=Capacity([Nodes(4, 0)], [Nodes(math.inf, 8)]))
    assert trial_resources(unknown, 0.5, None) == {"cpu": 1, "gpu": 0.5}


@pytest.mark.parametrize(
    ("gpus", "cpus", "message"),
    [
        (9, None, "--gpus-per-trial 9: it has 96 CPUs and 8 GPUs"),
        (1, 16, "--cpus-per-trial 16: expected above 0 and at most 8, the CPUs of a node with those GPUs"),
    ],
)
def test_a_trial_must_fit_on_the_nodes(gpus, cpus, message):
    cluster = Cluster(96, 8, "it has 96 CPUs and 8 GPUs", by_nodes=Capacity([Nodes(64, 0)], [Nodes(8, 2, 4)]))
    with pytest.raises(MemosweepError) as error:
        trial_resources(cluster, gpus, cpus)
    assert str(error.value) == message


def test_a_trial_of_several_gpus_may_take_several_nodes():
    capacity = Capacity([Nodes(64, 0)], [Nodes(8, 2, 4)])
    cluster = Cluster(96, 8, "it has 96 CPUs and 8 GPUs", by_nodes=capacity)
    assert trial_resources(cluster, 4, None) == {"cpu": 16, "gpu": 4}
    assert trial_resources(cluster, 8, 8) == {"cpu": 8, "gpu": 8}
    assert capacity.at_once({"cpu": 16, "gpu": 4}) == 2
    assert capacity.at_once({"cpu": 12, "gpu": 3}) == 2
    with pytest.raises(MemosweepError, match="a trial needs 4 times 9 CPUs and 1 GPUs on one node"):
        check_holds(cluster, {"cpu": 36, "gpu": 4})


def test_a_run_that_goes_on_elsewhere_must_fit_there():
    check_holds(SERVER, {"cpu": 8, "gpu": 1})
    with pytest.raises(MemosweepError, match=r"a trial needs 1 CPUs and 0\.5 GPUs on one node, and this machine has 2"):
        check_holds(LAPTOP, {"cpu": 1, "gpu": 0.5})


@pytest.mark.parametrize(("gpus", "cpus"), [(1.5, None), (5, None), (-1, None), (None, 0), (None, 33)])
def test_what_the_cluster_never_has_is_refused(gpus, cpus):
    with pytest.raises(MemosweepError):
        trial_resources(SERVER, gpus, cpus)


def test_trials_at_once_are_what_the_cluster_holds(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 16.0, "GPU": 2.0}}])
    assert trials_at_once({"cpu": 1, "gpu": 0.25}) == 8
    assert trials_at_once({"cpu": 4, "gpu": 0}) == 4
    assert trials_at_once({"cpu": 32, "gpu": 0}) == 1
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    assert trials_at_once({"cpu": 1}) is None
