"""How the trials of a run are counted."""

from memo_core.results import experiment_id
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import OptunaOptions, grid_plan
from sweeps.engine.run.ending.tally import Failure, Tally, tally
from sweeps.engine.search.journal import Begun, Ended
from sweeps.engine.tune.trial.trial_folder import TrialRecord
from sweeps.width import FACTOR as WIDTH

PLAN = grid_plan(WIDTH, Selection("laptop"))
NAMES = [experiment_id(trial.to_flat()) for trial in PLAN.trials]
ROW = {"images_seen": 100, "best_memorization_ratio": 0.5}


def record(name, *rows, done=True):
    return TrialRecord(f"width=8_{name}", rows, done)


def begun(*names):
    return [Begun(key=str(number), trial_id=name) for number, name in enumerate(names)]


def end(name, status, cause=None, result=None, key="0"):
    return Ended(key=key, trial_id=name, status=status, cause=cause, result=result)


def test_every_end_is_counted_once():
    diverged = {"failure": "diverged", "cause": "diverged at 48 images", "images_seen": 48}
    records = {
        NAMES[0]: record(NAMES[0], ROW),
        NAMES[1]: record(NAMES[1], ROW, done=False),
        NAMES[2]: record(NAMES[2], ROW, diverged),
        NAMES[3]: record(NAMES[3], {"failure": "failed", "cause": "/a.zip: not there"}),
        NAMES[4]: record(NAMES[4], done=False),
        "0123456789ab": record("0123456789ab", ROW),
    }
    # Of the journal counts only what the folders do not say.
    events = [
        *begun(*NAMES[:5]), end(NAMES[0], "error", "lost"), end(NAMES[3], "terminated", result=ROW),
        end(NAMES[4], "error", "its process failed too often"),
    ]  # fmt: skip
    found = tally(PLAN, records, events)
    assert (found.begun, found.finished, found.missing) == (6, 1, 2)
    assert found.failures == [
        Failure("diverged", "diverged at 48 images", f"width=8_{NAMES[2]}"),
        Failure("failed", "/a.zip: not there", f"width=8_{NAMES[3]}"),
        Failure("failed", "its process failed too often", f"width=8_{NAMES[4]}"),
    ]
    assert found.failure_lines("results/run") == [
        "1 of 6 trials diverged: diverged at 48 images",
        f"1 of 6 trials failed: /a.zip: not there; see results/run/width=8_{NAMES[3]}/error.txt",
        f"1 of 6 trials failed: its process failed too often; see results/run/width=8_{NAMES[4]}/error.txt",
    ]


def test_a_trial_that_failed_and_ended_well_later_is_finished():
    name = NAMES[0]
    events = [*begun(name), end(name, "error", "lost"), end(name, "terminated", result=ROW, key=None)]
    found = tally(PLAN, {name: record(name, ROW)}, events)
    assert (found.finished, len(found.failures), found.missing) == (1, 0, 5)


def test_of_a_search_count_the_trials_that_were_begun():
    plan = optuna_plan(WIDTH, Selection("laptop"), {}, OptunaOptions(asha=True))
    records = {name: record(name, ROW, done=False) for name in NAMES[:2]}
    found = tally(plan, records, [*begun(*NAMES[:2]), end(NAMES[0], "terminated", result=ROW)])
    assert (found.begun, found.finished, found.missing) == (2, 1, 1)


def lines(*failures):
    return Tally(20, 0, [Failure(kind, cause, f"trial_{n}") for n, (kind, cause) in enumerate(failures)]).failure_lines(
        "run"
    )


def test_many_causes_end_in_a_count():
    found = lines(*(("failed", chr(ord("a") + index)) for index in range(20)))
    assert (len(found), found[-1]) == (6, "and 15 further causes, see result.json in the trials' folders")
    assert len(lines(*(("failed", chr(ord("a") + index)) for index in range(6)))) == 6


def test_causes_that_differ_in_numbers_are_one_and_the_most_frequent_comes_first():
    causes = [f"diverged at {images:,} images (learning rate 1e+30, loss 1.{images})" for images in (32, 48, 1048)]
    assert lines(("failed", "killed"), *(("diverged", cause) for cause in causes)) == [
        f"3 of 20 trials diverged, the first: {causes[0]}",
        "1 of 20 trials failed: killed; see run/trial_0/error.txt",
    ]
