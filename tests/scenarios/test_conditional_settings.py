"""Settings that mean nothing to some runs: C of random labels, pooled with runs that have no random labels."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.inference.emm import comparable_runs
from analysis.inference.importance import rank
from analysis.inference.main_effects import contrasts
from analysis.inference.prediction import ask
from analysis.report.overview import describe, setting_text
from analysis.results.load import load
from analysis.runs.effects import make_cells
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError
from tests.fakes import grid, write_sweep

SIZES = (1000, 2000, 4000)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A conditioning sweep beside one over the number of random labels."""
    folder: Path = tmp_path_factory.mktemp("pooled")
    labels = grid(data__labels=("none", "true", "random"), data__size=SIZES)
    write_sweep(folder / "conditioning", labels, factor="conditioning", key="data.labels")
    counts = grid(data__labels=("random",), data__num_labels=(1, 10, 100, 1000), data__size=SIZES[1:])
    write_sweep(
        folder / "random_labels",
        counts,
        lambda s: 0.5 * len(str(s["data.num_labels"])),
        factor="random_labels",
        key="data.num_labels",
    )
    return load(folder, cache=False)


def test_both_factors_have_their_effects(pooled: pd.DataFrame) -> None:
    found, _ = contrasts(make_cells(Runs.of(pooled).finished.best))
    steps = {(change.key, change.before, change.after) for change in found}
    assert {("data.labels", "none", "true"), ("data.labels", "none", "random")} <= steps
    assert {("data.num_labels", 1, after) for after in (10, 100, 1000)} <= steps


def test_a_run_is_not_named_by_what_it_lacks(pooled: pd.DataFrame) -> None:
    runs = Runs.of(pooled).finished.best
    moved = describe(Runs.of(pooled)).varied
    texts = {row["data.labels"]: setting_text(row, moved) for _, row in runs.iterrows()}
    assert "C =" not in texts["none"] + texts["true"]
    assert "Number of random classes C =" in texts["random"]


def test_predictions_interpolate_the_number_of_labels(pooled: pd.DataFrame) -> None:
    answer = ask(Runs.of(pooled), ["data.labels=random", "data.num_labels=30", "data.size=3000"])
    assert answer.kind == "interpolation"
    assert answer.prediction.high - answer.prediction.low < 0.5


@pytest.mark.parametrize("more", [[], ["data.num_labels=none"]])
def test_where_there_are_no_random_labels_their_number_is_not_asked_for(pooled: pd.DataFrame, more: list[str]) -> None:
    answer = ask(Runs.of(pooled), ["data.labels=none", "data.size=3000", *more])
    assert answer.prediction.high - answer.prediction.low < 0.5
    assert set(answer.setting) == {"data.labels", "data.size"}


def test_a_number_of_labels_that_means_nothing_is_refused(pooled: pd.DataFrame) -> None:
    for runs in (pooled, pooled[pooled["experiment"] == "conditioning"].reset_index(drop=True)):
        with pytest.raises(MemosweepError, match=r"it means nothing where data\.labels = none"):
            ask(Runs.of(runs), ["data.labels=none", "data.size=3000", "data.num_labels=77"])
    with pytest.raises(MemosweepError) as caught:
        ask(Runs.of(pooled), ["data.size=3000"])
    assert "data.num_labels" not in str(caught.value)


def test_runs_without_random_labels_have_no_emm_by_their_number(pooled: pd.DataFrame) -> None:
    values = [
        value
        for group in comparable_runs(Runs.of(pooled), "data.num_labels")
        for value in group.runs.best["data.num_labels"]
    ]
    assert set(values) == {1, 10, 100, 1000}
    unlabeled = pooled[pooled["data.labels"] != "random"].reset_index(drop=True)
    with pytest.raises(MemosweepError, match=r"no trial has data\.labels = random"):
        comparable_runs(Runs.of(unlabeled), "data.num_labels")


def test_a_number_that_all_random_runs_share_may_be_named(pooled: pd.DataFrame) -> None:
    conditioning = pooled[pooled["experiment"] == "conditioning"].reset_index(drop=True)
    asked = ["data.labels=random", "data.size=3000"]
    assert (
        ask(Runs.of(conditioning), [*asked, "data.num_labels=10"]).prediction
        == ask(Runs.of(conditioning), asked).prediction
    )
    with pytest.raises(MemosweepError, match="all runs have 10"):
        ask(Runs.of(conditioning), [*asked, "data.num_labels=20"])


def test_importances_take_it_as_a_number(pooled: pd.DataFrame) -> None:
    scales = {factor.factor: factor.scale for factor in rank(Runs.of(pooled), resamples=2).factors}
    assert scales["data.num_labels"] == "log"
