import io

import pytest
from rich.console import Console

from sweeps.engine.tune.display.drawing import Sweep, done_prefix, duration, progress_line, screen
from sweeps.engine.tune.display.trials import TrialView

METRICS = {"epoch": 31_250.0, "loss": 0.0512, "memorization_ratio": 0.25, "best_memorization_ratio": 0.3}


def view(state, title="width=128 size=1000 seed=0", seen=31_234_567, speed=1234.5, **more):
    metrics = METRICS if state == "running" else {}
    return TrialView(title, {}, state, 40_000_000, seen, 0, speed, metrics, **more)


def sweep(*trials, total=12, target=None, left=9000.0, varied=("model.width",)):
    return Sweep("width", varied, total, target, trials, 480_000_000, 4000.0, left)


def drawn(shown, width=120):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(screen(shown, console))
    return console.file.getvalue().splitlines()


def test_the_head_counts_trials_by_state():
    trials = [view("done"), view("running"), view("restarting"), view("diverged"), view("failed"), view("pending")]
    assert drawn(sweep(*trials))[0] == (
        "width  1 of 12 trials done, 1 running, 1 waiting to restart, 1 diverged, 1 failed"
    )


def test_the_bar_has_the_time_so_far_and_left():
    line = drawn(sweep(view("running")))[1]
    assert line.endswith("7%  1 h 06 min so far, about 2 h 30 min left")
    assert drawn(sweep(view("running"), left=None))[1].endswith("time left not known yet")


def test_once_all_images_are_trained_only_evaluations_are_left():
    assert drawn(sweep(view("running"), total=1, left=0.2))[1].endswith("so far, last evaluations")
    assert drawn(sweep(view("done"), view("failed"), total=2, left=0.2))[1].endswith("1 h 06 min so far")


def test_a_running_trial_has_its_images_speed_and_last_evaluation():
    header, row = drawn(sweep(view("running")))[2:]
    assert header.split() == [
        "trial", "images", "seen", "of", "budget", "images/s", "epoch", "loss", "ratio", "best",
    ]  # fmt: skip
    assert row.split()[3:] == ["31,234,567", "78%", "1,234", "31,250", "0.0512", "0.250", "0.300"]


def test_a_trial_that_waits_for_its_restart_says_so_in_place_of_a_speed():
    row = drawn(sweep(view("restarting", best_ratio=0.1)))[3]
    assert row.split()[3:] == ["31,234,567", "78%", "restarts", "-", "-", "-", "0.100"]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_every_line_fits_the_terminal_and_nothing_of_a_number_is_cut(width):
    lines = drawn(sweep(view("running"), view("restarting")), width)
    assert max(map(len, lines)) <= width
    assert len(lines) == 5
    assert "31,234,567  " in lines[3]
    assert lines[3].endswith("0.300")
    assert ("loss" in lines[2]) == (width >= 100)


def test_a_title_is_cut_before_a_number():
    lines = drawn(sweep(view("running", title=f"skip_connections={'1' * 60}")), 80)
    assert lines[3].startswith("skip_connections=1")
    assert "…" in lines[3]
    assert lines[3].endswith("0.250  0.300")
    assert len(lines[3]) <= 80


def test_more_trials_than_rows_are_counted():
    lines = drawn(sweep(*[view("running")] * 20))
    assert lines[-1].strip() == "and 8 more"


def test_titles_are_not_markup():
    assert "[red]" in drawn(sweep(view("running", title="skips=[red]")))[3]


def test_where_nothing_runs_there_is_no_table():
    assert len(drawn(sweep(view("done")))) == 2


def test_a_search_shows_what_it_knows_of_each_value_and_promises_no_end():
    def training(state, width, size, ratio):
        config = {"model.width": width, "data.size": size, "seed": 0}
        return TrialView(f"width={width}", config, state, 100, best_ratio=ratio)

    trials = [training("done", 8, 6, 0.95), training("done", 8, 10, 0.4), training("running", 16, 6, None)]
    lines = drawn(sweep(*trials, total=None, target=0.9, varied=("model.width", "data.size", "seed")))
    assert lines[0] == "width  2 trials done, 1 running"
    assert lines[1].endswith("ends when every EMM is known well enough")
    assert lines[3].split() == ["width=8", "at", "6", "to", "10", "6", "95%", "10", "40%"]
    assert lines[4].split() == ["width=16", "-", "-"]


def test_without_a_terminal_one_line_says_how_far_the_running_trials_are():
    trials = [view("running", "width=8"), view("restarting", "width=16", speed=None), view("diverged")]
    assert progress_line(sweep(*trials)) == (
        "0 of 12 trials done, 1 running, 1 waiting to restart, 1 diverged; "
        "width=8 78%, width=16 78%; 1,234 images/s; about 2 h 30 min left"
    )
    assert "; width 78%, width 78%, width 78%, width 78%, 2 more; " in progress_line(
        sweep(*[view("running", "width")] * 6)
    )


def test_the_line_of_a_trial_that_is_done_begins_with_the_counts():
    assert done_prefix({"done": 1}, 12) == "1/12"
    assert done_prefix({}, 12) == "0/12"
    assert done_prefix({"done": 1, "failed": 2, "diverged": 1}, None) == "1, 1 diverged, 2 failed"


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.7, "9 s"), (61, "1 min 01 s"), (7500, "2 h 05 min"), (200_000, "2 d 7 h")]
)
def test_durations_have_their_two_largest_units(seconds, text):
    assert duration(seconds) == text
