import math

import pytest

from analysis.inference.memorization_time import memorization_times, predicted, scaling_groups, time_scaling
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError
from tests.fakes import make_table


def test_the_time_is_interpolated_between_evaluations() -> None:
    # 0.225, 0.45, 0.9 at epochs 100, 200, 400.
    times = memorization_times(Runs.of(make_table({(128, 1000): 0.9})), level=0.5)
    assert times["kind"].tolist() == ["passed"]
    assert times["time"].tolist() == pytest.approx([200 + 200 * (0.5 - 0.45) / 0.45])
    assert (times["low"].item(), times["high"].item()) == (200, 400)


def test_trials_that_never_pass_or_pass_at_once_are_bounds() -> None:
    times = memorization_times(Runs.of(make_table({(128, 1000): 0.3, (128, 500): 1.0})), level=0.5, clock="images_seen")
    passed, never = times.to_dict("records")
    assert (never["kind"], never["time"], never["high"]) == ("never", 400_000, math.inf)
    assert passed["kind"] == "passed"
    first = memorization_times(Runs.of(make_table({(128, 1000): 1.0})), level=0.2)
    assert (first["kind"].item(), first["time"].item(), first["low"].item()) == ("first", 100, 0)


@pytest.mark.parametrize("slope", [0.0, 1.0, 1.7])
def test_a_planted_power_law_is_found(slope: float) -> None:
    finals = {(128, size): 0.5 * 400 / (100 * (size / 1000) ** slope) for size in (1000, 1300, 1700)}
    frame = make_table(finals, epochs=tuple(float(epoch) for epoch in range(10, 401, 10)))
    scaling = time_scaling(memorization_times(Runs.of(frame), 0.5))
    assert scaling.slope == pytest.approx(slope, abs=1e-6)
    assert scaling.low <= scaling.slope <= scaling.high
    assert predicted(scaling, [1000])[0] == pytest.approx(100)


def test_censored_trials_are_counted_and_two_points_have_no_interval() -> None:
    scaling = time_scaling(memorization_times(Runs.of(make_table({(1, 500): 0.9, (1, 1000): 0.8, (1, 2000): 0.1}))))
    assert (scaling.trials, scaling.censored) == (2, 1)
    assert math.isinf(scaling.high)


def test_one_size_has_no_scaling() -> None:
    with pytest.raises(MemosweepError, match="two sizes"):
        time_scaling(memorization_times(Runs.of(make_table({(128, 1000): 0.9}))))


@pytest.mark.parametrize("level", [0.0, 1.0, 50])
def test_a_level_outside_0_and_1_is_refused(level: float) -> None:
    with pytest.raises(MemosweepError, match="not a memorization ratio"):
        memorization_times(Runs.of(make_table({(128, 1000): 0.9})), level)


def test_the_interval_holds_the_brackets_between_evaluations() -> None:
    finals = {(128, size): 0.5 * 400 / (100 * size / 1000) for size in (1000, 1300, 1700)}
    coarse = make_table(finals, epochs=(50.0, 100.0, 200.0, 400.0))
    fine = make_table(finals, epochs=tuple(float(epoch) for epoch in range(2, 401, 2)))
    wide, narrow = (time_scaling(memorization_times(Runs.of(frame), 0.5)) for frame in (coarse, fine))
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)
    assert narrow.low < 1 < narrow.high
    assert wide == time_scaling(memorization_times(Runs.of(coarse), 0.5))


def test_groups_without_two_passing_sizes_have_no_scaling() -> None:
    assert scaling_groups(Runs.of(make_table({(1, 500): 0.9, (1, 1000): 0.1}))) == []
    assert len(scaling_groups(Runs.of(make_table({(1, 500): 0.9, (1, 1000): 0.8})))) == 1
