import pytest
import ray

from memo_core.errors import MemosweepError
from sweeps.engine.cluster.resources import trial_resources
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
    ],
)
def test_a_trial_gets_its_share(available, gpus, cpus, expected):
    assert trial_resources(available, gpus, cpus) == expected


@pytest.mark.parametrize(("gpus", "cpus"), [(1.5, None), (5, None), (-1, None), (None, 0), (None, 33)])
def test_what_the_cluster_never_has_is_refused(gpus, cpus):
    with pytest.raises(MemosweepError):
        trial_resources(SERVER, gpus, cpus)


def test_trials_at_once_are_what_the_cluster_holds(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 16.0, "GPU": 2.0})
    assert trials_at_once({"cpu": 1, "gpu": 0.25}) == 8
    assert trials_at_once({"cpu": 4, "gpu": 0}) == 4
    assert trials_at_once({"cpu": 32, "gpu": 0}) == 1
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    assert trials_at_once({"cpu": 1}) is None
