"""Values as JSON gives them, checked for type and range where they enter: one that makes no sense becomes missing."""

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], Any]
"""Return a value of one type and range, or raise ValueError."""

MAX_WHOLE = 2**53
"""Whole numbers beyond are not exact in float64, in which fits are computed."""
MAX_NUMBER = 1e30
"""No measured quantity comes near; squares of numbers beyond would overflow."""


_NUMBERS = frozenset({int, float})


def number(low: float, high: float = MAX_NUMBER) -> Check:
    """A check for real numbers within [low, high]."""

    def check(value: Any) -> float | int:
        # Millions of values pass here: types are compared, which also keeps out true and false.
        if type(value) not in _NUMBERS or not low <= value <= high:
            raise ValueError
        return value  # type: ignore[no-any-return]

    return check


def whole(low: int, high: int = MAX_WHOLE) -> Check:
    """A check for whole numbers within [low, high]; 10.0 is one, too."""

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


def one_of(*words: str) -> Check:
    """A check for one of some words."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError
        return value

    return check


def flag(value: Any) -> bool:
    """Check for true or false."""
    if not isinstance(value, bool):
        raise ValueError
    return value


def scalar(value: Any) -> Any:
    """Check a value of which nothing is known but that it has to fit into a table."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value)
    return whole(-MAX_WHOLE)(value) if isinstance(value, int) else number(-MAX_NUMBER)(value)


def numbers(low: int, high: int) -> Check:
    """A check for a list of whole numbers, which becomes text such as `1,0,1`; a single number stays one."""

    def check(value: Any) -> str | int:
        entry = whole(low, high)
        if not isinstance(value, list):
            return int(entry(value))
        if not value:
            raise ValueError
        return ",".join(str(entry(each)) for each in value)

    return check


def _mask(value: Any) -> str:
    bits = value.split(",") if isinstance(value, str) else [str(bit) for bit in value] if _is_list(value) else []
    if not bits or not set(bits) <= {"0", "1"}:
        raise ValueError
    return ",".join(bits)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(entry, bool) for entry in value)


_SHARE, _AMOUNT, _COUNT, _SIZE = number(0, 1), number(0), whole(0), whole(1, 10**9)

REPORTED_CHECKS: Mapping[str, Check] = {
    "epoch": _AMOUNT, "images_seen": _COUNT, "loss": _AMOUNT, "memorization_ratio": _SHARE,
    "memorization_ratio_low": _SHARE, "memorization_ratio_high": _SHARE, "best_memorization_ratio": _SHARE,
    "calibrated_ratio": _SHARE, "coverage": _SHARE, "coverage_if_uniform": _SHARE, "gini": _SHARE,
    "top_1_percent": _SHARE, "top_10_percent": _SHARE, "knn_distance": _AMOUNT, "fid": number(-1),
    "num_samples": _SIZE, "images_per_second": _AMOUNT, "time_total_s": _AMOUNT, "replicas": _COUNT,
    "most_replicas": _COUNT, "near_duplicates": _COUNT, "stopped_early": flag,
    "failure": one_of("diverged", "failed"), "cause": text,
}  # fmt: skip
"""What a trial reports; FID may fall below 0 by rounding."""

CONFIG_CHECKS: Mapping[str, Check] = {
    "data.dataset": text, "data.size": whole(1, 10**8), "data.resolution": _SIZE, "data.classes": numbers(0, 10**6),
    "data.blend_dataset": text, "data.blend_classes": numbers(0, 10**6), "data.blend_ratio": _SHARE,
    "data.labels": text, "data.num_labels": _SIZE, "data.seed": _COUNT, "model.architecture": text,
    "model.preconditioning": text, "model.width": _SIZE, "model.depth": _SIZE, "model.time_embedding": text,
    "model.skip_connections": _mask, "model.dropout": _SHARE, "model.attention_resolution": _COUNT,
    "model.channel_multipliers": numbers(1, 10**6), "training.epochs": _AMOUNT, "training.images": _COUNT,
    "training.batch_size": _SIZE, "training.learning_rate": _AMOUNT, "training.weight_decay": _AMOUNT,
    "training.ema_decay": _SHARE, "training.warmup_epochs": _AMOUNT, "training.precision": text,
    "training.order": text, "evaluation.every_epochs": _AMOUNT, "evaluation.every_images": _COUNT,
    "evaluation.count": _SIZE, "evaluation.num_samples": _SIZE, "evaluation.steps": _SIZE,
    "evaluation.sampler": text, "evaluation.threshold": _AMOUNT, "evaluation.batch_size": _SIZE,
    "evaluation.fid": flag, "seed": _COUNT,
}  # fmt: skip
"""The settings of an experiment."""

RESERVED = frozenset(
    {"trial", "experiment", "factor", "preset", "status", "folder", "cost_images", "seconds", "trial_id"}
)
"""Columns of the table that no trial reports itself."""


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
            _check(found, odd, name, value, known or scalar)
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
    return ",".join(str(scalar(entry)) for entry in value) if isinstance(value, list) else scalar(value)


def _flat(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in config.items():
        if isinstance(value, dict):
            found += [(f"{key}.{inner}", entry) for inner, entry in _flat(value)]
        else:
            found.append((key, value))
    return found
