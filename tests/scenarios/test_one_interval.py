"""The same trials have the same interval wherever they are shown: one spread of training seeds for all."""

import re

import pandas as pd
import pytest

from analysis.figures.factor import factor_data
from analysis.figures.metric import epochs_data, size_data
from analysis.inference.findings import verdicts
from analysis.report import build
from analysis.runs.effects import Effect, ln, make_cells, trend
from analysis.runs.runs import Runs
from analysis.tables.paper import paper_table
from tests.fakes import frame, grid


@pytest.fixture
def runs() -> Runs:
    """Two studies whose seeds scatter differently: each by itself would have another spread."""
    widths = frame(grid(model__width=(128, 256), data__size=(1000, 2000), seed=(0, 1, 2)), seed_spread=0.05)
    decays = frame(grid(training__weight_decay=(0.0, 1e-2), data__size=(1000, 2000), seed=(3, 4)), seed_spread=0.8)
    return Runs.of(pd.concat([widths, decays.assign(experiment="decays")], ignore_index=True))


def test_figures_and_tables_have_the_same_interval(runs: Runs) -> None:
    (group, *_) = runs.groups("training.weight_decay")
    assert Runs.of(group.runs.evaluations).seed_spread != runs.seed_spread
    key = "training.weight_decay"

    def ends(data, *conditions):
        for name, value in conditions:
            data = data[data[name] == value]
        return data["low"].item(), data["high"].item()

    wanted = ((key, 1e-2), ("data.size", 2000))
    over_size = ends(size_data(group.runs, key), *wanted)
    assert ends(factor_data(group.runs, key), *wanted) == pytest.approx(over_size)
    cells = paper_table(2, runs).blocks[0][1]
    assert ends(cells[cells["ours"].notna()], *wanted) == pytest.approx(over_size)
    last = epochs_data(group.runs.where(group.runs.evaluations["data.size"] == 2000), key)
    last = last[last["epoch"] == last["epoch"].max()]
    assert ends(last, wanted[0]) == pytest.approx(over_size)


def test_verdicts_and_headlines_use_the_spread_of_figures_and_tables(runs: Runs) -> None:
    page = re.sub(r"\s+", " ", build(runs, resamples=2, draw=False))
    assert set(re.findall(r"\d\.\d\d in logits", page)) == {f"{runs.seed_spread.logit:.2f} in logits"}
    (verdict,) = verdicts(runs, ["width_monotonic"])
    cells = make_cells(runs.networks.best, runs.seed_spread)
    change = trend(cells, "model.width", ln, "")
    assert isinstance(change, Effect)
    assert verdict.effect is not None
    assert (verdict.effect.low, verdict.effect.high) == pytest.approx((change.low, change.high))
