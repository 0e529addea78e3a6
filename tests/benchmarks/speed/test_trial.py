"""Where the time of trials and sweeps goes: the arithmetic."""

from dataclasses import replace

import pytest
import torch

from benchmarks.speed.loops import build
from benchmarks.speed.machine import CPU_SIZES, Machine, Size
from benchmarks.speed.trial import SweepTimes, measure_trial, sweep_rows, timed_calls, training_seconds
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


def test_a_sweep_that_fails_leaves_the_trial_and_says_why(monkeypatch):
    def fails(*_):
        raise RuntimeError("exit code 2: Ray does not start")

    monkeypatch.setattr("benchmarks.speed.trial.run_sweep", fails)
    settings = {"training.images": 64, "model.width": 4, "evaluation.num_samples": 2, "evaluation.steps": 2}
    sizes = replace(CPU_SIZES, trial=settings)
    *trial, sweep = measure_trial(Machine(torch.device("cpu"), matrix=64), sizes).rows
    assert sum(row.ratio.median for row in trial[1:]) == pytest.approx(1.0)
    assert {row.name for row in trial if row.share_of_peak} == {"training", "sampling"}
    assert (sweep.seconds, sweep.note) == (None, "exit code 2: Ray does not start")
