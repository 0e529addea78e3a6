import pytest

from sweeps.engine.cluster.machines import packing
from sweeps.engine.cluster.machines.packing import Together, best_sharing, measure_together

GB = 2**30


def gpu(speeds, memory=4):
    """Measures a GPU of 80 GB, on which the trials together have these speeds."""

    def measure(count):
        if count * memory > 80:
            return None
        return Together(count, speeds[count], count * memory * GB, 80 * GB)

    return measure


@pytest.mark.parametrize(
    ("speeds", "memory", "most", "expected"),
    [
        ({1: 100, 2: 190, 4: 300, 8: 310}, 4, 16, [1, 2, 4]),  # saturated at four
        ({1: 100, 2: 102}, 4, 16, [1]),
        ({1: 100, 2: 190, 4: 350, 8: 600}, 30, 16, [1, 2]),  # memory for two
        ({1: 100}, 50, 16, [1]),  # two are not even tried
        ({1: 100, 2: 190}, 4, 3, [1, 2]),  # no more trials, or no more CPUs
        ({}, 100, 16, []),
    ],
)
def test_trials_share_a_gpu_as_long_as_all_together_get_faster(speeds, memory, most, expected):
    assert [together.count for together in best_sharing(gpu(speeds, memory), most)] == expected


def test_processes_are_measured_at_the_same_time(tiny, monkeypatch):
    monkeypatch.setattr(packing, "_SECONDS", 0.2)
    together = measure_together(tiny, 2, 2, "cpu")
    assert together.count == 2
    assert together.images_per_second > 1
    assert together.memory is None


def test_what_does_not_train_does_not_fit(tiny):
    assert measure_together({**tiny, "model.width": 16384, "training.batch_size": 10_000}, 1, 1, "no-device") is None
