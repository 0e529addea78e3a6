import json
import os
import shutil
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest

import analysis
from analysis.errors import SkippedResultsWarning
from analysis.report.overview import describe
from analysis.results.records import parse_trial
from analysis.runs.final import best
from analysis.runs.runs import Runs
from analysis.runs.settings import varied_keys
from memo_core.errors import MemosweepError
from tests.analysis.conftest import LONG_AGO, fail
from tests.fakes import make_table

pytestmark = pytest.mark.filterwarnings("ignore:.*no evaluation yet:analysis.errors.SkippedResultsWarning")

CONFIG = {"data.size": 10, "model.skip_connections": [1, 0, 1], "training.weight_decay": 0, "training.images": 200,
          "seed": 3}  # fmt: skip


def result(images: int, ratio: float = 0.5, **more: Any) -> dict[str, Any]:
    return {"epoch": images / 10, "images_seen": images, "memorization_ratio": ratio, "num_samples": 100,
            "timestamp": 1, "done": False, "trial_id": "0a1b2_00000", "time_total_s": images / 10,
            "config": CONFIG, "time_since_restore": 1.0, **more}  # fmt: skip


def write_trial(folder: Path, *results: dict[str, Any] | str, trial: str = "0a1b2_00000") -> Path:
    inner = folder / f"size=10_{trial}"
    inner.mkdir(parents=True)
    lines = [line if isinstance(line, str) else json.dumps({**line, "trial_id": trial}) + "\n" for line in results]
    (inner / "result.json").write_text("".join(lines))
    return folder


def test_a_real_folder_has_a_row_per_evaluation_with_true_types(real: pd.DataFrame) -> None:
    assert len(real) == 14
    assert real["trial_id"].nunique() == 8
    assert real["data.size"].dtype == "Int64"
    assert real["data.resolution"].dtype == "Int64"
    assert real["data.resolution"].isna().all()
    assert real["training.weight_decay"].dtype == "float64"
    assert set(real["model.channel_multipliers"]) == {"2,2,2"}
    assert set(real["factor"]) == {"weight_decay"}
    assert set(real["preset"]) == {"laptop"}
    assert real["images_seen"].max() == 16_000
    assert real["folder"].map(lambda folder: Path(folder).is_dir()).all()


def test_status_tells_finished_from_interrupted_trials(sweep: Path) -> None:
    frame = analysis.load(sweep)
    assert frame.drop_duplicates("trial_id")["status"].value_counts().to_dict() == {"terminated": 6, "interrupted": 2}


def test_a_sweep_that_wrote_just_now_is_running(sweep: Path) -> None:
    os.utime(sweep / "sweep.json")
    assert "running" in set(analysis.load(sweep)["status"])


def test_a_sweep_that_wrote_its_outcome_is_not_running(sweep: Path) -> None:
    for file in [*sweep.glob("*.json"), sweep / "trials.jsonl", *sweep.glob("*/result.json")]:
        os.utime(file)
    (sweep / "table.csv").write_text("")
    assert "running" not in set(analysis.load(sweep)["status"])


def test_a_failed_trial_says_so(sweep: Path) -> None:
    for trial_id in ("ec31f_00006", "ec31f_00007"):
        fail(sweep, trial_id)
    assert analysis.load(sweep).drop_duplicates("trial_id")["status"].value_counts()["error"] == 2


def test_without_a_journal_the_budget_tells_the_status(sweep: Path) -> None:
    (sweep / "trials.jsonl").unlink()
    frame = analysis.load(sweep)
    assert frame.drop_duplicates("trial_id")["status"].value_counts().to_dict() == {"terminated": 6, "interrupted": 2}


def test_cost_and_wall_time(tmp_path: Path) -> None:
    frame = analysis.load(write_trial(tmp_path / "run", result(100), result(200)))
    assert frame["cost_images"].tolist() == [200, 200]
    assert frame["seconds"].tolist() == [10.0, 20.0]
    assert frame["status"].tolist() == ["terminated"] * 2
    assert frame["model.skip_connections"].tolist() == ["1,0,1"] * 2
    assert frame["seed"].tolist() == [3, 3]


def test_a_half_written_last_line_is_skipped_and_said(tmp_path: Path) -> None:
    folder = write_trial(tmp_path / "run", result(100), json.dumps(result(200))[:-40])
    with pytest.warns(SkippedResultsWarning, match=r"1 line is cut short in result.json of size=10_0a1b2_00000"):
        frame = analysis.load(folder)
    assert frame["images_seen"].tolist() == [100]


