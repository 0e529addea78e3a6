"""The columns of a table: which values their settings and reported numbers take; odd values become missing.

Types, ranges and defaults of the settings are those of `memo_core.experiment`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from memo_core.experiment import Experiment

Check = Callable[[Any], Any]
"""Return a value of one type and range, or raise ValueError."""

MAX_WHOLE = 2**53
"""Whole numbers beyond are not exact in float64, in which fits are computed."""
MAX_NUMBER = 1e30
"""No measured quantity comes near; squares of numbers beyond would overflow."""

_NUMBERS = frozenset({int, float})


def number(low: float, high: float = MAX_NUMBER) -> Check:
    """Return a check for real numbers within [low, high]."""

    def check(value: Any) -> float | int:
        # Millions of values pass here: types are compared, which also keeps out true and false.
        if type(value) not in _NUMBERS or not low <= value <= high:
            raise ValueError
        return value  # type: ignore[no-any-return]

    return check


def whole(low: int, high: int = MAX_WHOLE) -> Check:
    """Return a check for whole numbers within [low, high]; 10.0 is one, too."""
    within = number(low, high)

    def check(value: Any) -> int:
        if within(value) != int(value):
            raise ValueError
        return int(value)

    return check


def text(value: Any) -> str:
    """Check for a text; what cannot be printed in it, such as half a surrogate pair, becomes a question mark."""
    if not isinstance(value, str):
        raise ValueError
    if value.isprintable():
        return value
    encoded = value.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in encoded)


def _one_of(*values: Any) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, str | bool) or value not in values:
            raise ValueError
        return value

    return check


def _scalar(value: Any) -> Any:
    """Check a value of which nothing is known but that it has to fit into a table."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value)
    return whole(-MAX_WHOLE)(value) if isinstance(value, int) else number(-MAX_NUMBER)(value)


def _listed(values: list[Any], entry: Check) -> str:
    return ",".join(str(entry(value)) for value in values)


def _mask(value: Any) -> str:
    bits = value.split(",") if isinstance(value, str) else value
    if not isinstance(bits, list) or not bits or not {str(bit) for bit in bits} <= {"0", "1"}:
        raise ValueError
    return ",".join(map(str, bits))


def _settings() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the dotted keys of an experiment, and the JSON schema of each."""
    schema = Experiment.model_json_schema()
    for name, entry in schema["properties"].items():
        if "$ref" not in entry:
            yield name, entry
            continue
        section = schema["$defs"][entry["$ref"].rpartition("/")[2]]
        yield from ((f"{name}.{key}", inner) for key, inner in section["properties"].items())


def _kinds(entry: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the types that a setting takes, with the constraints of each."""
    return {kind["type"]: kind for kind in entry.get("anyOf", [entry]) if kind["type"] != "null"}


def _bounded(kind: Mapping[str, Any]) -> Check:
    """Return the check for numbers of a JSON schema; a bound that a value must not reach is allowed."""
    low, high = kind.get("minimum", 0), kind.get("maximum", kind.get("exclusiveMaximum"))
    if kind["type"] == "integer":
        return whole(low, MAX_WHOLE if high is None else high)
    return number(low, MAX_NUMBER if high is None else high)


def _check_of(kinds: Mapping[str, Mapping[str, Any]]) -> Check:
    if "array" in kinds:
        entry, single = _bounded(kinds["array"]["items"]), _bounded(kinds.get("integer", kinds["array"]["items"]))

        def check(value: Any) -> str | int:
            if value == []:
                raise ValueError
            return _listed(value, entry) if isinstance(value, list) else int(single(value))

        return check
    ((kind, constraints),) = kinds.items()
    return {"string": text, "boolean": _FLAG}.get(kind) or _bounded(constraints)


_FLAG = _one_of(True, False)

_SETTINGS = dict(_settings())
_TYPES = {key: _kinds(entry) for key, entry in _SETTINGS.items()}

CONFIG_CHECKS: Mapping[str, Check] = {
    **{key: _check_of(kinds) for key, kinds in _TYPES.items()},
    "model.skip_connections": _mask,
}
"""The settings of an experiment."""

_SHARE, _AMOUNT, _COUNT, _SIZE, _FID = number(0, 1), number(0), whole(0), whole(1, 10**9), number(-1)

REPORTED_CHECKS: Mapping[str, Check] = {
    "epoch": _AMOUNT, "images_seen": _COUNT, "loss": _AMOUNT, "memorization_ratio": _SHARE,
    "memorization_ratio_low": _SHARE, "memorization_ratio_high": _SHARE, "best_memorization_ratio": _SHARE,
    "knn_distance": _AMOUNT, "num_samples": _SIZE, "images_per_second": _AMOUNT, "time_total_s": _AMOUNT,
    "calibrated_ratio": _SHARE, "coverage": _SHARE, "coverage_if_uniform": _SHARE, "gini": _SHARE,
    "top_1_percent": _SHARE, "top_10_percent": _SHARE, "fid": _FID, "replicas": _COUNT, "most_replicas": _COUNT,
    "near_duplicates": _COUNT, "stopped_early": _FLAG, "failure": _one_of("diverged", "failed"), "cause": text,
}  # fmt: skip
"""What a trial reports; FID may fall below 0 by rounding."""

REPORTED = (*list(REPORTED_CHECKS)[:10], "seconds")
"""Columns of every table: what each evaluation has; one that a run lacks is missing values."""

