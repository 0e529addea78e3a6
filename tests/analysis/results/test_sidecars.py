import json

import pytest

from analysis.results.sidecars import TuneState, parse_state, status_of


@pytest.mark.parametrize(
    ("state", "finished", "quiet", "status"),
    [
        (TuneState("TERMINATED", True), False, 0.0, "terminated"),
        (TuneState("TERMINATED", False), False, 0.0, "interrupted"),
        (TuneState("ERROR", False), False, 0.0, "error"),
        (TuneState("RUNNING", False), False, 60.0, "running"),
        (TuneState("RUNNING", False), False, 3600.0, "interrupted"),
        (TuneState("PENDING", False), True, 0.0, "terminated"),
        (None, True, 0.0, "terminated"),
        (None, False, float("inf"), "interrupted"),
    ],
)
def test_status(state: TuneState | None, finished: bool, quiet: float, status: str) -> None:
    assert status_of(state, finished, quiet) == status


def test_states_are_read_by_trial() -> None:
    trial = json.dumps({"trial_id": "a_0", "config": {"data.size": 1}, "status": "RUNNING"}, indent=2)
    runtime = json.dumps({"last_result": {"should_checkpoint": True, "done": False}})
    assert parse_state(json.dumps({"trial_data": [[trial, runtime]]}).encode()) == (
        {"a_0": TuneState("RUNNING", False)},
        [],
    )


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"trial_data": null}', OSError(13, "Permission denied")]
)
def test_a_broken_state_is_said(content: bytes | OSError) -> None:
    states, (problem,) = parse_state(content)
    assert states == {}
    assert "the budget tells which trials ended" in problem


def test_what_is_no_pair_of_texts_is_skipped_and_counted() -> None:
    good = [json.dumps({"trial_id": "a_0", "status": "TERMINATED"}), json.dumps({"done": True})]
    content = json.dumps({"trial_data": [["a"], good, [{"trial_id": "x"}, {}], None, 5, ["", ""]]}).encode()
    states, problems = parse_state(content)
    assert states == {"a_0": TuneState("TERMINATED", True)}
    assert len(problems) == 1
    assert "Tune's state of 5 trials cannot be read" in problems[0]
