"""Two sweeps beside each other: settings, matched trials, noise."""

import pandas as pd
import pytest

from analysis.inference.comparison import compare
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError
from tests.fakes import SIZES, frame, grid

AXES = {"data__size": SIZES, "seed": (0, 1)}


def test_sweeps_that_differ_in_seeds_only_differ_within_noise() -> None:
    a = frame(grid(model__width=(64, 128, 256), **AXES))
    b = frame(grid(model__width=(64, 128, 256), data__size=SIZES, seed=(2, 3)))
    answer = compare(Runs.of(a), Runs.of(b))
    assert len(answer.matches) == 6
    assert not any(match.beyond_noise for match in answer.matches)
    assert answer.overall is not None
    assert answer.overall.low < 0 < answer.overall.high
    assert "0 of 6 matched settings" in answer.conclusion


def test_a_planted_difference_is_found_where_it_was_planted() -> None:
    a = frame(grid(model__width=(64, 128, 256), **AXES))
    b = frame(
        grid(model__width=(64, 128, 320), training__learning_rate=(4e-4,), **AXES),
        lambda s: -1.5 if s["model.width"] == 64 else 0.0,
    )
    answer = compare(Runs.of(a), Runs.of(b), ("old", "new"))
    beyond = [match for match in answer.matches if match.beyond_noise]
    assert {match.settings["model.width"] for match in beyond} == {64}
    assert all(match.odds_high < 1 for match in beyond)
    assert [(d.what, d.a, d.b) for d in answer.differences] == [("training.learning_rate", "0.0002", "0.0004")]
    assert {settings["model.width"] for settings in answer.only_a} == {256}
    assert {settings["model.width"] for settings in answer.only_b} == {320}


def test_identical_sweeps_have_no_difference() -> None:
    data = frame(grid(model__width=(64, 128), **AXES))
    answer = compare(Runs.of(data), Runs.of(data))
    assert {match.points for match in answer.matches} == {0.0}
    assert answer.only_a == answer.only_b == answer.differences == ()
    assert all(match.same_training for match in answer.matches)
    assert "All of them are the same training on both sides" in answer.conclusion


def test_equal_ratios_of_other_seeds_or_settings_are_other_trainings() -> None:
    data = frame(grid(model__width=(64, 128), **AXES))
    for other in (data.assign(seed=data["seed"] + 2), data.assign(**{"training.learning_rate": 4e-4})):
        answer = compare(Runs.of(data), Runs.of(other))
        assert {match.points for match in answer.matches} == {0.0}
        assert not any(match.same_training for match in answer.matches)


@pytest.mark.parametrize(("shift", "bounded", "known"), [(-1.5, "b", False), (-1.5, "a", True), (1.5, "a", False)])
def test_a_lower_bound_is_beyond_noise_only_where_rising_makes_the_difference_larger(
    shift: float, bounded: str, known: bool
) -> None:
    sides = {"a": frame(grid(model__width=(64, 128), **AXES)),
             "b": frame(grid(model__width=(64, 128), data__size=SIZES, seed=(2, 3)), lambda _: shift)}  # fmt: skip
    sides[bounded] = sides[bounded].assign(stopped_early=[width == 64 for width in sides[bounded]["model.width"]])
    answer = compare(Runs.of(sides["a"]), Runs.of(sides["b"]))
    beyond = {
        width: {m.beyond_noise for m in answer.matches if m.settings["model.width"] == width} for width in (64, 128)
    }
    assert beyond == {64: {known}, 128: {True}}
    assert {m.settings["model.width"] for m in answer.matches if m.bound_a or m.bound_b} == {64}
    assert answer.overall is not None
    assert answer.overall.comparisons == 2  # the final ratios alone are pooled
    assert "Pooled over the 2 with final ratios" in answer.conclusion


