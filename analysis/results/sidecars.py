"""What lies beside the trials of a sweep: its `sweep.json`, and its journal, `trials.jsonl`."""

import json
import math
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from analysis.results.schema import text
from analysis.results.store import JOURNAL_FILE

MANIFEST_FILE = "sweep.json"

Status = Literal["terminated", "error", "diverged", "running", "interrupted"]

QUIET_SECONDS = 900.0
"""A sweep at work touches its journal at least every few minutes; after so long a silence it is not at work."""

_UNKNOWN = "the budget tells which trials ended, and trials that never reported are not known"

Text = Annotated[str, AfterValidator(text)]
SHA256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Amount = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _Part(BaseModel):
    """A part of `sweep.json`; an entry that is wrong is left out, and named in the list that is the context."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    @field_validator("*", mode="wrap")
    @classmethod
    def _or_left_out(cls, value: Any, handler: Any, info: ValidationInfo) -> Any:
        try:
            return handler(value)
        except ValueError:
            name = info.field_name or ""
            info.context.append(name)  # type: ignore[union-attr]
            return cls.model_fields[name].get_default(call_default_factory=True)


class _Factor(_Part):
    name: Text | None = None
    key: Text | None = None
    title: Text | None = None
    scale: Literal["linear", "log", "category"] | None = None
    dependent: list[Text] = []


class _Search(_Part):
    kind: Literal["grid", "bisect", "optuna"] | None = None
    zeta: Annotated[float, Field(gt=0, lt=1)] | None = None
    direction: Text | None = None


class _Plan(_Part):
    factor: _Factor = _Factor()
    preset: Text | None = None
    trials: list[dict[str, Any]] = []
    search: _Search = _Search()


class _LaterStart(_Part):
    started: Text | None = None
    versions: dict[Text, Text] = {}
    git_commit: Text | None = None
    git_dirty: bool | None = None


class _Manifest(_Part):
    """What reading results needs of a `sweep.json`; the rest is left to `--resume`."""

    plan: _Plan = _Plan()
    resources: dict[Text, Amount] = {}
    command: list[Text] = []
    started: Text | None = None
    hardware: Text | None = None
    workers: list[Text] = []
    versions: dict[Text, Text] = {}
    git_commit: Text | None = None
    git_dirty: bool | None = None
    images: dict[Text, SHA256] = {}
    later_starts: list[_LaterStart] = []


def parse_manifest(content: bytes | OSError) -> tuple[dict[str, Any], list[str]]:
    """Return what a `sweep.json` says, and a line on what could not be read.

    Args:
        content: the file, or why it cannot be read.

    Returns:
        The entries that it has, without those that are not what they should be: `factor`, `key`, `title`, `scale`,
        `dependent`, `preset`, `search` (its kind), `zeta` (of an EMM search), `direction` (of Optuna's), `planned`
        (the number of trials of a grid), `resources`, `command`, `started`, `hardware`, `workers`, `versions`,
        `git_commit`, `git_dirty` (only where it is true), `images` (source to the SHA-256 of its pixels),
        `later_starts` (of each its `started`, `versions`, `git_commit`, `git_dirty`).
    """
    if isinstance(content, OSError):
        return {}, [f"{MANIFEST_FILE} cannot be read ({content})"]
    try:
        stored = json.loads(content)
    except (ValueError, RecursionError):
        return {}, [f"{MANIFEST_FILE} is cut short or not JSON, so what was run is not known"]
    if not isinstance(stored, dict):
        return {}, [f"{MANIFEST_FILE} holds no settings, so what was run is not known"]
    wrong: list[str] = []
    manifest = _Manifest.model_validate(stored, context=wrong)
    plan, factor, search = manifest.plan, manifest.plan.factor, manifest.plan.search
    entries = {
        "factor": factor.name,
        **factor.model_dump(exclude={"name"}),
        "preset": plan.preset,
        "search": search.kind,
        "zeta": search.zeta,
        "direction": search.direction,
        # Of a search the trials are templates, one for each value of the factor.
        "planned": len(plan.trials) if search.kind in (None, "grid") else None,
        **manifest.model_dump(exclude={"plan"}),
    }
    named = ", ".join(dict.fromkeys(wrong))
    are = "is" if len(set(wrong)) == 1 else "are"
    problems = [f"{MANIFEST_FILE}: {named} {are} of the wrong type or out of range, and left out"] if wrong else []
    return {name: value for name, value in entries.items() if value not in (None, 0, [], {})}, problems


class TrialState(NamedTuple):
    """What a sweep last wrote of one trial."""

    status: str
    """begun, terminated, diverged or error."""
    images_seen: float
    """Of the results that it ended with; infinite where it has none."""


def parse_journal(content: bytes | OSError) -> tuple[dict[str, TrialState], list[str]]:
    """Return the trials of a `trials.jsonl` by id, and in words what could not be read of them.

    Args:
        content: the file, or why it cannot be read.
    """
    if isinstance(content, OSError):
        return {}, [f"{JOURNAL_FILE} cannot be read ({content}): {_UNKNOWN}"]
    events = [_parse_event(line) for line in content.splitlines()]
    wrong = events.count(None)
    lines = f"{wrong} line{'s' if wrong > 1 else ''} of {JOURNAL_FILE}"
    return dict(event for event in events if event), [f"{lines} cannot be read: {_UNKNOWN}"] if wrong else []


def _parse_event(line: bytes) -> tuple[str, TrialState] | None:
    """Return a trial's id and state; None for a line that is cut or something else."""
    try:
        event = json.loads(line)
        trial_id, kind = str(event["trial_id"]), event["event"]
        if kind == "begun":
            return trial_id, TrialState("begun", math.inf)
        seen = float((event.get("result") or {}).get("images_seen", math.inf))
        return trial_id, TrialState(str(event["status"]), seen)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def status_of(state: TrialState | None, finished: bool, seen: float, quiet: float, failure: str = "") -> Status:
    """Return the status of a trial in the words of the tables.

    Args:
        state: what its sweep wrote of it, if anything.
        finished: whether its own results say that it reached its end.
        seen: the images that its results have seen.
        quiet: seconds since its sweep last wrote anything.
        failure: what its own results say that it broke off with, `diverged` or `failed`; empty for nothing.
    """
    if failure:
        return "diverged" if failure == "diverged" else "error"
    # Its sweep may have ended it before its budget; its results must be whole all the same.
    if finished or (state is not None and state.status == "terminated" and seen >= state.images_seen):
        return "terminated"
    if state is not None and state.status == "error":
        return "error"
    return "running" if quiet < QUIET_SECONDS else "interrupted"
