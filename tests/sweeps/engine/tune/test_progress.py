import io
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial
from rich.console import Console

from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP
from sweeps.engine.tune.progress import LiveProgress


def trial(identity, status, seen=0, **metrics):
    config = Experiment.from_flat({**LAPTOP, "model.width": 8 * (1 + int(identity))}).to_flat()
    result = {"images_seen": seen, **metrics} if seen else {}
    return SimpleNamespace(trial_id=identity, status=status, config=config, last_result=result, path=f"/run/{identity}")


@pytest.fixture
def display():
    progress = LiveProgress("width", ["model.width"], total=3)
    progress._console = Console(file=io.StringIO(), width=120)
    return progress


def drawn(display, trials):
    console = Console(file=io.StringIO(), width=120)
    console.print(display._render(trials))
    return console.file.getvalue()


def test_it_shows_trials_done_and_what_runs(display):
    numbers = {"epoch": 800.0, "loss": 0.5, "memorization_ratio": 0.25, "best_memorization_ratio": 0.25}
    trials = [trial("0", Trial.RUNNING, 16_000), trial("1", Trial.RUNNING, 8000, **numbers)]
    display.on_step_end(0, trials)
    trials[0].status = Trial.TERMINATED
    display.on_trial_complete(0, trials, trials[0])
    lines = drawn(display, trials).splitlines()
    assert lines[0].startswith("width  1 of 3 trials done, 1 running")
    assert lines[2].split() == ["trial", "epoch", "loss", "ratio", "best"]
    assert lines[3].split() == ["width=16", "800", "0.5000", "0.250", "0.250"]


def test_an_interrupted_trial_is_not_done(display):
    trials = [trial("0", Trial.RUNNING, 8000), trial("1", Trial.PENDING)]
    display.on_step_end(0, trials)
    for one in trials:
        one.status = Trial.ERROR
    assert "0 of 3 trials done" in drawn(display, trials)


def test_a_failed_trial_is_named_with_the_place_of_its_traceback(display):
    trials = [trial("0", Trial.ERROR)]
    display.on_trial_error(0, trials, trials[0])
    assert display._console.file.getvalue() == "failed: width=8, see /run/0/error.txt\n"
    assert "1 failed" in drawn(display, trials)


def test_a_trial_that_diverged_is_counted_with_its_cause_and_is_not_done(display):
    trials = [trial("0", Trial.RUNNING, 48), trial("1", Trial.RUNNING, 8000)]
    display.on_step_end(0, trials)
    trials[0].status = Trial.TERMINATED
    trials[0].last_result = {"failure": "diverged", "cause": "the loss is nan", "images_seen": 48}
    display.on_trial_complete(0, trials, trials[0])
    assert display._console.file.getvalue() == "diverged: width=8, the loss is nan\n"
    assert "0 of 3 trials done, 1 running, 1 diverged" in drawn(display, trials)
    again = LiveProgress("width", ["model.width"], total=3)
    again.on_step_end(0, trials)
    assert "0 of 3 trials done, 1 running, 1 diverged" in drawn(again, trials)


def test_a_resumed_run_counts_what_was_done_before(display):
    trials = [trial("0", Trial.TERMINATED, 16_000), trial("1", Trial.RUNNING)]
    display.on_step_end(0, trials)
    assert "1 of 3 trials done" in drawn(display, trials)


def test_the_display_survives_the_way_into_tunes_state():
    import pickle

    again = pickle.loads(pickle.dumps(LiveProgress("width", ["model.width"], total=None)))
    assert "0 trials done" in drawn(again, [])


def test_a_search_shows_what_it_knows_of_each_value():
    display = LiveProgress("width", ["model.width", "data.size", "seed"], total=None, target=0.9)
    display._console = Console(file=io.StringIO(), width=120)
    trials = [trial("0", Trial.RUNNING, 8000, best_memorization_ratio=ratio) for ratio in (0.95, 0.4)]
    for index, size in enumerate((6, 10)):
        trials[index].trial_id, trials[index].config = f"a{size}", {**trials[index].config, "data.size": size}
    waiting = trial("1", Trial.RUNNING)
    display.on_step_end(0, [*trials, waiting])
    for one in trials:
        one.status = Trial.TERMINATED
        display.on_trial_complete(0, trials, one)
    lines = drawn(display, [*trials, waiting]).splitlines()
    assert "ends when every EMM is known well enough" in lines[0]
    assert lines[2].split() == ["width=8", "at", "6", "to", "10", "6", "95%", "10", "40%"]
    assert lines[3].split() == ["width=16", "-", "-"]


def test_a_resumed_run_says_what_was_kept(display):
    display.on_step_end(0, [trial("0", Trial.TERMINATED, 16_000), trial("1", Trial.RUNNING)])
    assert display._console.file.getvalue() == "done already: 1\n"
