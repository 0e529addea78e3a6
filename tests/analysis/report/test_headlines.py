"""The first sentences claim no more than the data allow."""

import math

import numpy as np
import pandas as pd

from analysis.inference.findings import Effect, SeedSpread, size_slope
from analysis.inference.main_effects import Change, contrasts
from analysis.report.headlines import headlines
from analysis.report.overview import describe
from analysis.runs.effects import make_cells
from analysis.runs.final import best
from analysis.runs.runs import Runs
from analysis.tables.effects import effects_table
from tests.fakes import frame, grid


def sentences(found: list[Change], slope: Effect | None) -> str:
    data = frame(grid(data__size=(1000,)))
    return " ".join(headlines(describe(Runs.of(data)), best(data), found, slope, [], SeedSpread(0.2, 0)))


def null_changes(seed: int, runs: pd.DataFrame) -> list[Change]:
    """Contrasts of a factor without an effect, from runs that spread by 0.2 in logits as is assumed."""
    noise = 0.2 * np.random.default_rng(seed).standard_normal(len(runs))
    return contrasts(make_cells(runs.assign(memorization_ratio=1 / (1 + np.exp(-noise))), SeedSpread(0.2, 0)))[0]


def test_the_best_of_many_contrasts_without_effect_is_not_announced() -> None:
    runs = best(frame(grid(model__width=tuple(range(32, 44)))))
    found = [null_changes(seed, runs) for seed in range(25)]
    alone = sum(any(change.effect.low > 0 or change.effect.high < 0 for change in each) for each in found)
    announced = sum(any(change.is_clear for change in each) for each in found)
    assert alone > 6  # intervals that stand alone leave zero out by chance
    assert announced <= 4


def test_a_planted_effect_is_announced_and_marked() -> None:
    data = frame(grid(model__width=(64, 128, 256), data__size=(1000, 2000)), lambda s: s["model.width"] / 64)
    cells = make_cells(best(data))
    found, _ = contrasts(cells)
    text = sentences(found, size_slope(cells))
    assert "The strongest effect beside |D|" in text
    assert f"allows for all {len(found)} comparisons" in text
    # One interval, on the scale of the test.
    assert text.count("95% interval") == 3
    assert "logit" not in text
    table = effects_table(found)
    marked = [row[table.header.index("Adjusted p")].endswith("*") for row in table.texts]
    assert marked == [change.is_clear for change in found]
    assert any(marked)


def effect(value: float, half: float) -> Effect:
    return Effect("slope", value, value - half, value + half, "logits per ln|D|", 1, 8)


def test_no_effect_of_size_is_claimed_where_its_interval_holds_none() -> None:
    weak = Change("model.width", "64", "128", Effect("64 to 128", 0.1, -0.3, 0.5, runs=4, comparisons=1))
    unclear = sentences([weak], effect(-2.0, 3.0))
    assert "No setting changes the ratio by more than noise" in unclear
    assert "as this includes 1, there may be no effect" in unclear
    clear = sentences([weak], effect(-2.9, 0.3))
    assert "No setting but |D| changes the ratio by more than noise" in clear
    assert "no effect" not in clear
    assert clear.count(f"{math.exp(math.log(2) * -2.9):.2g}") == 2


def test_no_contrast_has_no_p_value() -> None:
    assert contrasts(make_cells(best(frame(grid())), SeedSpread(0.2, 0))) == ([], [])
    assert isinstance(effects_table([]).rows, list)
