import io
import pickle
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial
from rich.console import Console

from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP
from sweeps.engine.tune.display import progress as module
from sweeps.engine.tune.display.board import Position
from sweeps.engine.tune.display.progress import LiveProgress
from sweeps.engine.tune.display.trials import EarlierTrial


def config(width):
    return Experiment.from_flat({**LAPTOP, "model.width": width, "training.images": 16_000}).to_flat()


def identity(flat):
    return str(flat["model.width"])


def trial(width, status=Trial.RUNNING, error=None, **result):
    return SimpleNamespace(
        trial_id=f"t{width}", status=status, config=config(width), last_result=result, error_file=error
    )


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class FakeBoard:
    def __init__(self, **positions):
        self.known = {key.removeprefix("w"): position for key, position in positions.items()}

    def positions(self, identities):
        return {key: self.known[key] for key in identities if key in self.known}


def folder(flat):
    return f"width={flat['model.width']}_abc"


@pytest.fixture
def show(monkeypatch):
    """Make a display on a terminal or elsewhere, and read what it wrote."""

    def make(terminal=False, **options):
        console = Console(file=io.StringIO(), width=120, force_terminal=terminal, color_system=None)
        monkeypatch.setattr(module, "Console", lambda: console)
        options = {"run_path": "results/w", "folder": folder, "identity": identity, **options}
        display = LiveProgress("width", ["model.width"], options.pop("total", 3), **options)
        display.setup()
        return display, console.file.getvalue

    return make


def test_without_a_terminal_each_trial_ends_in_a_line(show):
    display, text = show()
    trials = [trial(8, Trial.TERMINATED, best_memorization_ratio=0.25, images_seen=16_000), trial(16)]
    display.on_trial_complete(0, trials, trials[0])
    assert text() == "1/3  width=8  best memorization ratio 0.250\n"


def test_without_a_terminal_a_line_says_every_five_minutes_how_far_trials_are(show):
    clock = Clock()
    display, text = show(clock=clock, board=FakeBoard(w8=Position(4000, 10.0, 1.0)))
    for clock.now in range(0, 700, 10):
        display.on_step_end(0, [trial(8)])
    lines = text().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("0 of 3 trials done, 1 running; width=8 25%; 10 images/s; ")


def test_on_a_terminal_a_trial_moves_between_two_evaluations(show):
    clock, board = Clock(), FakeBoard(w8=Position(4000, 10.0, 1.0))
    clock.now = 1.0
    display, text = show(terminal=True, clock=clock, board=board)
    for clock.now in (2.0, 12.0):
        display.on_step_end(0, [trial(8)])
        board.known = {"8": Position(6000, 200.0, 1.0)}
    display.on_experiment_end([trial(8)])
    assert "4,000        25%        10" in text()
    assert "6,000        38%       200" in text()
    # 2,000 images in 10 s, and 42,000 to go.
    assert "about 3 min 30 s left" in text()


def test_an_interrupted_display_gives_the_terminal_back(show):
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    display, text = show(terminal=True)
    assert text().count(hidden) == 1
    for _ in range(2):
        display.close()
        assert text().count(shown) == 1


def test_a_display_is_redrawn_twice_a_second_at_most(show):
    clock, asked = Clock(), []
    clock.now = 1.0
    board = SimpleNamespace(positions=lambda identities: asked.append(identities) or {})
    display, _ = show(clock=clock, board=board)
    for _ in range(100):
        clock.now += 0.1
        display.on_step_end(0, [trial(8)])
    assert 15 <= len(asked) <= 20


def test_a_failed_trial_ends_with_its_cause_and_the_path_to_its_log(show, tmp_path):
    display, text = show()
    error = tmp_path / "error.txt"
    error.write_text('Failure # 1 (occurred at 2026)\n  File "a.py", line 1, in f\n    g()\nKeyError: 3\n')
    failed = trial(8, Trial.ERROR, str(error))
    display.on_trial_error(0, [failed], failed)
    assert text() == "failed: width=8, KeyError: 3; see results/w/width=8_abc/error.txt\n"


def test_an_error_of_the_experiment_itself_has_the_cause_that_was_reported(show):
    display, text = show()
    failed = trial(8, Trial.TERMINATED, failure="failed", cause="no such file")
    display.on_trial_complete(0, [failed], failed)
    assert text() == "failed: width=8, no such file; see results/w/width=8_abc/error.txt\n"


def test_a_trial_that_diverged_is_counted_with_its_cause_and_is_not_done(show):
    display, text = show()
    diverged = trial(8, Trial.TERMINATED, failure="diverged", cause="diverged at 48 images seen", images_seen=48)
    done = trial(16, Trial.TERMINATED, best_memorization_ratio=1.0, images_seen=16_000)
    display.on_trial_complete(0, [diverged, done], diverged)
    display.on_trial_complete(0, [diverged, done], done)
    assert text().splitlines() == [
        "diverged: width=8, at 48 images seen",
        "1/3, 1 diverged  width=16  best memorization ratio 1.000",
    ]


def test_a_failure_that_is_tried_again_is_said_and_counted(show, tmp_path):
    display, text = show(clock=(clock := Clock()))
    one = trial(8, Trial.PENDING, str(tmp_path / "missing"))
    display.on_trial_recover(0, [one], one)
    clock.now = 400.0
    display.on_step_end(0, [one])
    lines = text().splitlines()
    assert lines[0] == "to be restarted: width=8, no cause was recorded"
    assert lines[1].startswith("0 of 3 trials done, 0 running, 1 waiting to restart; width=8 0%")
    one.status = Trial.RUNNING
    display.on_trial_start(0, [one], one)
    clock.now = 800.0
    display.on_step_end(0, [one])
    assert text().splitlines()[2].startswith("0 of 3 trials done, 1 running; ")


def test_an_interrupted_trial_is_neither_done_nor_failed(show):
    clock = Clock()
    display, text = show(clock=clock)
    clock.now = 400.0
    display.on_step_end(0, [trial(8, Trial.ERROR), trial(16, Trial.ERROR)])
    assert text().startswith("0 of 3 trials done, 0 running; time left")


def test_a_resumed_run_says_what_was_kept_and_counts_it(show):
    earlier = [
        EarlierTrial(config(8), 16_000, 0.9),
        EarlierTrial(config(16), 48, end="diverged", cause="the loss is nan"),
    ]
    display, text = show(earlier=earlier)
    new = trial(32, Trial.TERMINATED, best_memorization_ratio=0.5, images_seen=16_000)
    display.on_trial_complete(0, [new], new)
    assert text().splitlines() == [
        "done already: 1",
        "diverged: width=16, the loss is nan",
        "2/3, 1 diverged  width=32  best memorization ratio 0.500",
    ]


def test_a_trial_that_repeats_what_was_done_before_says_nothing(show):
    display, text = show(earlier=[EarlierTrial(config(8), 16_000, 0.9)])
    again = trial(8, Trial.TERMINATED, best_memorization_ratio=0.9, images_seen=16_000)
    display.on_trial_start(0, [again], again)
    display.on_trial_complete(0, [again], again)
    assert text() == "done already: 1\n"


def test_titles_and_causes_are_printed_as_they_are(show):
    display, text = show()
    failed = trial(8, Trial.TERMINATED, failure="diverged", cause="size [red] of :boom:")
    display.on_trial_complete(0, [failed], failed)
    assert "size [red] of :boom:" in text()


def test_tune_can_store_a_display_that_was_not_opened():
    display = LiveProgress("width", ["model.width"], None, run_path="w", folder=folder, identity=identity)
    assert pickle.loads(pickle.dumps(display)) is not None
