import pandas as pd
import pytest

import analysis
from analysis.errors import AnalysisError
from analysis.inference.comparison import compare
from analysis.inference.findings import verdicts as findings_of
from analysis.runs.final import best, finished, is_finished, left_out, trial_verdicts
from analysis.runs.runs import Runs
from tests.analysis.conftest import make_table
from tests.analysis.planted import frame, grid


def table(*statuses: str) -> pd.DataFrame:
    rows = [
        {"experiment": "run", "trial_id": str(index), "status": status, "memorization_ratio": 0.1 * index}
        for index, status in enumerate(statuses)
    ]
    return pd.DataFrame(rows)


def searched(**verdicts: tuple[str | None, ...]) -> pd.DataFrame:
    """A row per evaluation of trials that a search judged; its ratio is a tenth of the number of the evaluation."""
    rows = [
        {"experiment": "run", "trial_id": trial, "status": "terminated", "verdict": verdict, "num_samples": 100,
         "memorization_ratio": 0.1 * number}
        for trial, said in verdicts.items()
        for number, verdict in enumerate(said, 1)
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


def test_the_verdict_of_a_trial_is_the_last_that_it_was_given() -> None:
    data = searched(a=("full", "will_not_reach"), b=("full", None), c=(None, None), d=("full", "reached"))
    last = trial_verdicts(data).groupby(data["trial_id"]).unique()
    assert {trial: list(said) for trial, said in last.items()} == {
        "a": ["will_not_reach"], "b": ["full"], "c": ["full"], "d": ["reached"],
    }  # fmt: skip


def test_a_trial_that_was_stopped_below_its_target_has_no_final_ratio() -> None:
    data = searched(a=("full", "will_not_reach"), b=("full", "full"), c=("full", "reached"))
    assert is_finished(data).tolist() == [False, False, True, True, True, True]
    assert set(finished(data)["trial_id"]) == {"b", "c"}
    assert set(Runs.of(data).finished.best["trial_id"]) == {"b", "c"}


def test_it_stays_left_out_where_no_trial_has_ended() -> None:
    data = searched(a=("full", "will_not_reach"), b=("full", "full")).assign(status="running")
    assert set(finished(data)["trial_id"]) == {"b"}


def test_where_all_were_stopped_below_their_target_that_is_said() -> None:
    with pytest.raises(AnalysisError, match="all trials were stopped early"):
        Runs.of(searched(a=("full", "will_not_reach"))).checked()


def test_the_best_evaluation_bears_the_trial_s_verdict() -> None:
    data = searched(a=("full", "reached"))
    data.loc[0, "memorization_ratio"] = 0.95
    assert best(data)[["memorization_ratio", "verdict"]].to_numpy().tolist() == [[0.95, "reached"]]


def test_what_is_left_out_is_counted_by_kind() -> None:
    data = searched(a=("full", "will_not_reach"), b=("full", "full"), c=("full", "reached"), d=("full", None))
    data.loc[data["trial_id"] == "d", "status"] = "running"
    lines = left_out(data)
    assert [line[: line.index(" of 4")] for line in lines] == ["left out: 1", "left out: 1", "note: 1"]
    assert "unfinished" in lines[0]
    assert "will not reach" in lines[1]
    assert "lower bounds" in lines[2]
    assert left_out(searched(b=("full", "full"))) == []


def stopped_early(data: pd.DataFrame, size: int) -> pd.DataFrame:
    """The same table with all trials of a size stopped after an evaluation that saw no replica."""
    there = data["data.size"] == size
    first = data.groupby("trial_id").cumcount() == 0
    data = data.assign(verdict="full")
    data.loc[there, ["verdict", "memorization_ratio"]] = ["will_not_reach", 0.0]
    return data[~there | first].reset_index(drop=True)


def test_findings_and_comparisons_do_not_read_such_trials() -> None:
    whole = frame(grid(data__size=(500, 1000, 2000), seed=(0, 1)))
    data = stopped_early(whole, 500)
    found = {verdict.id: verdict for verdict in findings_of(Runs.of(data))}["smaller_data_memorizes"]
    assert found.outcome == "supported"
    answer = compare(Runs.of(data), Runs.of(data))
    assert len(answer.matches) == 2
    assert answer.unfinished == (2, 2)
    assert analysis.best(data)["data.size"].nunique() == 3


def test_a_trial_that_ended_but_whose_last_results_are_lost_is_not_finished() -> None:
    whole = make_table({(128, 1000): 0.9, (256, 1000): 0.8}).assign(**{"training.epochs": 400.0})
    cut = whole[~((whole["model.width"] == 256) & (whole["epoch"] > 200))]
    assert finished(whole)["model.width"].unique().tolist() == [128, 256]
    assert finished(cut)["model.width"].unique().tolist() == [128]
