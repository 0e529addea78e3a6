"""fANOVA on the pooled table finds the factor that was planted."""

import math

import pytest

from analysis.inference.importance import rank
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError
from tests.fakes import frame, grid

TRIALS = grid(
    model__width=(64, 128, 256),
    training__weight_decay=(0, 1e-5, 1e-3, 1e-1),
    model__time_embedding=("positional", "fourier"),
)


def test_the_planted_factor_comes_first() -> None:
    answer = rank(Runs.of(frame(TRIALS, lambda s: -3.0 if s["training.weight_decay"] > 1e-2 else 0.0)), resamples=4)
    assert answer.runs == 24
    assert answer.factors[0].factor == "training.weight_decay"
    assert answer.factors[0].scale == "rank"
    assert answer.factors[0].low > answer.factors[1].high
    assert answer.interval == answer.to_dict()["interval"] == "range of 4 resamples"
    assert sum(factor.importance for factor in answer.factors) <= 1 + 1e-9
    for factor in answer.factors:
        assert factor.low <= factor.importance <= factor.high


def test_a_categorical_factor_can_come_first_and_answers_repeat() -> None:
    data = frame(TRIALS, lambda s: -3.0 if s["model.time_embedding"] == "fourier" else 0.0)
    answer = rank(Runs.of(data), resamples=2)
    assert answer.factors[0].factor == "model.time_embedding"
    assert answer.factors[0].scale == "category"
    assert answer == rank(Runs.of(data), resamples=2)


def test_tied_settings_are_one_factor_and_wide_ones_logarithmic() -> None:
    trials = [
        {**s, "training.learning_rate": s["training.batch_size"] * 2e-4 / 512}
        for s in grid(training__batch_size=(64, 256, 1024), data__size=(1000, 2000), seed=(0, 1))
    ]
    answer = rank(Runs.of(frame(trials, lambda s: math.log(s["training.batch_size"] / 512))), resamples=2)
    scales = {factor.factor: factor.scale for factor in answer.factors}
    assert scales == {
        "training.batch_size + training.learning_rate": "log",
        "data.size": "linear",
        "seed": "category",
    }


def test_one_factor_is_ranked_with_a_word_of_warning() -> None:
    answer = rank(Runs.of(frame(grid(model__width=(32, 64, 96, 128, 160, 192, 224, 256)))), resamples=2)
    assert "only model.width varies" in answer.note


def test_too_little_data_are_an_error_that_says_what_is_needed() -> None:
    with pytest.raises(MemosweepError, match="3 finished runs: importances need 8"):
        rank(Runs.of(frame(grid(model__width=(64, 128, 256)))))
    with pytest.raises(MemosweepError, match="nothing to rank"):
        rank(Runs.of(frame(grid(model__width=(64,) * 9))))
    flat = frame(TRIALS)
    flat["memorization_ratio"] = 0.0
    with pytest.raises(MemosweepError, match=r"^0 finished runs, \d+ others had not begun to memorize"):
        rank(Runs.of(flat))
    flat["knn_distance"] = 30.0
    with pytest.raises(MemosweepError, match="nothing to explain"):
        rank(Runs.of(flat))


def test_many_seeds_take_no_longer_than_few() -> None:
    # Optuna's fANOVA is exponential in the choices of a categorical parameter: 25 seeds would take days.
    answer = rank(
        Runs.of(frame(grid(model__width=(64, 256), seed=tuple(range(25))), lambda s: s["model.width"] / 100)),
        resamples=2,
    )
    assert [factor.factor for factor in answer.factors] == ["model.width", "seed"]


def test_a_hundred_resamples_have_a_95_percent_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis.inference import importance

    draws = iter([0.5, *(index / 100 for index in range(101))])
    monkeypatch.setattr(importance, "_fanova", lambda *_: {"model.width": next(draws)})
    answer = rank(Runs.of(frame(grid(model__width=tuple(range(32, 44))))), resamples=101)
    assert answer.interval == "95%"
    assert (answer.factors[0].low, answer.factors[0].high) == pytest.approx((0.025, 0.975))
