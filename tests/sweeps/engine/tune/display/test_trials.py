from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP
from sweeps.engine.tune.display.board import Position
from sweeps.engine.tune.display.time_left import images_planned
from sweeps.engine.tune.display.trials import EarlierTrial, SweepTrials


def config(width, **settings):
    return Experiment.from_flat({**LAPTOP, "model.width": width, "training.images": 16_000, **settings}).to_flat()


def identity(flat):
    return str(flat["model.width"])


def trial(width, status=Trial.RUNNING, **result):
    return SimpleNamespace(trial_id=f"t{width}", status=status, config=config(width), last_result=result)


@pytest.fixture
def trials():
    return SweepTrials(["model.width"], identity)


def only(views):
    (view,) = views
    return view


def test_a_running_trial_is_where_its_worker_says(trials):
    view = only(trials.views([trial(8, images_seen=8000)], {"8": Position(9000, 120.0, 1.0)}))
    assert (view.title, view.state, view.budget, view.images_seen) == ("width=8", "running", 16_000, 9000)
    assert view.images_per_second == 120.0


def test_an_evaluation_is_known_before_the_next_report_of_its_worker(trials):
    assert only(trials.views([trial(8, images_seen=8000)], {"8": Position(7900, 1.0, 9.0)})).images_seen == 8000


def test_a_failed_trial_waits_for_its_restart_until_it_runs_again(trials):
    one = trial(8, Trial.PENDING)
    assert only(trials.views([one], {})).state == "pending"
    trials.fail(one)
    assert only(trials.views([one], {})).state == "restarting"
    trials.start(one)
    one.status = Trial.RUNNING
    assert only(trials.views([one], {})).state == "running"


def test_trials_from_before_this_session_are_kept(trials):
    earlier = [
        EarlierTrial(config(8), 16_000, 0.9),
        EarlierTrial(config(16), 48, end="diverged", cause="the loss is nan"),
        EarlierTrial(config(32), 4000, 0.1, end=None),
    ]
    done, diverged, waits = SweepTrials(["model.width"], identity, earlier).views([], {})
    assert (done.state, done.images_seen, done.images_before, done.best_ratio) == ("done", 16_000, 16_000, 0.9)
    assert (diverged.state, diverged.images_seen) == ("diverged", 48)
    assert (waits.state, waits.images_seen) == ("pending", 4000)


def test_a_trial_that_goes_on_takes_the_place_of_what_it_was(trials):
    trials = SweepTrials(["model.width"], identity, [EarlierTrial(config(8), 4000, 0.1, end="failed")])
    one = trial(8)
    assert only(trials.views([one], {})).state == "failed"
    trials.start(one)
    view = only(trials.views([one], {}))
    assert (view.state, view.images_seen, view.images_before, view.best_ratio) == ("running", 4000, 4000, 0.1)


def test_a_trial_that_only_repeats_what_was_done_before_is_no_news():
    trials = SweepTrials(["model.width"], identity, [EarlierTrial(config(8), 16_000, 0.9)])
    repeated, new = trial(8, images_seen=16_000), trial(16, images_seen=16_000)
    trials.start(repeated)
    assert not trials.end(repeated, "done")
    assert trials.end(new, "done")
    assert [view.state for view in trials.views([repeated, new], {})] == ["done", "done"]
    assert sum(view.images_seen - view.images_before for view in trials.views([repeated], {})) == 0


def test_the_optimum_trains_on_nothing_and_is_done_all_the_same(trials):
    one = trial(8, Trial.TERMINATED, images_seen=0)
    trials.end(one, "done")
    assert only(trials.views([one], {})).images_seen == 16_000


def test_a_batch_beyond_the_budget_is_not_more_than_all(trials):
    assert only(trials.views([trial(8, images_seen=16_060)], {})).images_seen == 16_000


def test_a_trial_that_another_trains_for_has_no_images_of_its_own():
    earlier = [EarlierTrial(config(8), 16_000, 0.9, end="done"), EarlierTrial(config(4), 16_000, 0.8, end="done")]
    trained, along = SweepTrials(["model.width"], identity, earlier, {identity(config(4))}).views([], {})
    assert (trained.budget, along.budget) == (16_000, 0)
    assert images_planned([trained, along], 4, 32_000) == 32_000
