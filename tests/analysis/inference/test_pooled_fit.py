"""Predictions come with an interval and say whether they leave the data."""

from importlib import resources

import numpy as np
import pandas as pd
import pytest
from scipy import special

import analysis
from analysis.inference.pooled_fit import fit_pooled, leave_one_value_out


def truth(width, size, labels):
    return special.expit(3 - 2.9 * np.log(size / 1000) + 1.5 * np.log(width / 128) + {"none": 0, "true": 0.8}[labels])


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    rows = [
        (
            w,
            s,
            c,
            rng.binomial(10_000, special.expit(special.logit(truth(w, s, c)) + 0.05 * rng.standard_normal())) / 1e4,
        )
        for w in (64, 128, 256)
        for s in (1000, 2000, 4000)
        for c in ("none", "true")
    ]
    return pd.DataFrame(rows, columns=["model.width", "data.size", "data.labels", "memorization_ratio"])


@pytest.fixture(scope="module")
def fit(table):
    return fit_pooled(table, ["model.width", "data.labels"], size="data.size")


def test_between_settings_it_is_close_and_says_interpolation(fit):
    answer = fit.predict({"model.width": 192, "data.size": 3000, "data.labels": "true"})
    expected = truth(192, 3000, "true")
    assert answer.low <= expected <= answer.high
    assert answer.ratio == pytest.approx(expected, abs=0.03)
    assert answer.extrapolation == 0 and answer.statement.startswith("interpolation")


def test_outside_it_says_how_far_and_is_less_sure(fit):
    near = fit.predict({"model.width": 256, "data.size": 4000, "data.labels": "none"})
    far = fit.predict({"model.width": 256, "data.size": 16_000, "data.labels": "none"})
    assert far.extrapolation == pytest.approx(4)
    assert far.statement == "extrapolation: data.size=16000 is 4 times above the largest value run (4000)"

    def width(answer):
        return special.logit(answer.high) - special.logit(answer.low)

    assert width(far) > width(near)


def test_below_the_range_is_said_too(fit):
    answer = fit.predict({"model.width": 32, "data.size": 1000, "data.labels": "none"})
    assert "model.width=32 is 2 times below the smallest value run (64)" in answer.statement


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"model.width": 128, "data.labels": "none"}, "set data.size too"),
        (
            {"model.width": 128, "data.size": 1000, "data.labels": "random"},
            "never run: choose from none, true",
        ),
        ({"model.width": "wide", "data.size": 1000, "data.labels": "none"}, "'wide' is not a number"),
        ({"model.width": 128, "data.size": -5, "data.labels": "none"}, "must be positive"),
    ],
)
def test_questions_that_cannot_be_answered_are_named(fit, setting, message):
    with pytest.raises(ValueError, match=message):
        fit.predict(setting)


def test_constant_columns_need_no_answer(table):
    some = table[table["data.labels"] == "none"]
    fit = fit_pooled(some, ["model.width", "data.labels"], size="data.size")
    assert fit.predict({"model.width": 128, "data.size": 1000}).ratio > 0.9


def test_too_few_rows_are_named(table):
    with pytest.raises(ValueError, match="too few"):
        fit_pooled(table.iloc[:2], ["model.width", "data.labels"], size="data.size")


def test_percentages_and_missing_columns_are_named(table):
    with pytest.raises(ValueError, match="fractions"):
        fit_pooled(table.assign(memorization_ratio=92.0), ["model.width"], size="data.size")
    with pytest.raises(ValueError, match="lacks"):
        fit_pooled(table, ["model.depth"], size="data.size")


def test_intervals_cover_held_out_settings(table):
    found = leave_one_value_out(table, "data.labels", size="data.size")
    assert len(found) == 2 * 6
    alone = leave_one_value_out(table[table["data.labels"] == "none"], "model.width", size="data.size")
    assert len(alone) == 9
    assert alone["covered"].mean() > 0.8
    assert alone.loc[alone["value"] == 64, "statement"].str.startswith("extrapolation").all()


def published(name):
    with (resources.files(analysis) / "paper" / f"{name}.csv").open() as stream:
        table = pd.read_csv(stream)
    return table.assign(memorization_ratio=table["memorization_ratio"] / 100)


@pytest.mark.parametrize(
    ("name", "factor", "median"),
    [("batch_size", "batch_size", 0.01), ("ema", "ema_decay", 0.02), ("conditioning", "labels", 0.05)],
)
def test_left_out_values_of_published_tables_are_predicted_within_points(name, factor, median):
    found = leave_one_value_out(published(name), factor)
    assert found["error"].abs().median() < median


def test_the_weight_decay_cliff_is_beyond_a_pooled_line_and_shows_as_large_errors():
    found = leave_one_value_out(published("weight_decay"), "weight_decay")
    assert found["error"].abs().max() > 0.1
