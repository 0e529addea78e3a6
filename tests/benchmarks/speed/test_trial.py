"""Where the time of trials and sweeps goes: the arithmetic."""

import pytest

from benchmarks.speed.loops import build
from benchmarks.speed.machine import Size
from benchmarks.speed.trial import SweepTimes, sweep_rows, timed_calls, training_seconds
from memo_core import evaluation, sampling
from memo_core.experiment import ModelConfig
from memo_core.sampling import generate

TIMES = SweepTimes(seconds=30.0, slots=2, training=[8.0, 8.0], trials=[10.0, 10.0])


def test_the_parts_of_a_sweep_add_up():
    whole, *parts = sweep_rows("sweep", TIMES)
    assert whole.seconds.median == 30.0
    assert {row.name: row.seconds.median for row in parts} == {
        "training": 8.0,
        "evaluation and checkpoints": 2.0,
        "Ray, start and end": 20.0,
    }
    assert sum(row.ratio.median for row in parts) == pytest.approx(1.0)


def test_a_longer_sweep_has_the_same_start_and_more_training():
    longer = TIMES.longer(5, 4.0)
    # Three turns of 32 s of training and 2 s of the rest, two trials at a time.
    assert longer.seconds == pytest.approx(20 + 3 * 34)
    assert longer.training == [32.0] * 5
    assert longer.around == pytest.approx(20 + 0.5 * 34)


def test_training_seconds_follow_from_what_a_trial_reports():
    rows = [{"images_seen": 1000, "images_per_second": 500.0}, {"images_seen": 4000, "images_per_second": 1000.0}]
    assert training_seconds(rows) == pytest.approx(2.0 + 3.0)


def test_calls_are_timed_wherever_they_are_made_from_and_put_back():
    spent = {}
    size = Size(ModelConfig(width=4, depth=1, channel_multipliers=(1, 1)), 4, 1, 1)
    network = build(size)
    with timed_calls({"sampling": generate}, spent):
        assert sampling.generate is not generate and evaluation.generate is not generate
        with pytest.raises(ValueError, match="seeds"):
            evaluation.generate(network, [])
    assert list(spent) == ["sampling"] and spent["sampling"] >= 0
    assert sampling.generate is generate and evaluation.generate is generate