def test_a_result_behind_a_cut_line_is_saved(tmp_path: Path) -> None:
    cut = json.dumps(result(200))[:-40]
    frame = analysis.load(write_trial(tmp_path / "run", result(100), cut + json.dumps(result(200, 0.7)) + "\n"))
    assert frame["memorization_ratio"].tolist() == [0.5, 0.7]


def test_evaluations_that_a_restored_trial_repeats_are_kept_once_the_last_of_them(tmp_path: Path) -> None:
    results = [result(100, 0.1), result(200, 0.2), result(200, 0.3), result(300, 0.4)]
    frame = analysis.load(write_trial(tmp_path / "run", *results))
    assert frame["images_seen"].tolist() == [100, 200, 300]
    assert frame["memorization_ratio"].tolist() == [0.1, 0.3, 0.4]


@pytest.mark.parametrize("ratio", [float("nan"), float("inf"), None, True, 57.0, -0.1, "high"])
def test_a_ratio_that_is_no_number_is_missing_and_said(tmp_path: Path, ratio: float) -> None:
    folder = write_trial(tmp_path / "run", result(100, ratio), result(200))
    with pytest.warns(SkippedResultsWarning, match=r"out of range are missing \(memorization_ratio\)"):
        frame = analysis.load(folder)
    assert frame["memorization_ratio"].isna().tolist() == [True, False]
    assert len(best(frame)) == 1


def test_columns_that_an_older_run_lacks_are_missing_or_follow(tmp_path: Path) -> None:
    frame = analysis.load(write_trial(tmp_path / "run", result(100, 0.5), result(200, 0.25)))
    assert frame["knn_distance"].isna().all()
    assert frame["best_memorization_ratio"].tolist() == [0.5, 0.5]
    # Wilson's interval of 50 and 25 in 100.
    assert frame["memorization_ratio_low"].tolist() == pytest.approx([0.40383, 0.17545], abs=1e-5)
    assert frame["memorization_ratio_high"].tolist() == pytest.approx([0.59617, 0.34305], abs=1e-5)


def test_what_a_trial_reports_beyond_the_known_is_a_column(tmp_path: Path) -> None:
    frame = analysis.load(write_trial(tmp_path / "run", result(100, fid=8.5, note="x", histogram=[1, 2]), result(200)))
    assert frame["fid"].isna().tolist() == [False, True]
    assert "note" in frame
    assert "histogram" not in frame
    assert "hostname" not in frame


