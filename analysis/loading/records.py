"""One trial's `result.json`: a JSON object a line, an evaluation each."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

_SHARES = ("memorization_ratio", "memorization_ratio_low", "memorization_ratio_high", "best_memorization_ratio")
"""Numbers in 0..1; anything else is missing."""

_FIRST_OF_TUNE = ', "timestamp": '
_TIME = ', "time_total_s": '
_CONFIG = ', "config": {'
_TRIAL_ID = re.compile(r"([0-9a-f]{5,32}_\d{5,})$")


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


def parse_trial(folder: str, content: bytes) -> TrialRecords:
    """Read a `result.json`, as far as it can be read.

    Args:
        folder: the trial's folder, whose name ends with the trial id.
        content: the file; its last line may be half-written, and after a crash any line may be.
    """
    lines = [line for line in content.decode(errors="replace").splitlines() if line.strip()]
    results = [result for result in _parse_lines(lines) if result is not None]
    problems = []
    if len(results) < len(lines):
        problems.append(f"{_count(len(lines) - len(results), 'line')} cut short")
    configs = [result["config"] for result in results if isinstance(result.get("config"), dict)]
    config = flat(configs[0]) if configs else {}
    identity = next((result["trial_id"] for result in results if result.get("trial_id")), None)
    evaluations: dict[Any, dict[str, Any]] = {}
    invalid = 0
    for result in results:
        if "memorization_ratio" not in result:
            continue
        point = result.get("images_seen")
        invalid += not _is_share(result["memorization_ratio"])
        for name in _SHARES:
            if name in result and not _is_share(result[name]):
                result[name] = None
        evaluations[point if point is not None else f"line {len(evaluations)}"] = result
    if results and not evaluations:
        problems.append("no result holds a memorization_ratio")
    if invalid:
        problems.append(f"{_count(invalid, 'ratio')} no number in 0..1")
    rows = sorted(map(_reported, evaluations.values()), key=lambda row: row.get("images_seen") or 0)
    finished = any(result.get("done") for result in results)
    return TrialRecords(identity or _id_of(folder), config, rows, finished, problems)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


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
        except ValueError:
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
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _reported(result: dict[str, Any]) -> dict[str, Any]:
    """What the trial reported, and its wall time."""
    if "config" not in result:
        return result  # read short, see `_reported_part`
    return {key: value for key, value in result.items() if key == TIME or key not in _BOOKKEEPING}


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys, whatever the nesting; lists become text, so that they can be grouped and stored."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found.update({f"{key}.{inner}": entry for inner, entry in flat(value).items()})
        elif isinstance(value, list | tuple):
            found[key] = ",".join(map(str, value))
        else:
            found[key] = value
    return found


def _id_of(folder: str) -> str:
    match = _TRIAL_ID.search(folder)
    return match.group(1) if match else folder


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s are' if number > 1 else ' is'}"
