import pandas as pd
import pytest

from analysis.runs.final import best, finished, is_finished, is_lower_bound, left_out, stopped_early
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError
from tests.fakes import make_table


def table(*statuses: str) -> pd.DataFrame:
    rows = [
        {"experiment": "run", "trial_id": str(index), "status": status, "memorization_ratio": 0.1 * index}
        for index, status in enumerate(statuses)
    ]
    return pd.DataFrame(rows)


def searched(**stopped: tuple[bool | None, ...]) -> pd.DataFrame:
    """A row per evaluation of the trials of a search; its ratio is a tenth of the number of the evaluation."""
    rows = [
        {"experiment": "run", "trial_id": trial, "status": "terminated", "stopped_early": said, "num_samples": 100,
         "memorization_ratio": 0.1 * number}
        for trial, reports in stopped.items()
        for number, said in enumerate(reports, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_half_trained_trials_are_left_out() -> None:
    kept = finished(table("terminated", "interrupted", "terminated", "running", "error"))
    assert kept["trial_id"].tolist() == ["0", "2"]


def test_before_any_trial_ended_all_are_kept() -> None:
    assert len(finished(table("running", "interrupted"))) == 2
    assert len(finished(table("running").drop(columns="status"))) == 1


def test_shares_have_their_best_at_the_top_and_distances_at_the_bottom() -> None:
    twice = pd.concat([table("terminated")] * 2, ignore_index=True)
    twice["coverage"], twice["knn_distance"] = [0.2, 0.6], [5.0, 3.0]
    assert best(twice, "coverage")["coverage"].tolist() == [0.6]
    assert best(twice, "knn_distance")["knn_distance"].tolist() == [3.0]


def test_a_trial_that_was_stopped_early_once_is_so_in_all_its_rows() -> None:
    data = searched(a=(False, True), b=(False, None), c=(None, None))
    assert stopped_early(data).tolist() == [True, True, False, False, False, False]
    assert is_finished(data.assign(status="running")).tolist() == [True, True, False, False, False, False]


def test_the_best_evaluation_says_that_its_trial_was_stopped() -> None:
    data = searched(a=(False, True))
    data.loc[0, "memorization_ratio"] = 0.95
    assert best(data)[["memorization_ratio", "stopped_early"]].to_numpy().tolist() == [[0.95, True]]
    assert is_lower_bound(best(data).iloc[0])
    assert not is_lower_bound(best(searched(b=(False, None))).iloc[0])


def test_where_all_diverged_that_is_said() -> None:
    with pytest.raises(MemosweepError, match="all trials diverged or failed"):
        Runs.of(searched(a=(False, False)).assign(failure="diverged")).checked()


def test_what_is_left_out_is_counted_by_kind() -> None:
    data = searched(b=(False, False), c=(False, True), d=(False, None))
    data.loc[data["trial_id"] == "d", "status"] = "running"
    lines = left_out(data)
    assert [line[: line.index(" of 3")] for line in lines] == ["left out: 1", "note: 1"]
    assert "unfinished" in lines[0]
    assert "lower bounds" in lines[1]
    assert left_out(searched(b=(False, False))) == []


def test_a_trial_that_ended_but_whose_last_results_are_lost_is_not_finished() -> None:
    whole = make_table({(128, 1000): 0.9, (256, 1000): 0.8}).assign(**{"training.epochs": 400.0})
    cut = whole[~((whole["model.width"] == 256) & (whole["epoch"] > 200))]
    assert finished(whole)["model.width"].unique().tolist() == [128, 256]
    assert finished(cut)["model.width"].unique().tolist() == [128]
