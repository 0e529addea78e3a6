"""Contrasts at 0% or at 100% on both sides: no evidence, and named."""

from typing import Any

import pandas as pd
import pytest

from analysis.inference.comparison import compare
from analysis.inference.findings import verdicts
from analysis.inference.main_effects import contrasts
from analysis.runs.effects import Effect, Saturated, contrast, ln, make_cells, trend
from analysis.runs.runs import Runs
from tests.fakes import frame, grid


def with_ratios(ratio: float, keep: Any = None, **axes: Any) -> pd.DataFrame:
    """Planted runs, of which some (all where not given) never learned or copy everything."""
    data = frame(grid(**axes))
    rows = slice(None) if keep is None else keep(data)
    ends = ["memorization_ratio", "memorization_ratio_low", "memorization_ratio_high", "best_memorization_ratio"]
    data.loc[rows, ends] = ratio
    # As far as it goes: distances that still fell would say that the training was short.
    data.loc[rows, "knn_distance"] = 36.0
    return data


AXES = {"training__weight_decay": (0.0, 0.1), "data__size": (1000, 2000), "seed": (0, 1)}


def is_decay(value: float) -> Any:
    return lambda rows: rows["training.weight_decay"] == value


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_where_both_sides_are_at_one_end_there_is_no_effect(ratio: float) -> None:
    cells = make_cells(Runs.of(with_ratios(ratio, **AXES)).finished.best)
    found = contrast(cells, {"training.weight_decay"}, is_decay(0.0), is_decay(0.1), "0 to 0.1")
    assert found == Saturated("0 to 0.1", 2)
    assert trend(cells, "data.size", ln, "size") == Saturated("size", 2)


def test_one_side_at_an_end_is_evidence() -> None:
    data = with_ratios(0.0, is_decay(0.1), **AXES)
    found = contrast(
        make_cells(Runs.of(data).finished.best), {"training.weight_decay"}, is_decay(0.0), is_decay(0.1), "x"
    )
    assert isinstance(found, Effect)
    assert (found.comparisons, found.saturated) == (2, 0)
    assert found.high < 0


def test_saturated_settings_change_no_effect_and_are_counted() -> None:
    sound = frame(grid(**AXES))
    dead = with_ratios(0.0, **{**AXES, "data__size": (50_000,), "seed": (2, 3, 4)})
    alone, pooled = (make_cells(Runs.of(data).finished.best, make_cells(Runs.of(sound).finished.best).spread)
                     for data in (sound, pd.concat([sound, dead.assign(experiment="dead")])))  # fmt: skip
    key = "training.weight_decay"
    first = contrast(alone, {key}, is_decay(0.0), is_decay(0.1), "x")
    second = contrast(pooled, {key}, is_decay(0.0), is_decay(0.1), "x")
    assert isinstance(first, Effect)
    assert isinstance(second, Effect)
    assert (second.value, second.low, second.high, second.points) == (first.value, first.low, first.high, first.points)
    assert second.saturated == 1
    assert "left out: 1 matched setting at 0% or at 100% throughout" in str(second)
    assert contrasts(pooled)[1] == []


def test_trainings_that_never_learned_support_nothing_and_are_named() -> None:
    data = with_ratios(0.0, **{**AXES, "training__weight_decay": (0.0, 1e-4, 0.1)})
    (verdict,) = verdicts(Runs.of(data), ["weight_decay_cliff"])
    assert verdict.outcome == "undecided"
    assert [question.missing for question in verdict.questions] == [
        "left out: 2 matched settings at 0% or at 100% throughout"
    ] * 2
    found, saturated = contrasts(make_cells(Runs.of(data).finished.best))
    assert found == []
    assert saturated == ["|D| 1k to 2k", "Weight decay 0 to 0.0001", "Weight decay 0 to 0.1"]


def test_comparisons_pool_what_says_something() -> None:
    key = {"training__weight_decay": (0.0,), "seed": (0, 1)}
    sides = [pd.concat([frame(grid(**key, data__size=(1000,))),
                        with_ratios(0.0, **key, data__size=(50_000,)).assign(experiment="dead")])
             for _ in range(2)]  # fmt: skip
    sides[1]["seed"] += 5
    answer = compare(*map(Runs.of, sides))
    assert [match.saturated for match in answer.matches] == [False, True]
    assert answer.overall is not None
    assert answer.overall.comparisons == 1
    assert "1 of them at 0% or at 100% on both sides says nothing. Pooled over the 1 others" in answer.conclusion
    dead = compare(
        Runs.of(sides[0][sides[0]["experiment"] == "dead"]), Runs.of(sides[1][sides[1]["experiment"] == "dead"])
    )
    assert dead.overall is None
    assert "1 of them at 0% or at 100% on both sides says nothing." in dead.conclusion
    assert not any(match.beyond_noise for match in dead.matches)
