"""Trials that share a machine: the arithmetic."""

import pytest
import torch

from benchmarks.speed.machine import Machine
from benchmarks.speed.sharing import rate, rows_of


def test_trials_side_by_side_are_compared_with_one_alone():
    # Steps and products a second of all together: two trials have a core each, four share them.
    rates = {(1, "step"): [10.0], (1, "product"): [4.0], (2, "step"): [18.0], (2, "product"): [8.0],
             (4, "step"): [18.0], (4, "product"): [8.0]}  # fmt: skip
    one, two, four = rows_of(rates, batch_size=32, step_gflop=1.0, product_gflop=10.0, cores=2)
    assert (one.ratio.median, two.numbers["trained_together"]) == (1.0, 1.8)
    assert two.ratio.median == pytest.approx(10 / 9)
    assert four.ratio.median == pytest.approx(20 / 9)
    assert one.share_of_peak.median == pytest.approx(0.25)
    assert four.seconds.median == pytest.approx(4 / 18)
    assert two.numbers["images_per_second_together"] == 18 * 32


def test_a_rate_counts_calls_of_at_least_the_asked_time():
    calls = []
    found = rate(lambda: calls.append(1), 0.01, Machine(torch.device("cpu")))
    assert 0 < found <= len(calls) / 0.01
