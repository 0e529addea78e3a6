import pytest

from sweeps.engine.tune.display.time_left import TimeLeft, images_planned
from sweeps.engine.tune.display.trials import TrialView


def estimates(speed, planned, before=0.0, start=20.0, until=100.0, step=0.5):
    """(time, estimate) of a session that starts to train at `start`, at a speed that depends on the time."""
    time_left, trained, now, found = TimeLeft(), 0.0, 0.0, []
    while now < until:
        time_left.update(now, trained, planned - before - trained)
        found.append((now, time_left.seconds(now)))
        now += step
        if now > start:
            trained += speed(now) * step
    return found


def test_nothing_is_promised_before_the_first_images():
    assert [seconds for now, seconds in estimates(lambda _: 100, 10_000) if now < 24] == [None] * 48


def test_at_a_constant_speed_the_time_left_counts_down_to_the_end():
    for now, seconds in estimates(lambda _: 100, 10_000, until=115):
        if now > 30:
            assert seconds == pytest.approx(20 + 100 - now, abs=0.6)


def test_what_was_trained_before_this_session_is_not_its_speed():
    for now, seconds in estimates(lambda _: 100, 100_000, before=90_000):
        if now > 30:
            assert seconds == pytest.approx(20 + 100 - now, abs=0.6)


def test_pauses_for_evaluations_count():
    paused = estimates(lambda now: 0 if now % 10 < 5 else 100, 100_000, until=400)
    assert paused[-1][1] == pytest.approx(2020 - 400, rel=0.1)


def test_a_cluster_that_grows_shortens_the_time_left():
    grown = estimates(lambda now: 100 if now < 500 else 400, 1_000_000, until=2000)
    assert grown[-1][1] == pytest.approx((1_000_000 - 48_000 - 600_000) / 400, rel=0.1)


def test_where_nothing_is_left_to_train_no_time_is_left():
    time_left = TimeLeft()
    for now in range(20):
        time_left.update(now, 100 * now, 10_000 - 100 * now)
    # The last trials failed.
    time_left.update(20, 2000, 0)
    assert time_left.seconds(20) == 0


def view(state, budget=100, seen=0):
    return TrialView("", {}, state, budget, seen)


def test_a_trial_that_was_stopped_early_has_nothing_left_to_train():
    assert images_planned([view("done", seen=30), view("failed", seen=10), view("running", seen=50)], 3) == 140


def test_trials_that_are_not_made_yet_count_like_the_others_or_as_planned():
    known = [view("done", seen=50), view("running")]
    assert images_planned(known, 4) == 300
    assert images_planned(known, 4, total_images=1200) == 1150
    assert images_planned(known, None) == 150
    assert images_planned([], 4) == 0
