from pathlib import Path

import pytest

from sweeps.engine.tune.scheduling.causes import cause_of

ERRORS = Path(__file__).parent / "errors"
"""`error.txt` files of Ray 2.60, each caused by the fault of its name."""


@pytest.mark.parametrize(
    ("fault", "cause"),
    {
        "kill": "its process was killed or crashed, without a Python error",
        "oom": "out of memory: Ray ended it when 192.0.2.2 had 3.76GB of 23.54GB in use",
        "node": "its machine or its process was lost: no answer from it",
        "raise": "KeyError: 'not there'",
        "mem": "MemoryError",
        "disk": "OSError: [Errno 28] No space left on device: '/x/y'",
        "multi": "RuntimeError: Given groups=1 expected one thing but got another",
        "cuda": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total "
        "capacity of 79.11 GiB of which 3.12 GiB is free. Process 12 has 1 GiB memory in use.",
    }.items(),
)
def test_the_cause_is_the_last_failure_in_one_line(fault, cause):
    assert cause_of((ERRORS / f"{fault}.txt").read_text()) == cause


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("The actor died because its node has died. Node Id: 3f", "its machine was lost"),
        ("The actor died: the actor's node was preempted: spot", "its machine was preempted"),
    ],
)
def test_a_lost_machine_is_named(message, cause):
    assert cause_of(f"The actor died unexpectedly before finishing this task.\n\tpid: 4\n{message}") == cause


def test_an_error_in_the_handling_of_another_is_the_cause():
    first = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nKeyError: 1\n'
    second = first.replace("KeyError: 1", "ValueError: two")
    assert cause_of(f"{first}\nDuring handling of the above exception, another exception occurred:\n\n{second}") == (
        "ValueError: two"
    )


def test_an_error_is_one_printable_line_of_bounded_length():
    assert cause_of("") == "no error was recorded"
    assert cause_of("first\nthe last\x1b[31m line") == "the last [31m line"
    long = cause_of("x" * 1000)
    assert len(long) == 200
    assert long.endswith("...")