RESERVED = frozenset(
    {"trial", "experiment", "factor", "preset", "status", "folder", "cost_images", "seconds", "trial_id"}
)
"""Columns of the table that no trial reports itself."""


def _columns(kind: str, *checks: Check) -> frozenset[str]:
    settings = {key for key, kinds in _TYPES.items() if list(kinds) == [kind]}
    return frozenset(settings | {name for name, check in REPORTED_CHECKS.items() if check in checks})


INTEGER_COLUMNS = _columns("integer", _COUNT, _SIZE) | {"cost_images"}
"""Whole numbers even where every value is missing."""
FLOAT_COLUMNS = _columns("number", _SHARE, _AMOUNT, _FID) | {"seconds"}
"""Real numbers even where every value is whole, such as a weight decay of 0."""

DEFAULTS: Mapping[str, Any] = {
    key: ",".join(map(str, entry["default"])) if isinstance(entry["default"], list) else entry["default"]
    for key, entry in _SETTINGS.items()
    if entry["default"] is not None and key != "data.size"
}
"""The defaults of settings. Those whose default is missing (such as `data.resolution`) need no entry; a run without
`data.size` is not read."""

CONDITIONAL: Mapping[str, tuple[str, Any]] = {"data.num_labels": ("data.labels", "random")}
"""Settings that mean something only where another one has a value; elsewhere they are missing."""

OPTIMUM = "optimum"
"""The architecture of the closed-form optimal denoiser, which is not trained."""


def checked_reported(result: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Check what a trial reported at one evaluation.

    Args:
        result: as JSON gives it, without Tune's own entries.

    Returns:
        Its entries, missing (None) where they make no sense, and the names of those. NaN is missing without being
        odd, since some numbers have no value (the loss of the optimum, the Gini coefficient without replicas); so are
        lists and mappings under names that are not known, which no table holds.
    """
    found: dict[str, Any] = {}
    odd: set[str] = set()
    for name, value in result.items():
        known = REPORTED_CHECKS.get(name)
        if known is None and (name in RESERVED or "." in name or name == "seed" or text(name) != name):
            odd.add(text(name))
        elif value is None or value != value:  # noqa: PLR0124 (NaN)
            found[name] = None
        elif known is None and isinstance(value, list | dict):
            found[name] = value
        else:
            _check(found, odd, name, value, known or _scalar)
    return found, odd


def checked_config(config: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Check the settings of a trial, in dotted keys whatever the nesting.

    Returns:
        The settings, lists as text such as `1,0,1`, missing (None) where they make no sense, and the names of those.
    """
    found: dict[str, Any] = {}
    odd: set[str] = set()
    for key, value in _flat(config):
        check = CONFIG_CHECKS.get(key)
        if check is None:
            # A mapping where a value should be, or a name that is none.
            parent = next((parent for parent in CONFIG_CHECKS if key.startswith(f"{parent}.")), None)
            if parent is not None or text(key) != key or key in RESERVED:
                odd.add(parent or text(key))
                continue
        if value is None:
            found[key] = None
        else:
            _check(found, odd, key, value, check or _entry)
    return found, odd


def _check(found: dict[str, Any], odd: set[str], name: str, value: Any, check: Check) -> None:
    try:
        found[name] = check(value)
    except (ValueError, OverflowError):
        found[name] = None
        odd.add(text(name))


def _entry(value: Any) -> Any:
    """Check a setting that is not known: a scalar, or a list of them as text."""
    return _listed(value, _scalar) if isinstance(value, list) else _scalar(value)


def _flat(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in config.items():
        if isinstance(value, dict):
            found += [(f"{key}.{inner}", entry) for inner, entry in _flat(value)]
        else:
            found.append((key, value))
    return found


def experiment_keys(frame: pd.DataFrame) -> list[str]:
    """Return the columns that describe an experiment: dotted keys and `seed`."""
    return [column for column in frame.columns if "." in column or column == "seed"]


def with_defaults(frame: pd.DataFrame, keys: Iterable[str] | None = None) -> pd.DataFrame:
    """Fill settings that some runs do not name with the defaults of `Experiment`.

    What a run names though it means nothing to it becomes missing; see `CONDITIONAL`.

    Args:
        frame: of `analysis.load`.
        keys: settings that are wanted as columns, such as those of another frame; those of the frame where not given.

    Returns:
        The frame, with a column for each of `keys` that has a default.
    """
    wanted = [key for key in (frame.columns if keys is None else keys) if key in DEFAULTS]
    filled: dict[str, Any] = {}
    for key in wanted:
        if key not in frame.columns or frame[key].isna().all():
            filled[key] = DEFAULTS[key]
        elif frame[key].isna().any():
            filled[key] = frame[key].fillna(DEFAULTS[key])
    return _without_meaningless(frame.assign(**filled) if filled else frame)


def _without_meaningless(frame: pd.DataFrame) -> pd.DataFrame:
    if "model.skip_connections" in frame.columns:
        # Beside runs without a mask, one that keeps all is none; among masks it stays what it is called.
        masks = frame["model.skip_connections"]
        whole = masks.astype("str").str.fullmatch("1(,1)*").fillna(False).astype(bool)
        if whole.any() and masks.isna().any():
            frame = frame.assign(**{"model.skip_connections": masks.mask(whole)})
    for key, (other, value) in CONDITIONAL.items():
        if {key, other} <= set(frame.columns):
            frame = frame.assign(**{key: frame[key].where((frame[other] == value).fillna(False).astype(bool))})
    return frame
