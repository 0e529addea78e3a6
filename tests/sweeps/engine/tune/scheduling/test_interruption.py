"""Real signals to this process end what runs inside, soon and in words."""

import os
import signal
import time

import pytest

from sweeps.engine.tune.scheduling import interruption
from sweeps.engine.tune.scheduling.interruption import Interrupted, Interruption

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGALRM]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(interruption, "_PATIENCE_SECONDS", 0.2)


def steps(interrupted, seconds=5.0):
    """Tune: steps of which each takes a moment."""
    deadline = time.monotonic() + seconds
    for number in range(10_000):
        interrupted.on_step_begin(number, [])
        time.sleep(0.005)
        assert time.monotonic() < deadline, "not interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_between_two_steps(number):
    within = Interruption(None)
    with pytest.raises(Interrupted, match=r"^interrupted$"), within:
        within.on_step_begin(0, [])
        os.kill(os.getpid(), number)
        # The step is finished before anything is raised.
        time.sleep(0.05)
        steps(within)
    assert within.reason == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_step_that_never_ends_is_left_after_a_while(number):
    within, begun = Interruption(None), time.monotonic()
    with pytest.raises(Interrupted), within:
        os.kill(os.getpid(), number)
        while time.monotonic() - begun < 5:
            # Code on the way that handles all errors.
            try:
                time.sleep(5)
            except Exception:
                continue
    assert 0.1 < time.monotonic() - begun < 4


def test_it_is_raised_again_where_code_on_the_way_swallows_it():
    within, count = Interruption(None), 0
    with within:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(2):
            try:
                time.sleep(5)
            except BaseException as error:
                assert isinstance(error, Interrupted)
                count += 1
    assert count == 2


def test_the_time_budget_ends_it_and_a_signal_behind_it_changes_no_words():
    within = Interruption(0.1)
    with pytest.raises(Interrupted, match="the time budget is used up"), within:
        steps(within)
    within = Interruption(0.05)
    with pytest.raises(Interrupted, match="the time budget is used up"), within:
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)
        steps(within)
    within = Interruption(0.3)
    with pytest.raises(Interrupted, match=r"^interrupted$"), within:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        steps(within)


def test_what_ends_in_time_gives_the_signals_back_and_is_not_interrupted():
    before = [signal.getsignal(number) for number in SIGNALS]
    within = Interruption(0.2)
    with within:
        within.on_step_begin(0, [])
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    time.sleep(0.3)
    assert within.reason is None
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_it_is_no_error_that_code_may_handle():
    assert not issubclass(Interrupted, Exception)
