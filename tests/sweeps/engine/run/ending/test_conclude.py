"""How a run ends: its exit code and its last line."""

import errno

import pytest

from memo_core.errors import MemosweepError
from memo_core.results import experiment_id
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.manifest import Limits, describe_run
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import OptunaOptions
from sweeps.engine.run.ending.conclude import conclude as run_conclude
from sweeps.engine.run.ending.going_on import GoingOn
from sweeps.engine.run.known import KnownTrials
from sweeps.engine.search.build import searcher_of
from sweeps.engine.search.journal import Begun, Journal, ended
from sweeps.engine.tune.trial.trial_folder import TrialFolder
from sweeps.width import FACTOR as WIDTH

STARTED = GoingOn()
ROW = {"images_seen": 100, "best_memorization_ratio": 0.5}


@pytest.fixture
def conclude(tmp_path, monkeypatch):
    """End an Optuna search of so many trials of which one is done; returns the exit code."""

    def end(trials, written=lambda *_, **__: None, broken=None, going_on=STARTED):
        monkeypatch.setattr("sweeps.engine.run.ending.conclude.write_artifacts", written)
        plan = optuna_plan(WIDTH, Selection("laptop"), {}, OptunaOptions(num_trials=trials))
        manifest, journal = describe_run(plan, {"cpu": 1.0}, Limits()), Journal(str(tmp_path), [])
        searcher = searcher_of(WIDTH, plan)
        flat = searcher.suggest("0")
        TrialFolder(str(tmp_path), trial_directory(flat, plan.varied), flat).write_results([ROW], done=True)
        begun = Begun(key="0", trial_id=experiment_id(flat))
        journal.events += [begun, ended(begun, ROW)]
        known = KnownTrials(str(tmp_path), manifest, {})
        return run_conclude(manifest, str(tmp_path), searcher, journal.events, known, going_on, broken)

    return end


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_search_is_done_when_all_its_trials_are(conclude, capsys):
    assert conclude(1) == 0
    assert conclude(3, broken="the time budget is used up") == 130
    assert "the time budget is used up with 2 of 3 trials unfinished; finish it with" in capsys.readouterr().out


def test_a_disk_that_is_full_when_the_tables_are_written_is_worth_another_start(conclude, capsys):
    assert conclude(1, written=full) == 130
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("the tables cannot be written ([Errno 28] No space left on device)")
    assert "finish it with --resume" in last
    assert conclude(1, written=full, broken="interrupted") == 130


def test_other_errors_of_the_tables_are_not(conclude):
    def unreachable(*_, **__):
        raise MemosweepError("s3://bucket: cannot be read")

    with pytest.raises(MemosweepError, match="cannot be read"):
        conclude(1, written=unreachable)


@pytest.mark.parametrize(
    ("going_on", "way"),
    [
        (GoingOn(), "--resume --name {name}"),
        (GoingOn(is_same_command=True, storage="elsewhere"), "the same command"),
        (GoingOn(storage="my results"), "--resume --name {name} --storage-path 'my results'"),
    ],
)
def test_the_way_on_is_the_one_that_was_typed(going_on, way, conclude, tmp_path, capsys):
    assert conclude(3, broken="interrupted", going_on=going_on) == 130
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"interrupted with 2 of 3 trials unfinished; finish it with {way.format(name=tmp_path.name)}"


def test_nothing_is_advised_of_a_run_that_is_not_whole(conclude):
    seen = []
    for trials, broken in ((1, None), (3, "interrupted"), (3, None)):
        conclude(trials, written=lambda *_, is_whole: seen.append(is_whole), broken=broken)
    assert seen == [True, False, False]
