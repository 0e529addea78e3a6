import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.stats.binomial import empirical_logit, logit, wilson_interval


@given(st.integers(1, 10_000), st.data())
def test_wilson_agrees_with_scipy(samples: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, samples))
    low, high = wilson_interval(hits, samples)
    expected = stats.binomtest(hits, samples).proportion_ci(method="wilson")
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_ratio_that_is_missing_has_no_interval() -> None:
    low, high = wilson_interval([np.nan, 5], [10, 10])
    assert np.isnan(low[0]) and np.isnan(high[0]) and low[1] < 0.5 < high[1]


def test_counts_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="successes must lie in"):
        wilson_interval(11, 10)


def test_the_empirical_logit_is_finite_at_the_ends_and_near_the_logit_elsewhere() -> None:
    values, variances = empirical_logit([0, 0.3, 1], 10_000)
    assert np.isfinite(values).all() and np.isfinite(variances).all()
    assert values[1] == pytest.approx(float(logit(0.3)), abs=1e-3)
    assert variances[1] == pytest.approx(1 / (10_000 * 0.3 * 0.7), rel=1e-2)