def test_an_empty_result_file_is_a_trial_without_evaluation(tmp_path: Path) -> None:
    folder = write_trial(tmp_path / "run", result(100))
    write_trial(folder, trial="0a1b2_00001")
    with pytest.warns(SkippedResultsWarning, match="run: 1 trial has no evaluation yet"):
        assert len(analysis.load(folder)) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is empty"),
        (lambda path: (path / "inner").mkdir(parents=True), "holds no sweep"),
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text(""), "is a file"),
        (write_trial, "no evaluation yet"),
        (lambda path: write_trial(path, {"score": 1.0}), "no result holds a memorization_ratio"),
    ],
)
def test_where_nothing_is_left_there_is_one_clear_line(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "run")
    with pytest.raises(MemosweepError, match=message) as caught:
        analysis.load(tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_trial_folder_is_answered_with_what_to_give(sweep: Path) -> None:
    with pytest.raises(MemosweepError, match="is one trial: give the experiment folder"):
        analysis.load(next(sweep.glob("size=*")))


def test_a_bad_folder_among_good_ones_is_skipped(sweep: Path, tmp_path: Path) -> None:
    with pytest.warns(SkippedResultsWarning, match="nowhere does not exist"):
        frame = analysis.load([sweep, tmp_path / "nowhere"])
    assert len(frame) == 14


def test_a_folder_of_experiments_is_read_whole(sweep: Path) -> None:
    write_trial(sweep.parent / "other", result(100), trial="9f9f9_00000")
    frame = analysis.load(sweep.parent)
    assert set(frame["experiment"]) == {"weight_decay", "other"}
    assert frame["data.size"].dtype == "Int64"


@pytest.mark.parametrize("name", ["weight_decay", "weight_decay_backup"])
def test_a_copy_of_an_experiment_adds_nothing(sweep: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy" / name
    shutil.copytree(sweep, copy)
    alone = analysis.load(sweep)
    with pytest.warns(SkippedResultsWarning, match=f"{name}: 8 trials are copies of .*/weight_decay and count once"):
        both = analysis.load([sweep, copy])
    pd.testing.assert_frame_equal(alone, both)


@pytest.mark.parametrize("last", [False, True])
def test_of_several_copies_the_one_that_went_furthest_counts(sweep: Path, tmp_path: Path, last: bool) -> None:
    older = tmp_path / "older" / "weight_decay"
    shutil.copytree(sweep, older)
    for file in older.glob("size=*/result.json"):
        file.write_text(file.read_text().splitlines()[0] + "\n")
    for file in [older / "trials.jsonl", older / "sweep.json"]:
        file.unlink()
    alone = analysis.load(sweep)
    with pytest.warns(SkippedResultsWarning, match="are copies of"):
        both = analysis.load([sweep, older] if last else [older, sweep])
    same = ["trial_id", "status", "images_seen", "memorization_ratio", "cost_images"]
    finished = both[both["status"] == "terminated"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.loc[alone["status"] == "terminated", same].reset_index(drop=True),
                                  finished[same])  # fmt: skip
    assert both["trial_id"].nunique() == 8
    assert len(both[["experiment", "trial_id", "status"]].drop_duplicates()) == 8


def test_equal_trial_names_of_sweeps_that_started_at_different_times_are_no_copies(tmp_path: Path) -> None:
    for name, started in (("one", "2026-01-01"), ("two", "2026-01-02")):
        write_trial(tmp_path / name, result(100))
        (tmp_path / name / "sweep.json").write_text(json.dumps({"started": started}))
    assert analysis.load(tmp_path)["experiment"].tolist() == ["one", "two"]


def test_an_older_run_has_the_samples_that_it_was_set_to(tmp_path: Path) -> None:
    line = result(100)
    del line["num_samples"]
    other = {**line, "config": {**CONFIG, "evaluation.num_samples": 500}}
    write_trial(tmp_path / "old", line, trial="0a1b2_00000")
    write_trial(tmp_path / "set", other, trial="9f9f9_00000")
    frame = analysis.load(tmp_path)
    assert frame["num_samples"].tolist() == [10_000, 500]
    assert frame["memorization_ratio_low"].notna().all()
    assert len(Runs.of(frame.assign(status="terminated", images_seen=10**9)).finished.best) == 2


def test_a_setting_that_an_older_sweep_does_not_name_has_its_default(tmp_path: Path) -> None:
    named = {**CONFIG, "model.depth": 4, "evaluation.fid": True, "data.resolution": 8}
    write_trial(tmp_path / "new", {**result(100), "config": named})
    write_trial(tmp_path / "old", result(100), trial="9f9f9_00000")
    frame = analysis.load(tmp_path)
    assert frame["model.depth"].tolist() == [4, 2]
    assert frame["evaluation.fid"].tolist() == [True, False]
    assert frame["data.resolution"].isna().tolist() == [False, True]


@pytest.mark.parametrize("config", [{}, {"data.size": None}, {"data.size": "many"}, {"data.size": 10.5}, None])
def test_a_trial_without_a_size_is_left_out_in_words(tmp_path: Path, config: dict[str, Any] | None) -> None:
    write_trial(tmp_path / "run", result(100))
    write_trial(tmp_path / "run", {**result(100), "config": config}, trial="9f9f9_00001")
    with pytest.warns(SkippedResultsWarning, match="1 trial names no whole number"):
        frame = analysis.load(tmp_path / "run")
    assert frame["trial_id"].tolist() == ["0a1b2_00000"]
    assert frame["data.size"].dtype == "Int64"


def test_where_no_trial_has_a_size_that_is_the_error(tmp_path: Path) -> None:
    folder = write_trial(tmp_path / "run", {**result(100), "config": {"model.width": 8}})
    with pytest.raises(MemosweepError, match="1 trial names no whole number"):
        analysis.load(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"factor": "wei', "sweep.json is cut short or not JSON"),
        ("[" * 100_000, "sweep.json is cut short or not JSON"),
        ("[1, 2]", "sweep.json holds no settings"),
        ('{"resources": null}', "sweep.json: resources is of the wrong type"),
        ('{"resources": {"cpu": "two"}}', "sweep.json: resources is of the wrong type"),
        ('{"resources": {"cpu": 1e400}}', "sweep.json: resources is of the wrong type"),
        ('{"plan": {"trials": null}}', "sweep.json: trials is of the wrong type"),
        ('{"plan": [1]}', "sweep.json: plan is of the wrong type"),
        (
            '{"plan": {"trials": [1], "factor": [2], "search": 3}}',
            "sweep.json: factor, trials, search are of the wrong type",
        ),
        (
            '{"plan": {"search": {"zeta": "x"}, "factor": {"key": {}}}}',
            "sweep.json: key, zeta are of the wrong type",
        ),
    ],
)
def test_what_a_manifest_does_not_say_is_said(sweep: Path, content: str, said: str) -> None:
    (sweep / "sweep.json").write_text(content)
    with pytest.warns(SkippedResultsWarning, match=f"weight_decay: {said}"):
        frame = analysis.load(sweep)
    assert len(frame) == 14
    assert describe(Runs.of(frame)).trials == 8


def test_an_unreadable_journal_is_said(sweep: Path) -> None:
    (sweep / "trials.jsonl").write_text("[1]")
    with pytest.warns(SkippedResultsWarning, match="trials that never reported are not known"):
        analysis.load(sweep)


def test_different_sweeps_of_one_name_are_told_apart(sweep: Path, tmp_path: Path) -> None:
    write_trial(tmp_path / "later" / "weight_decay", result(100), trial="9f9f9_00000")
    frame = analysis.load([sweep, tmp_path / "later" / "weight_decay"])
    assert "later/weight_decay" in set(frame["experiment"])
    assert frame["experiment"].nunique() == 2


def test_a_moved_folder_reads_the_same(sweep: Path, tmp_path: Path) -> None:
    before = analysis.load(sweep)
    shutil.move(sweep, tmp_path / "elsewhere")
    after = analysis.load(tmp_path / "elsewhere")
    pd.testing.assert_frame_equal(
        before.drop(columns=["experiment", "folder"]), after.drop(columns=["experiment", "folder"])
    )
    assert Path(after["folder"].iloc[0]).is_dir()


def test_an_fsspec_url_reads_the_same_as_a_folder(sweep: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(sweep), "/bucket/weight_decay", recursive=True)
    try:
        local, remote = analysis.load(sweep, cache=False), analysis.load("memory://bucket/weight_decay")
        cached = analysis.load("memory://bucket/weight_decay")
        assert memory.exists("/bucket/weight_decay/.memosweep-cache.parquet")
    finally:
        memory.rm("/bucket", recursive=True)
    columns = [column for column in local.columns if column not in {"folder", "status"}]
    pd.testing.assert_frame_equal(local[columns], remote[columns], check_like=True)
    pd.testing.assert_frame_equal(remote, cached)
    assert remote["folder"].str.startswith("memory://bucket/weight_decay/size=").all()


def test_an_unknown_url_is_one_clear_line() -> None:
    with pytest.raises(MemosweepError, match="nosuchprotocol://x"):
        analysis.load("nosuchprotocol://x/y")


def test_best_is_the_highest_ratio_and_the_lowest_distance() -> None:
    frame = make_table({(128, 1000): 0.9}, epochs=(1.0, 2.0, 4.0))
    frame.loc[1, "memorization_ratio"] = 0.95
    frame["knn_distance"] = [3.0, 5.0, 4.0]
    assert best(frame)["epoch"].tolist() == [2.0]
    assert best(frame, "knn_distance")["epoch"].tolist() == [1.0]
    assert best(frame, "fid").empty


def test_varied_keys_are_those_that_differ(real: pd.DataFrame) -> None:
    assert varied_keys(real) == ["data.size", "training.weight_decay"]


def test_reading_changes_nothing_but_the_cache(sweep: Path) -> None:
    def snapshot() -> dict[str, tuple[int, float]]:
        return {str(file): (file.stat().st_size, file.stat().st_mtime) for file in sweep.rglob("*") if file.is_file()}

    before = snapshot()
    analysis.load(sweep)
    after = snapshot()
    assert set(after) - set(before) == {str(sweep / ".memosweep-cache.parquet")}
    assert {name: after[name] for name in before} == before
    assert all(modified == LONG_AGO for _, modified in before.values())


def test_a_trial_without_any_readable_line_is_known_by_its_folder():
    for folder, identity in {
        "width=8,size=50000_0123456789ab": "0123456789ab",
        "width=8,size=50000_012345678901": "012345678901",
        "width=8_ec31f_00006": "ec31f_00006",
        "notes": "notes",
    }.items():
        assert parse_trial(folder, b"").trial_id == identity
