"""A killed driver leaves half a state, or files of different moments: the whole copy replaces them."""

import os
from types import SimpleNamespace

import pytest
from pyarrow.fs import LocalFileSystem

from sweeps.engine.tune.snapshot import COPY, StateCopy, put_back, remove_copy

SESSION, LATER = "2026-01-01_00-00-00", "2026-01-01_00-01-00"


def write(folder, moment, session=SESSION):
    """Save a state as Tune does."""
    names = (f"experiment_state-{session}.json", f"search_gen_state-{session}.json", f"searcher-state-{session}.pkl")
    for name in names:
        (folder / name).write_text(f"{name} at {moment}")
        os.utime(folder / name, (moment, moment))
    return {name: f"{name} at {moment}" for name in names}


def state_of(folder):
    return {file.name: file.read_text() for file in folder.iterdir() if "state-" in file.name}


@pytest.fixture
def places(tmp_path):
    """Where Tune writes its state, and the run's folder, into which it copies that."""
    staging, run = tmp_path / "staging", tmp_path / "run [1]"
    staging.mkdir()
    run.mkdir()
    return staging, run


def trials(places):
    staging, run = map(str, places)
    storage = SimpleNamespace(
        experiment_driver_staging_path=staging, experiment_fs_path=run, storage_filesystem=LocalFileSystem()
    )
    return [SimpleNamespace(storage=storage)]


@pytest.mark.parametrize("session", [SESSION, LATER])
def test_half_a_state_is_replaced_by_the_last_whole_one(places, session):
    staging, run = places
    callback = StateCopy()
    for moment in range(1, 4):
        whole = write(staging, moment)
        callback.on_step_end(moment, trials(places))
    write(run, 4)
    (run / f"experiment_state-{session}.json").write_text('{"trial_da')
    (run / "sweep.json").write_text("{}")
    put_back(str(run))
    assert state_of(run) == whole
    assert (run / "sweep.json").exists()
    remove_copy(str(run))
    (run / f"searcher-state-{session}.pkl").write_text("newer")
    put_back(str(run))
    assert state_of(run)[f"searcher-state-{session}.pkl"] == "newer"


def test_a_damaged_copy_leaves_what_tune_has_written(places):
    staging, run = places
    write(staging, 1)
    StateCopy().on_step_end(0, trials(places))
    (run / COPY).write_bytes((run / COPY).read_bytes()[:100])
    newer = write(run, 2)
    put_back(str(run))
    assert state_of(run) == newer


def test_a_resumed_session_writes_nothing_of_the_one_before_again(places):
    staging, run = places
    write(staging, 1)
    for name in ("sweep.json", "tuner.pkl"):
        (staging / name).touch()
    callback = StateCopy()
    callback.on_step_begin(0, trials(places))
    assert not list(staging.iterdir())
    whole = write(staging, 2, LATER)
    callback.on_step_begin(1, trials(places))
    callback.on_step_end(1, trials(places))
    put_back(str(run))
    assert state_of(run) == whole
