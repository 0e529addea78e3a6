import json
import math

import pytest

from analysis.results.sidecars import TrialState, parse_journal, status_of

BEGUN = TrialState("begun", math.inf)


@pytest.mark.parametrize(
    ("state", "finished", "quiet", "status"),
    [
        (TrialState("terminated", 100.0), False, 0.0, "terminated"),
        # Some of its results got lost.
        (TrialState("terminated", 200.0), False, 3600.0, "interrupted"),
        (TrialState("error", math.inf), False, 0.0, "error"),
        (TrialState("error", math.inf), True, 0.0, "terminated"),
        (BEGUN, False, 60.0, "running"),
        (BEGUN, False, 3600.0, "interrupted"),
        (BEGUN, True, 0.0, "terminated"),
        (None, True, 0.0, "terminated"),
        (None, False, float("inf"), "interrupted"),
    ],
)
def test_status(state: TrialState | None, finished: bool, quiet: float, status: str) -> None:
    assert status_of(state, finished, 100.0, quiet) == status


def lines(*events: object) -> bytes:
    return "".join(json.dumps(event) + "\n" for event in events).encode()


def test_the_last_event_of_a_trial_counts() -> None:
    ended = {"event": "ended", "trial_id": "a", "status": "terminated", "result": {"images_seen": 64}}
    content = lines({"event": "begun", "trial_id": "a"}, {"event": "begun", "trial_id": "b"}, ended)
    assert parse_journal(content) == ({"a": TrialState("terminated", 64.0), "b": BEGUN}, [])


def test_what_cannot_be_read_is_counted() -> None:
    content = lines({"event": "begun", "trial_id": "a"}, [], 3, {"event": "ended"}) + b'{"event": "beg'
    states, (problem,) = parse_journal(content)
    assert states == {"a": BEGUN}
    assert problem.startswith("4 lines of trials.jsonl cannot be read: the budget tells which trials ended")
    states, (problem,) = parse_journal(OSError(13, "Permission denied"))
    assert (states, "Permission denied" in problem) == ({}, True)