def test_nothing_is_pooled_where_every_ratio_is_a_lower_bound() -> None:
    a, b = (frame(grid(data__size=SIZES, seed=seeds)) for seeds in ((0,), (1,)))
    answer = compare(Runs.of(a), Runs.of(b.assign(stopped_early=True)))
    assert answer.overall is None
    assert "no difference to pool" in answer.conclusion


def test_number_types_and_missing_columns_do_not_keep_runs_apart() -> None:
    data = frame(grid(model__width=(64, 128), **AXES))
    other = data.astype({"model.width": float}).drop(columns="data.classes")
    assert len(compare(Runs.of(data), Runs.of(other)).matches) == 4


def test_manifests_are_compared_version_by_version() -> None:
    a, b = frame(grid(**AXES)), frame(grid(**AXES))
    one = {"a": {"git_commit": "abc", "versions": {"torch": "2.9", "numpy": "2.4"}, "preset": "paper"}}
    other = {"b": {"git_commit": "def", "versions": {"torch": "3.0", "numpy": "2.4"}, "preset": "paper"}}
    answer = compare(Runs.of(a, one), Runs.of(b, other))
    found = {difference.what: (difference.a, difference.b) for difference in answer.differences}
    assert found == {"git_commit": ("abc", "def"), "version of torch": ("2.9", "3.0")}


def test_sweeps_with_nothing_in_common_say_so() -> None:
    a = frame(grid(model__width=(64, 96), **AXES))
    b = frame(grid(model__width=(128, 256), **AXES))
    answer = compare(Runs.of(a), Runs.of(b))
    assert answer.overall is None
    assert "nothing can be compared" in answer.conclusion


def test_interval_and_p_value_are_of_the_same_effect_for_one_seed_and_for_several() -> None:
    a = frame(grid(model__width=(64, 128), data__size=SIZES, seed=(0, 1)))
    b = frame(grid(model__width=(64, 128), data__size=SIZES, seed=(2,)), lambda s: (s["model.width"] - 64) / 200)
    matches = compare(Runs.of(a), Runs.of(b)).matches
    assert {(match.runs_a, match.runs_b) for match in matches} == {(2, 1)}
    for match in matches:
        assert match.odds is not None and match.odds_low is not None and match.odds_high is not None
        assert (match.p < 0.05) == (match.odds_low > 1 or match.odds_high < 1)
    assert len({match.p < 0.05 for match in matches}) == 2


def test_settings_at_the_same_end_have_no_odds() -> None:
    data = frame(grid(data__size=SIZES)).assign(memorization_ratio=0.0)
    (match, _) = compare(Runs.of(data), Runs.of(data.assign(seed=7))).matches
    assert (match.odds, match.odds_low, match.odds_high) == (None, None, None)


def test_multiple_settings_do_not_raise_false_alarms() -> None:
    alarms = 0
    for first in range(0, 24, 2):
        widths = (64, 96, 128, 192, 256)
        a = frame(grid(model__width=widths, seed=(first,)), seed_spread=0.2)
        b = frame(grid(model__width=widths, seed=(first + 1,)), seed_spread=0.2)
        alarms += any(match.beyond_noise for match in compare(Runs.of(a), Runs.of(b)).matches)
    assert alarms <= 2  # of 12 comparisons of five settings each; Holm keeps it below one in the mean


def test_a_sweep_without_finished_trials_is_an_error() -> None:
    data = frame(grid(**AXES))
    with pytest.raises(MemosweepError, match="B: no trial has finished"):
        compare(Runs.of(data), Runs.of(data.assign(status="running")))
    with pytest.raises(MemosweepError, match="A: no trial"):
        compare(Runs.of(pd.DataFrame()), Runs.of(data))


def test_a_mask_that_keeps_all_is_matched_with_runs_without_one() -> None:
    whole = frame(grid(model__skip_connections=([1] * 9, [1, 0] + [1] * 7), data__size=(1000, 2000)))
    plain = frame(grid(data__size=(1000, 2000)))
    assert len(compare(Runs.of(whole), Runs.of(plain)).matches) == 2
