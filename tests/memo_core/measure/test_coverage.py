import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memo_core.measure import Coverage, Replicated, measure_coverage, measure_memorization, most_replicated


def coverage(*counts):
    return Coverage(torch.tensor(counts))


def test_it_counts_the_replicas_of_a_measurement():
    def flat(*values):
        return torch.stack([torch.full((1, 2, 2), value, dtype=torch.uint8) for value in values])

    result = measure_memorization(flat(1, 2, 99, 50), flat(0, 100, 200, 250))
    found = measure_coverage(result)
    assert found.counts.tolist() == [2, 1, 0, 0]
    assert found.fraction == result.summary()["coverage"] == 0.5
    assert found.replicas == 3


def test_what_holds_the_replicas():
    one_image, all_alike = coverage(0, 0, 0, 8), coverage(2, 2, 2, 2)
    assert one_image.gini == pytest.approx(3 / 4)
    assert all_alike.gini == 0
    assert one_image.top_share(0.01) == 1
    assert all_alike.top_share(0.25) == 0.25
    assert all_alike.top_share(0.5) == 0.5
    assert coverage(5, 1, 2, 0).summary()["most_replicas_of_one_image"] == 5


def test_a_share_of_the_images_is_rounded_up_but_not_by_rounding_errors():
    counts = Coverage(torch.arange(100))
    assert 0.07 * 100 > 7
    assert counts.top_share(0.07) == sum(range(93, 100)) / sum(range(100))
    assert counts.top_share(0.0701) == sum(range(92, 100)) / sum(range(100))


def test_without_replicas_there_is_nothing_to_concentrate():
    empty = coverage(0, 0, 0)
    assert empty.fraction == empty.uniform_fraction == 0
    assert math.isnan(empty.gini)
    assert math.isnan(empty.top_share(0.1))


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30).filter(any))
def test_gini_is_the_mean_difference_between_images_over_twice_their_mean(counts):
    values = np.array(counts, float)
    expected = np.abs(values[:, None] - values[None]).mean() / (2 * values.mean())
    assert coverage(*counts).gini == pytest.approx(expected, abs=1e-12)


def test_the_uniform_fraction_is_what_random_replicas_cover():
    random = np.random.default_rng(0).integers(0, 50, (4000, 60))
    covered = np.mean([len(set(row)) / 50 for row in random.tolist()])
    assert coverage(60, *[0] * 49).uniform_fraction == pytest.approx(covered, abs=0.005)


def test_the_most_replicated_images_come_first_then_the_nearest():
    def flat(*values):
        return torch.stack([torch.full((1, 2, 2), value, dtype=torch.uint8) for value in values])

    # 50 is as far from 0 as from 100, and no replica.
    result = measure_memorization(flat(2, 99, 98, 201, 50), flat(0, 100, 200, 250))
    assert most_replicated(result) == [Replicated(1, 2, 1.0), Replicated(2, 1, 1.0), Replicated(0, 1, 2.0)]
    assert most_replicated(measure_memorization(flat(50), flat(0, 100))) == []


@given(st.lists(st.integers(0, 255), min_size=2, max_size=12), st.lists(st.integers(0, 255), min_size=1, max_size=20))
def test_the_replicated_images_are_those_counted(training, generated):
    def flat(values):
        return torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2)

    result = measure_memorization(flat(generated), flat(training))
    found = most_replicated(result)
    counts = measure_coverage(result).counts
    assert {image.index: image.replicas for image in found} == {
        index: count for index, count in enumerate(counts.tolist()) if count
    }
    for image in found:
        own = result.memorized & (result.nearest_index == image.index)
        assert image.smallest_distance == float(result.nearest_distance[own].min())
