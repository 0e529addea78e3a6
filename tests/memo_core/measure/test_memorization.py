import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memo_core.data.image_sets import match_channels
from memo_core.errors import MemosweepError
from memo_core.measure.memorization import (
    Memorization,
    is_memorized,
    measure_memorization,
    memorized_counts,
    wilson_interval,
)


def flat_images(*values):
    return torch.stack([torch.full((1, 2, 2), value, dtype=torch.uint8) for value in values])


def test_the_criterion_is_a_third_of_the_second_distance():
    # Distances to 0 and 100: 24 and 76 (memorized), 25 and 75 (a third exactly: not), 26 and 74 (not).
    result = measure_memorization(flat_images(24, 25, 26), flat_images(0, 100))
    assert result.memorized.tolist() == [True, False, False]
    assert result.ratio == pytest.approx(1 / 3)
    assert result.nearest_distance.tolist() == [24, 25, 26]
    assert result.second_distance.tolist() == [76, 75, 74]
    assert result.knn_distance == 25


@given(st.integers(0, 10**9))
def test_a_third_exactly_is_never_memorized(nearest):
    squared = torch.tensor([float(nearest)], dtype=torch.float64)
    assert not is_memorized(squared, 9 * squared, 1 / 3)
    assert is_memorized(squared, 9 * squared + 1, 1 / 3)


def test_copies_are_memorized_and_duplicates_blind_the_criterion():
    training = flat_images(10, 90, 200)
    assert measure_memorization(training, training).ratio == 1
    assert measure_memorization(training, torch.cat([training, training])).ratio == 0


def test_the_distance_has_the_unit_of_the_papers_tables():
    training = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    training[1] = 255
    generated = torch.full((1, 3, 4, 4), 7, dtype=torch.uint8)
    assert measure_memorization(generated, training).knn_distance == pytest.approx(7)


def test_the_interval_is_wilsons():
    low, high = wilson_interval(9209, 10_000)
    z, p, n = 1.959964, 0.9209, 10_000
    center = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (low, high) == (pytest.approx(center - half), pytest.approx(center + half))
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == 1


def test_replicas_are_counted_per_training_image():
    result = measure_memorization(flat_images(1, 2, 99, 50), flat_images(0, 100, 200))
    assert memorized_counts(result).tolist() == [2, 1, 0]


def test_sets_that_do_not_match_are_refused():
    with pytest.raises(MemosweepError, match="must be alike"):
        measure_memorization(flat_images(1), torch.zeros(3, 1, 3, 3, dtype=torch.uint8))
    with pytest.raises(MemosweepError, match="at least 2"):
        measure_memorization(flat_images(1), flat_images(1))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("broken", ["nearest_distance", "second_distance", "calibrated"])
def test_distances_that_are_not_finite_are_refused(broken, value):
    fields = {
        name: torch.ones(2, dtype=torch.float64) for name in ("nearest_distance", "second_distance", "calibrated")
    }
    fields[broken] = torch.tensor([1.0, value], dtype=torch.float64)
    with pytest.raises(MemosweepError, match=f"{broken} of samples is not finite"):
        Memorization(memorized=torch.zeros(2, dtype=torch.bool), nearest_index=torch.zeros(2, dtype=torch.int64),
                     training_size=3, **fields)  # fmt: skip


@given(st.integers(0, 2**32 - 1))
def test_gray_images_compared_as_color_give_the_same_measurement(seed):
    generator = torch.Generator().manual_seed(seed)
    generated, training = (
        torch.randint(256, (count, 1, 3, 3), generator=generator).to(torch.uint8) for count in (5, 8)
    )
    gray = measure_memorization(generated, training)
    color = measure_memorization(*match_channels(generated, training.expand(-1, 3, -1, -1)))
    assert torch.equal(gray.memorized, color.memorized)
    torch.testing.assert_close(gray.nearest_distance, color.nearest_distance)
    torch.testing.assert_close(gray.calibrated, color.calibrated)
