"""Failures count since a trial's last progress; what a dead process cannot leave is left for it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from memo_core.errors import StorageFullError
from sweeps.engine.tune.scheduling.failures import Failures


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def trial(tmp_path):
    """A trial of Tune, with a folder in its scratch."""
    (tmp_path / "scratch").mkdir()
    return SimpleNamespace(
        trial_id="ab12_00000",
        config={"seed": 0},
        local_path=str(tmp_path / "scratch"),
        status="RUNNING",
        run_metadata=SimpleNamespace(num_failures=0),
    )


@pytest.fixture
def failures(run):
    return Failures(str(run), lambda config: f"trial_{config['seed']}")


def fail(failures, trial, error="Failure # 1 (occurred at 2026)\nThe worker died.\n"):
    """Fail as Tune does; returns the count behind it."""
    with Path(trial.local_path, "error.txt").open("a") as file:
        file.write(error)
    trial.run_metadata.num_failures += 1
    failures.on_trial_recover(iteration=0, trials=[trial], trial=trial)
    return trial.run_metadata.num_failures


def checkpoint(run, seen):
    (run / f"trial_0/checkpoint_{seen:012d}").mkdir(parents=True)


def test_failures_in_a_row_add_up(failures, trial):
    assert [fail(failures, trial) for _ in range(3)] == [1, 2, 3]


def test_they_count_anew_from_the_first_one_after_a_new_checkpoint(failures, trial, run):
    assert [fail(failures, trial) for _ in range(2)] == [1, 2]
    checkpoint(run, 100)
    assert [fail(failures, trial) for _ in range(2)] == [1, 2]
    checkpoint(run, 200)
    assert [fail(failures, trial) for _ in range(2)] == [1, 2]


def test_a_checkpoint_counts_before_tune_decides_of_the_next_failure(run, trial):
    now = [0.0]
    failures = Failures(str(run), lambda config: f"trial_{config['seed']}", clock=lambda: now[0])
    assert [fail(failures, trial) for _ in range(3)] == [1, 2, 3]
    now[0] = 100.0
    failures.on_step_end(iteration=0, trials=[trial])
    assert trial.run_metadata.num_failures == 3
    checkpoint(run, 100)
    now[0] = 200.0
    failures.on_step_end(iteration=0, trials=[trial])
    assert trial.run_metadata.num_failures == 0


def test_a_report_takes_all_of_them_away(failures, trial):
    fail(failures, trial)
    failures.on_trial_result(iteration=0, trials=[trial], trial=trial, result={})
    assert fail(failures, trial) == 1


def test_trials_are_counted_apart(failures, trial, run):
    other = SimpleNamespace(**{**vars(trial), "trial_id": "b", "config": {"seed": 1},
                               "run_metadata": SimpleNamespace(num_failures=0)})  # fmt: skip
    checkpoint(run, 100)
    assert [fail(failures, trial), fail(failures, other), fail(failures, trial), fail(failures, other)] == [1, 1, 2, 2]


def test_the_error_of_a_killed_worker_is_left_in_the_trials_folder(failures, trial, run):
    fail(failures, trial, "The worker died.\n")
    assert (run / "trial_0/error.txt").read_text() == "The worker died.\n"


def test_the_error_that_a_worker_wrote_itself_stays(failures, trial, run):
    (run / "trial_0").mkdir(parents=True)
    (run / "trial_0/error.txt").write_text("Traceback of the worker")
    fail(failures, trial)
    failures.on_trial_error(iteration=0, trials=[trial], trial=trial)
    assert (run / "trial_0/error.txt").read_text() == "Traceback of the worker"


def test_a_trial_that_is_given_up_leaves_its_error(failures, trial, run):
    failures.on_trial_error(iteration=0, trials=[trial], trial=trial)
    assert (run / "trial_0/error.txt").read_text() == ""


def test_a_full_disk_ends_the_run_with_its_words(failures, trial, run):
    words = "/x/y: cannot be written (No space left on device); make room there"
    with pytest.raises(StorageFullError) as error:
        fail(failures, trial, f"Traceback ...\n  File 'a.py'\nmemo_core.errors.StorageFullError: {words}\nmore\n")
    assert str(error.value) == words
    assert not run.exists()
    with pytest.raises(StorageFullError):
        failures.on_trial_error(iteration=0, trials=[trial], trial=trial)


def test_errors_get_behind_a_url(trial, tmp_path):
    import fsspec

    failures = Failures(f"memory:/{tmp_path}/run", lambda config: "trial_0")
    assert [fail(failures, trial), fail(failures, trial)] == [1, 2]
    assert b"The worker died." in fsspec.filesystem("memory").cat_file(f"{tmp_path}/run/trial_0/error.txt")
