"""One trial's `result.json`: a JSON object a line, an evaluation each."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.results.schema import OPTIMUM, checked_config, checked_reported

_BOOKKEEPING = frozenset(
    {
        "checkpoint_dir_name", "config", "date", "done", "episodes_total", "experiment_id", "experiment_tag",
        "hostname", "iterations_since_restore", "node_ip", "pid", "should_checkpoint", "time_since_restore",
        "time_this_iter_s", "time_total_s", "timestamp", "timesteps_since_restore", "timesteps_total",
        "training_iteration", "trial_id", "warmup_time",
    }
)  # fmt: skip
"""What Tune adds to every result; the rest is what the trial reported."""

TIME = "time_total_s"
"""Tune's wall time of a trial so far, in seconds."""

MEASURED = (
    "memorization_ratio", "memorization_ratio_low", "memorization_ratio_high", "best_memorization_ratio",
    "calibrated_ratio", "coverage", "knn_distance", "fid",
)  # fmt: skip
"""What says nothing of a trial that diverged or failed, whatever was reported before."""

_FIRST_OF_TUNE = ', "timestamp": '
_TIME = ', "time_total_s": '
_CONFIG = ', "config": {'
_IDENTITY = re.compile(r"_([0-9a-f]{12})$")
_TRIAL_ID = re.compile(r"([0-9a-f]{5,32}_\d{5,})$")
"""How older runs named their trials."""


@dataclass(frozen=True)
class TrialRecords:
    """What one `result.json` holds."""

    trial_id: str
    config: Mapping[str, Any]
    """Dotted keys; lists as text such as `1,0,1`."""
    evaluations: list[dict[str, Any]]
    """What was reported, and `TIME`, by images seen; of evaluations at one point, which a restored trial repeats,
    the last."""
    finished: bool
    """A line says `done`."""
    problems: list[str]
    """What could not be read, in words."""
    odd: list[str]
    """Names of values of the wrong type or out of range, which are missing."""
    failure: str
    """`diverged` or `failed`; empty for a trial that did not break off."""


def parse_trial(folder: str, content: bytes) -> TrialRecords:
    """Read a `result.json`, as far as it can be read.

    A trial that broke off ends with a result that holds `failure` and `cause` in place of a ratio. Older ones went on:
    a loss that is not finite, where there is one (the closed-form optimum has none), shows that they diverged.

    Args:
        folder: the trial's folder, whose name ends with the trial id.
        content: the file; its last line may be half-written, and after a crash any line may be.
    """
    lines = [line for line in content.decode(errors="replace").splitlines() if line.strip()]
    results = [result for result in _parse_lines(lines) if result is not None]
    problems = []
    if cut := len(lines) - len(results):
        problems.append(f"{cut} line{'s are' if cut > 1 else ' is'} cut short")
    configs = [result["config"] for result in results if isinstance(result.get("config"), dict)]
    config, odd = checked_config(configs[0]) if configs else ({}, set())
    in_name = _IDENTITY.search(folder) or _TRIAL_ID.search(folder)
    identities = (str(name) for result in results if _is_id(name := result.get("trial_id")))
    identity = next(identities, in_name.group(1) if in_name else folder)
    trained = config.get("model.architecture") != OPTIMUM
    evaluations: dict[Any, dict[str, Any]] = {}
    for place, result in enumerate(results):
        # A result behind a failure shows that the trial was taken up again.
        broke_off = place == len(results) - 1 and "failure" in result
        if "memorization_ratio" not in result and not broke_off:
            continue
        own = {key: value for key, value in result.items() if key == TIME or key not in _BOOKKEEPING}
        row, strange = checked_reported(own)
        if row.get("memorization_ratio", 0) is None:
            strange.add("memorization_ratio")
        loss = result.get("loss")
        if trained and isinstance(loss, float) and not math.isfinite(loss):
            row |= {"failure": "diverged", "cause": f"loss {loss:g}"}
            strange.discard("loss")
        odd |= strange
        point = row.get("images_seen")
        if broke_off and row.get("failure") is None:
            row["failure"] = "failed"
        evaluations["failure" if broke_off else point if point is not None else f"line {place}"] = row
    if results and not evaluations:
        problems.append("no result holds a memorization_ratio")
    # Where nothing says how far a trial was when it broke off, that was after its last evaluation.
    rows = sorted(evaluations.values(), key=lambda row: (row.get("images_seen") or 0, bool(row.get("failure"))))
    failure = next((str(row["failure"]) for row in rows if row.get("failure")), "")
    if failure:
        rows = [{name: None if name in MEASURED else value for name, value in row.items()} for row in rows]
    finished = not failure and any(result.get("done") is True for result in results)
    # Whether a size makes sense is asked of all trials together.
    return TrialRecords(identity, config, rows, finished, problems, sorted(odd - {"data.size"}), failure)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value.isascii() and value != ""


def _parse_lines(lines: list[str]) -> list[dict[str, Any] | None]:
    """Results; of all but the first only what the trial reported and its wall time.

    Tune's own entries, above all the configuration that it repeats on every line, are 8 of 10 characters.
    """
    if not lines:
        return []
    first, rest = _parse_line(lines[0]), lines[1:]
    short = [part for line in rest if (part := _reported_part(line))]
    if first is not None and len(short) == len(rest):
        try:
            return [first, *json.loads(f"[{','.join(short)}]")]
        except (ValueError, RecursionError):
            pass
    return [first, *(_parse_line(line) for line in rest)]


def _reported_part(line: str) -> str | None:
    """A result without Tune's own entries; None for a line that must be read whole."""
    end = line.find(_FIRST_OF_TUNE)
    config = line.find(_CONFIG, end)
    time = line.find(_TIME, end, config)
    # A line that a killed process cut can have swallowed the next one: a clean one has one configuration.
    clean = 0 < end < time < config and line.endswith("}") and line.find(_CONFIG, config + 1) < 0
    if not clean or line.find('"done": true', end, config) >= 0:
        return None
    return f"{line[:end]}{line[time : line.find(',', time + 2)]}}}"


def _parse_line(line: str) -> dict[str, Any] | None:
    parsed = _json(line)
    if parsed is not None:
        return parsed
    # After a crash and a restore, the rest of a cut line is the next result.
    resumed = line.rfind(line[:8])
    return _json(line[resumed:]) if resumed > 0 else None


def _json(text: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
