"""What is compared before a run goes on: its options, its images, and the trials that a longer budget continues."""

import pytest

from memo_core.errors import MemosweepError
from sweeps.data_size import FACTOR as DATA_SIZE
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.manifest import Limits, describe_run
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import OptunaOptions, grid_plan
from sweeps.engine.plans.ranges import Range
from sweeps.engine.run import starts
from sweeps.engine.run.folder import read_run
from sweeps.engine.run.starts import check_images
from sweeps.engine.tune.trial.trial_folder import TrialFolder, read_records
from sweeps.width import FACTOR as WIDTH

PLAN = grid_plan(WIDTH, Selection("laptop", values=[8, 16], sizes=[10]))
LONGER = grid_plan(WIDTH, Selection("laptop", values=[8, 16, 32], sizes=[10], settings={"training.images": 10**6}))
ROW = {"images_seen": 100, "best_memorization_ratio": 0.5}


def dumped(plan):
    return plan.model_dump(mode="json")


def test_a_run_of_another_factor_is_refused(tmp_path):
    describe_run(PLAN, {"cpu": 1.0}, Limits()).write(str(tmp_path))
    assert dumped(read_run(WIDTH, str(tmp_path)).plan) == dumped(PLAN)
    with pytest.raises(MemosweepError, match=r"is a run of width \(model\.width\), not of data_size"):
        read_run(DATA_SIZE, str(tmp_path))


def test_other_images_than_at_the_start_are_refused():
    known = {"dataset=a.zip size=10": "a" * 64, "dataset=b.zip size=10": "b" * 64}
    manifest = describe_run(PLAN, {"cpu": 1.0}, Limits(), images=known)
    check_images(manifest, known)
    check_images(manifest, {**known, "dataset=c.zip size=10": "c" * 64})
    check_images(manifest, {"dataset=a.zip size=10": "a" * 64})
    with pytest.raises(MemosweepError) as error:
        check_images(manifest, {**known, "dataset=b.zip size=10": "c" * 64})
    assert str(error.value).startswith("dataset=b.zip size=10: the images are not those of the run's start")
    assert "cccccccccccc..., then bbbbbbbbbbbb..." in str(error.value)


def test_trials_with_a_longer_budget_go_on_in_the_folders_of_the_shorter_ones(tmp_path):
    for trial in PLAN.trials:
        flat = trial.to_flat()
        folder = TrialFolder(str(tmp_path), trial_directory(flat, PLAN.varied), flat)
        folder.write_results([ROW], done=True)
        (folder.path / f"checkpoint_{100:012d}").mkdir()
    starts._continue_folders(str(tmp_path), LONGER)
    after = {path.name for path in tmp_path.iterdir()}
    assert after == {trial_directory(trial.to_flat(), LONGER.varied) for trial in LONGER.trials[:2]}
    assert not any(record.done for record in read_records(str(tmp_path)).values())
    # Once more, as after a start that was killed.
    starts._continue_folders(str(tmp_path), LONGER)
    assert {path.name for path in tmp_path.iterdir()} == after


def test_further_values_leave_the_folders_of_the_others_as_they_are(tmp_path):
    for trial in PLAN.trials:
        flat = trial.to_flat()
        TrialFolder(str(tmp_path), trial_directory(flat, PLAN.varied), flat).write_results([ROW], done=True)
    before = {path.name for path in tmp_path.iterdir()}
    starts._continue_folders(str(tmp_path), grid_plan(WIDTH, Selection("laptop", values=[8, 16, 32], sizes=[10, 12])))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_budgets_that_a_search_tried_are_trials_of_their_own(tmp_path):
    ranges = {"training.images": Range(low=1000, high=2000, integer=True)}
    plan = optuna_plan(WIDTH, Selection("laptop", values=[8, 16]), ranges, OptunaOptions())
    (base,) = plan.trials
    flat = {**base.to_flat(), "training.images": 1500, "training.epochs": None}
    TrialFolder(str(tmp_path), trial_directory(flat, plan.varied), flat).write_results([ROW], done=True)
    starts._continue_folders(str(tmp_path), plan)
    assert [path.name for path in tmp_path.iterdir()] == [trial_directory(flat, plan.varied)]


def test_images_at_the_ends_of_a_searched_space_are_checked_again_by_each_start(tmp_path):
    ranges = {"data.size": Range(low=4, high=20, integer=True)}
    plan = optuna_plan(WIDTH, Selection("laptop", values=[8, 16]), ranges, OptunaOptions())
    describe_run(plan, {"cpu": 1.0}, Limits()).write(str(tmp_path))
    stored = read_run(WIDTH, str(tmp_path)).plan
    assert not stored.probes
    assert starts._to_check(WIDTH, stored) == [*plan.trials, *plan.probes]
    assert max(trial.data.size for trial in starts._to_check(WIDTH, stored)) == 20


def test_a_time_budget_is_that_of_one_start():
    manifest = describe_run(PLAN, {"cpu": 1.0}, Limits(time_budget=60, max_concurrent=2))
    assert starts.limits_of(manifest, {}) == Limits(max_concurrent=2)
    assert starts.limits_of(manifest, {"time_budget": 30.0, "max_concurrent": 1}) == Limits(
        time_budget=30, max_concurrent=1
    )


def test_trials_on_cpus_that_emulate_their_precision_are_warned_of_once(monkeypatch, capsys):
    monkeypatch.setattr("memo_core.model.precision.has_bfloat16", lambda: False)
    slow = grid_plan(WIDTH, Selection("laptop", settings={"training.precision": "bfloat16"}))
    starts._say_what_is_slow(slow.trials, {"cpu": 1.0})
    assert capsys.readouterr().out.count("this processor has no instructions for it") == 1
    starts._say_what_is_slow(slow.trials, {"cpu": 1.0, "gpu": 0.5})
    starts._say_what_is_slow(PLAN.trials, {"cpu": 1.0})
    assert capsys.readouterr().out == ""
