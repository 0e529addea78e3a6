import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks import precision
from benchmarks.precision import REFERENCE, Difference, measure, modes
from tests.conftest import TINY

CPU = torch.device("cpu")


def test_a_difference_is_that_of_a_paired_t_test():
    ratios, reference = np.array([0.5, 0.7, 0.6, 0.8]), np.array([0.4, 0.7, 0.65, 0.6])
    found = Difference.of(list(ratios), list(reference))
    expected = stats.ttest_rel(ratios, reference).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx((ratios - reference).mean())


def test_bfloat16_is_looked_at_where_the_processor_computes_it(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    assert modes(CPU) == (REFERENCE, "float32, full", "bfloat16, none", "bfloat16, full")
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    assert modes(CPU) == (REFERENCE, "float32, full")


def test_every_seed_is_trained_in_every_mode():
    found = measure(CPU, 2, 1, {**TINY, "data.size": 4}, (REFERENCE, "bfloat16, none"))["modes"]
    assert [len(mode["ratios"]) for mode in found.values()] == [2, 2]
    assert found[REFERENCE]["minus_reference"] == {"mean": 0, "low": 0, "high": 0}
    assert all(0 <= ratio <= 1 for mode in found.values() for ratio in mode["ratios"])
