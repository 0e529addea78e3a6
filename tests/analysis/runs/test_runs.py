import math
from pathlib import Path

import pandas as pd
import pytest

from analysis.runs.averages import averaged
from analysis.runs.final import best
from analysis.runs.runs import Runs
from analysis.runs.seeds import ASSUMED_SPREAD
from tests.fakes import frame, grid, write_sweep


def wider(settings: dict) -> float:
    return 0.9 * math.log(settings["model.width"] / 128)


@pytest.fixture
def runs() -> Runs:
    trials = grid(model__width=(64, 128), data__size=(1000, 2000), seed=(0, 1, 2))
    return Runs.of(frame(trials, wider, seed_spread=0.5))


def with_status(runs: Runs, trial: str, **values: object) -> Runs:
    rows = runs.evaluations.astype({key: object for key in values if key in runs.evaluations})
    for key, value in values.items():
        rows.loc[rows["trial_id"] == trial, key] = value
    return Runs.of(rows)


def test_reading_returns_evaluations_manifests_and_what_was_skipped(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "widths", grid(model__width=(64, 128)), wider, unfinished=(1,))
    runs = Runs.read(folder, cache=False)
    assert runs.num_trials == 2
    assert runs.sweeps["widths"]["key"] == "model.width"
    assert [("cut short" in line) for line in runs.skipped] == [True]
    assert runs.counted.num_trials == 1
    assert runs.excluded() == ["left out: 1 of 2 trials are unfinished, and their ratios may still rise"]


def test_the_best_rows_are_those_of_finished_trials(runs: Runs) -> None:
    pd.testing.assert_frame_equal(runs.best, best(runs.evaluations))
    interrupted = with_status(runs, "p_00000", status="interrupted")
    assert "p_00000" not in set(interrupted.best["trial_id"])
    assert interrupted.num_trials == 12


def test_where_nothing_is_finished_the_trials_still_training_count_but_are_not_final(runs: Runs) -> None:
    training = Runs.of(runs.evaluations.assign(status="running"))
    assert len(training.best) == 12
    assert training.finished.best.empty


def test_a_part_keeps_the_spread_of_the_whole(runs: Runs) -> None:
    part = runs.where(runs.evaluations["model.width"] == 64)
    alone = Runs.of(part.evaluations)
    assert part.seed_spread is runs.seed_spread
    assert alone.seed_spread != runs.seed_spread
    assert all(group.runs.seed_spread is runs.seed_spread for group in runs.groups("model.width"))


def test_without_runs_the_spread_is_assumed() -> None:
    assert Runs.of(frame(grid())).seed_spread.logit == ASSUMED_SPREAD


def test_a_part_of_unfinished_trials_has_none_that_count(runs: Runs) -> None:
    interrupted = with_status(runs, "p_00000", status="interrupted")
    part = interrupted.where(interrupted.evaluations["trial_id"] == "p_00000")
    assert part.counted.num_trials == 0


def test_a_trial_that_was_stopped_early_is_marked_on_its_best_row(runs: Runs) -> None:
    rows = runs.evaluations.assign(stopped_early=False)
    rows.loc[rows.index[rows["trial_id"] == "p_00003"][-1], "stopped_early"] = True
    marked = Runs.of(rows).best.set_index("trial_id")["stopped_early"]
    assert marked["p_00003"]
    assert not marked.drop("p_00003").any()


def test_the_closed_form_optimum_is_no_network() -> None:
    both = Runs.of(frame(grid(model__architecture=("ddpmpp", "optimum"), data__size=(1000, 2000))))
    assert both.num_trials == 4
    assert set(both.networks.best["model.architecture"]) == {"ddpmpp"}


def test_varied_settings_and_factors(runs: Runs) -> None:
    assert runs.varied == ["data.size", "model.width", "seed"]
    assert runs.varied_settings == ["data.size", "model.width"]
    assert runs.factors == ["model.width"]


def test_groups_differ_in_one_setting_size_and_seeds_only() -> None:
    trials = grid(model__width=(64, 128), model__depth=(1, 2), data__size=(1000, 2000))
    found = Runs.of(frame(trials, wider)).groups("model.width")
    assert [group.fixed for group in found] == [{"model.depth": 1}, {"model.depth": 2}]
    assert [len(group.runs.best) for group in found] == [4, 4]
    assert found[0].title == "Depth = 1"


def test_a_group_of_interrupted_trials_has_none(runs: Runs) -> None:
    rows = runs.evaluations
    interrupted = rows.assign(status=rows["status"].where(rows["model.width"] == 64, "interrupted"))
    assert Runs.of(interrupted).groups("model.width") == []


def test_averages_of_a_group_use_the_spread_of_all_runs(runs: Runs) -> None:
    (group,) = runs.groups("model.width")
    data = averaged(group.runs.best, ["model.width", "data.size"], "memorization_ratio", group.runs.seed_spread)
    assert len(data) == 4
    assert (data["trials"] == 3).all()


def test_another_metric_has_its_own_best_rows(runs: Runs) -> None:
    lowest = runs.best_by("knn_distance")
    assert (lowest["knn_distance"] <= runs.best["knn_distance"]).all()
    assert runs.best_by("fid").empty
