"""What became of each trial: from Tune's `experiment_state-*.json` where there is one, else from its results."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["terminated", "error", "diverged", "running", "interrupted"]

QUIET_SECONDS = 900.0
"""A sweep at work writes its state at least every few minutes; after so long a silence it is not at work."""

_UNKNOWN = "the budget tells which trials ended, and trials that never reported are not known"

_ID = re.compile(r'"trial_id":\s*"([^"]+)"')
_STATUS = re.compile(r'"status":\s*"(TERMINATED|ERROR|RUNNING|PENDING|PAUSED)"')
_DONE = re.compile(r'"done":\s*(true|false)')


@dataclass(frozen=True)
class TuneState:
    """What Tune last wrote of one trial."""

    status: str
    """TERMINATED, ERROR, RUNNING, PENDING, PAUSED."""
    done: bool
    """Its last result was its last."""


def parse_state(content: bytes | OSError) -> tuple[dict[str, TuneState], list[str]]:
    """The trials of an `experiment_state-*.json`, by id, as far as they can be read.

    Args:
        content: the file, or why it cannot be read.

    Returns:
        The states, and what could not be read of them, in words.
    """
    if isinstance(content, OSError):
        return {}, [f"Tune's state cannot be read ({content}): {_UNKNOWN}"]
    try:
        pairs = json.loads(content)["trial_data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        pairs = None
    if not isinstance(pairs, list):
        return {}, [f"Tune's state is cut short or holds no trials: {_UNKNOWN}"]
    states, strange = {}, 0
    for pair in pairs:
        found = _parse_pair(pair)
        strange += found is None
        if found is not None:
            states[found[0]] = found[1]
    trials = f"{strange} trial{'s' if strange > 1 else ''}"
    return states, [f"Tune's state of {trials} cannot be read: {_UNKNOWN}"] if strange else []


def _parse_pair(pair: Any) -> tuple[str, TuneState] | None:
    """A trial's id and state; None where Tune wrote something else."""
    # Both are JSON in a string, with the whole configuration in each: three fields are quicker found than parsed.
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        return None
    description, runtime = pair
    identity, status = _ID.search(description), _STATUS.findall(description)
    if identity is None or not status:
        return None
    done = _DONE.search(runtime)
    return identity.group(1), TuneState(status[-1], bool(done and done.group(1) == "true"))


def status_of(state: TuneState | None, finished: bool, quiet: float, failure: str = "") -> Status:
    """The status of a trial in the words of the tables.

    Args:
        state: what Tune wrote of it, if anything.
        finished: whether its own results say that it reached its end.
        quiet: seconds since its sweep last wrote anything.
        failure: what its own results say that it broke off with, `diverged` or `failed`; empty for nothing.
    """
    if failure:
        return "diverged" if failure == "diverged" else "error"
    if state is not None and state.status == "ERROR":
        return "error"
    if finished or (state is not None and state.status == "TERMINATED" and state.done):
        return "terminated"
    if state is not None and state.status == "TERMINATED":
        # Tune stopped it before its end: a signal, not a result.
        return "interrupted"
    return "running" if quiet < QUIET_SECONDS else "interrupted"


def reached_budget(config: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Whether a trial saw all the images that its experiment asked for."""
    seen, images = last.get("images_seen"), config.get("training.images")
    epochs, size = config.get("training.epochs"), config.get("data.size")
    if images is None and epochs is not None and size is not None:
        images = epochs * size
    return seen is not None and images is not None and seen >= images
