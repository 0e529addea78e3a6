import os
import time
from functools import partial

import pytest
import torch

from benchmarks.speed.comparison import interleaved
from benchmarks.speed.machine import Machine
from benchmarks.speed.own_process import OwnProcess
from memo_core.errors import MemosweepError

MACHINE = Machine(torch.device("cpu"), repeats=2, turn_seconds=0.01)


def computing(seconds):
    def run():
        start = time.process_time()
        while time.process_time() - start < seconds:
            pass

    return run


def failing(where):
    def run():
        raise ValueError("of no use\nin two lines")

    if where == "made":
        run()
    return run


def ending():
    return partial(os._exit, 1)


def test_calls_are_timed_by_the_process_that_computes_them():
    own = OwnProcess(partial(computing, 0.02), MACHINE)
    before = time.process_time()
    assert 0.02 <= own.seconds(3) < 0.1
    assert time.process_time() - before < 0.02


def test_it_takes_turns_with_runs_of_this_process():
    found = interleaved({"here": computing(0.01), "there": OwnProcess(partial(computing, 0.02), MACHINE)}, MACHINE)
    assert found.ratio("there", "here").median == pytest.approx(2, rel=0.3)


def test_what_fails_there_is_said_here():
    with pytest.raises(MemosweepError, match=r"^ValueError: of no use$"):
        OwnProcess(partial(failing, "made"), MACHINE)
    with pytest.raises(MemosweepError, match=r"^ValueError: of no use$"):
        OwnProcess(partial(failing, "called"), MACHINE)()
    with pytest.raises(MemosweepError, match="its process ended"):
        OwnProcess(ending, MACHINE)()
