import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.stats.regression import MISFIT_FLOOR, fit_with_misfit, mean_effect, weighted_least_squares


def lines(noise: float, points: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, points)
    design = np.stack([np.ones(points), x], axis=1)
    return design, 1 + 2 * x + noise * random.standard_normal(points), np.full(points, 0.01)


def test_known_variances_give_the_textbook_fit() -> None:
    design, y, variances = lines(0.1)
    variances = np.linspace(0.005, 0.02, len(y))
    fit = weighted_least_squares(design, y, variances)
    weights = 1 / np.sqrt(variances)
    expected, *_ = np.linalg.lstsq(design * weights[:, None], y * weights, rcond=None)
    assert fit.coefficients == pytest.approx(expected)
    assert fit.freedom == 38


def test_scatter_beyond_the_known_variance_brings_chi_square_to_its_degrees_of_freedom() -> None:
    fit = fit_with_misfit(*lines(0.5))
    assert fit.chi_square == pytest.approx(fit.freedom)
    assert np.sqrt(fit.extra) == pytest.approx(0.5, abs=0.12)


def test_points_closer_than_their_noise_keep_the_smallest_misfit() -> None:
    assert fit_with_misfit(*lines(0.0)).extra == MISFIT_FLOOR**2


def test_a_line_through_two_points_has_the_misfit_that_is_named() -> None:
    design, y, variances = (part[:2] for part in lines(0.1))
    assert fit_with_misfit(design, y, variances, unidentified=0.3).extra == 0.3


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=8), st.floats(0.01, 1))
def test_the_mean_of_effects_lies_among_them_with_an_error_no_smaller_than_their_noise(values, variance) -> None:
    mean, error = mean_effect(values, [variance] * len(values))
    assert min(values) - 1e-9 <= mean <= max(values) + 1e-9
    assert error >= np.sqrt(variance / len(values)) - 1e-12


def test_effects_that_differ_widen_the_error_of_their_mean() -> None:
    assert mean_effect([-1, 1], [0.01, 0.01])[1] == pytest.approx(1.0)
