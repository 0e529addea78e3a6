"""A running trial's ratio is foreseen honestly, and early failures are rarely wrong."""

import numpy as np
import pytest
from scipy import special

from analysis.emm.stopping.growth import forecast, will_not_reach

# Ratios at quarters of the budget, 8x8 digits. 500 samples, |D| = 32: three learning rates, a smaller net.
SLOW = [(0, 0.31, 0.73, 0.92), (0, 0.23, 0.65, 0.86), (0, 0.24, 0.61, 0.80), (0, 0.35, 0.74, 0.87)]
# 250 samples, |D| = 6 to 16, widths 8 to 24, the laptop preset's higher learning rate.
STEEP = [(0, 0.156, 0.916, 0.993), (0, 0.176, 0.828, 0.962), (0, 0.268, 0.874, 0.972), (0, 0.08, 0.688, 0.828),
         (0, 0.108, 0.58, 0.846)]  # fmt: skip
MEASURED = [*SLOW, *STEEP]
QUARTERS = (0.25, 0.5, 0.75, 1.0)


def growing(final, slope, bend, progress):
    x = np.log(progress)
    return special.expit(special.logit(final) + slope * x - bend * x**2)


def test_measured_runs_end_inside_the_interval_foreseen_at_three_quarters():
    intervals = [forecast(QUARTERS[:3], ratios[:3], 500).interval(0.95) for ratios in MEASURED]
    outside = [r for r, (low, high) in zip(MEASURED, intervals, strict=True) if not low <= r[3] <= high]
    assert len(outside) <= 1, outside
    assert max(high - low for low, high in intervals) < 0.35


@pytest.mark.parametrize("ratios", MEASURED)
def test_measured_runs_are_not_stopped_for_a_target_that_they_reach(ratios):
    for seen in (2, 3):
        assert not will_not_reach(QUARTERS[:seen], ratios[:seen], 500, target=ratios[3] - 0.02)


def test_a_run_far_below_the_target_is_stopped_before_two_thirds():
    progress = np.arange(1, 11) / 16
    assert will_not_reach(progress, growing(0.1, 3.5, 1.0, progress), 10_000, target=0.9)


def test_no_memorized_sample_late_means_failure_but_half_way_or_at_once_it_never_does():
    progress = np.arange(1, 13) / 16
    assert will_not_reach(progress, np.zeros(12), 10_000, target=0.9)
    assert not will_not_reach(progress[:8], np.zeros(8), 10_000, target=0.9)
    assert not will_not_reach([1 / 16], [0.0], 10_000, target=0.9)
    assert not forecast(progress, np.zeros(12), 10_000).exact


def test_memorization_that_sets_in_suddenly_or_grows_in_a_straight_line_is_not_given_up():
    progress = np.arange(1, 17) / 16
    for growth in (4 * np.log(np.clip((progress - 0.45) / 0.55, 1e-3, 1)), 6 * (progress - 1)):
        ratios = special.expit(special.logit(0.95) + growth)
        assert not any(will_not_reach(progress[:n], ratios[:n], 10_000, target=0.9) for n in range(2, 16))


def test_having_reached_the_target_is_never_a_failure():
    assert not will_not_reach([0.5, 0.75], [0.91, 0.2], 10_000, target=0.9)


def test_the_forecast_sharpens_towards_the_end_and_lands_on_the_last_ratio():
    progress = np.arange(1, 17) / 16
    ratios = growing(0.85, 3.0, 0.5, progress)
    spreads = [forecast(progress[:n], ratios[:n], 10_000).sd for n in (6, 10, 14, 16)]
    assert np.all(np.diff(spreads) < 0)
    assert forecast(progress, ratios, 10_000).ratio == pytest.approx(0.85, abs=0.01)


def test_early_failures_are_wrong_less_often_than_their_confidence_allows():
    rng = np.random.default_rng(0)
    progress = np.arange(1, 17) / 16
    stopped = wrong = 0
    for _ in range(400):
        final = special.expit(rng.uniform(-2, 5))
        ratios = growing(final, rng.uniform(2, 5), rng.uniform(0, 2), progress)
        ratios = rng.binomial(10_000, ratios) / 10_000
        for n in range(2, 16):
            if will_not_reach(progress[:n], ratios[:n], 10_000, 0.9, confidence=0.99):
                stopped += 1
                wrong += final >= 0.9
                break
    assert stopped > 150, "a rule that never stops is never wrong either"
    assert wrong <= 0.01 * 400


@pytest.mark.parametrize(
    ("progress", "ratios", "message"),
    [
        ([], [], "not empty"),
        ([0.5], [0.1, 0.2], "equally long"),
        ([0.5, 0.4], [0.1, 0.2], "ascend"),
        ([0.5, 1.5], [0.1, 0.2], "ascend"),
        ([0.5], [12.0], "ratios must lie"),
        ([0.5], [float("nan")], "ratios must lie"),
    ],
)
def test_bad_histories_are_named(progress, ratios, message):
    with pytest.raises(ValueError, match=message):
        forecast(progress, ratios, 100)


def test_a_target_out_of_range_is_named():
    with pytest.raises(ValueError, match="target 90"):
        will_not_reach([0.5, 1.0], [0.1, 0.2], 100, target=90)
