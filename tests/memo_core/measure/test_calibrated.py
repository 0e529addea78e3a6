import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memo_core.measure import calibrated_distance, measure_memorization


def squared(*rows):
    return torch.tensor(rows, dtype=torch.float64).square()


def test_it_is_the_nearest_distance_over_alpha_times_the_mean_of_the_k_nearest():
    # Means 2 and 3: calibrated 1 / (0.5 x 2) and 3 / (0.5 x 3).
    assert calibrated_distance(squared([1, 2, 3], [3, 3, 3])).tolist() == [1, 2]
    assert calibrated_distance(squared([1, 2, 3]), alpha=1.0).tolist() == [0.5]


def test_a_copy_is_at_zero_and_a_copy_of_k_equal_images_stands_out_from_none():
    assert calibrated_distance(squared([0, 4], [0, 0])).tolist() == [0, 2]


@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=60))
def test_it_lies_between_zero_and_two_and_does_not_know_the_unit(distances):
    found = calibrated_distance(squared(sorted(distances)))
    assert 0 <= float(found) <= 2 + 1e-9
    assert float(calibrated_distance(9 * squared(sorted(distances)))) == pytest.approx(float(found), abs=1e-9)


@pytest.mark.parametrize("size", [3, 80])
def test_a_measurement_takes_fifty_neighbors_or_as_many_as_there_are(size):
    generator = torch.Generator().manual_seed(size)
    training = torch.randint(0, 256, (size, 3, 4, 4), generator=generator).to(torch.uint8)
    generated = torch.randint(0, 256, (9, 3, 4, 4), generator=generator).to(torch.uint8)
    difference = generated.numpy()[:, None].astype(float) - training.numpy()[None]
    distances = np.sort(np.sqrt((difference**2).sum((2, 3, 4))), axis=1)[:, :50]
    expected = distances[:, 0] / (0.5 * distances.mean(1))
    result = measure_memorization(generated, training)
    np.testing.assert_allclose(result.calibrated.numpy(), expected, rtol=1e-12)
    assert result.summary()["calibrated_distance"] == pytest.approx(expected.mean())
    assert result.summary()["calibrated_ratio"] == (expected < 1).mean()
