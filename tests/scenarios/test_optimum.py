"""The closed-form optimum beside trained networks: it answers its own finding, and says nothing of any setting."""

from pathlib import Path

import pandas as pd

from analysis.figures.catalog import Drawn, Missing, figures
from analysis.inference.findings import verdicts
from analysis.inference.importance import rank
from analysis.inference.prediction import ask
from analysis.report import build
from analysis.report.page import emm_frame
from analysis.results.load import load
from analysis.runs.runs import Runs
from tests.fakes import frame, grid, write_sweep

WIDTHS = grid(model__width=(64, 128, 256), data__size=(1000, 2000))


def with_optimum(trials: pd.DataFrame) -> pd.DataFrame:
    """The same trials beside as many of the optimum, which replicates everything."""
    everything = {"memorization_ratio": 1.0, "memorization_ratio_low": 0.99, "memorization_ratio_high": 1.0}
    optimum = trials.assign(**everything, **{"model.architecture": "optimum"}, trial_id="o" + trials["trial_id"])
    return pd.concat([trials, optimum], ignore_index=True)


def wide(settings: dict[str, object]) -> float:
    return float(str(settings["model.width"])) / 64


def test_it_changes_no_verdict_but_its_own() -> None:
    data = frame(WIDTHS, wide)
    alone, beside = verdicts(Runs.of(data)), verdicts(Runs.of(with_optimum(data)))
    assert [verdict for verdict in beside if verdict.id != "optimum_replicates"] == [
        verdict for verdict in alone if verdict.id != "optimum_replicates"
    ]
    assert {verdict.id: verdict.outcome for verdict in beside}["optimum_replicates"] == "supported"


def test_importances_leave_it_out_and_say_so() -> None:
    data = frame(grid(model__width=(64, 128, 256), data__size=(1000, 2000), seed=(0, 1)), wide)
    alone, beside = rank(Runs.of(data), resamples=2), rank(Runs.of(with_optimum(data)), resamples=2)
    assert beside.factors == alone.factors
    assert "12 runs of the closed-form optimum, which is not trained, are left out" in beside.note


def test_figures_draw_networks_and_name_what_they_leave_out() -> None:
    data = frame(WIDTHS, wide)
    alone, beside = list(figures(Runs.of(data))), list(figures(Runs.of(with_optimum(data))))
    drawn = [[entry.title for entry in entries if isinstance(entry, Drawn)] for entries in (alone, beside)]
    assert drawn[0] == drawn[1]
    assert Missing("closed-form optimum", "its 6 trials are not drawn beside networks: nothing moves them") in beside


def test_alone_it_is_what_there_is() -> None:
    data = with_optimum(frame(WIDTHS))
    only = data[data["model.architecture"] == "optimum"]
    assert len(Runs.of(only).networks.evaluations) == len(only)
    assert any(isinstance(entry, Drawn) for entry in figures(Runs.of(only)))


def test_a_number_of_random_labels_is_missing_where_labels_are_not_random(tmp_path: Path) -> None:
    trials = grid(data__labels=("none", "true", "random"), data__size=(1000,))
    data = load(write_sweep(tmp_path / "labels", trials), cache=False)
    numbers = data.groupby("data.labels")["data.num_labels"].first()
    assert numbers["random"] == 10
    assert numbers[["none", "true"]].isna().all()
    assert str(data["data.num_labels"].dtype) == "Int64"


def test_reports_and_predictions_are_of_networks() -> None:
    data = frame(WIDTHS, wide)
    beside = with_optimum(data)
    page = build(Runs.of(beside), resamples=2, draw=False)
    assert "6 runs of the closed-form optimum, which no setting changes" in page
    assert "highest memorization ratio is 100.0%" not in page.replace("\n", " ")
    asked = ["model.width=192", "data.size=1500"]
    assert ask(Runs.of(beside), asked).prediction == ask(Runs.of(data), asked).prediction
    assert len(emm_frame(Runs.of(beside).networks)[0]) == len(emm_frame(Runs.of(data))[0])
