"""In what two plans of a run differ: by the option that was typed otherwise, else by the entry of the plan."""

from collections.abc import Iterator, Sequence
from typing import Any

from memo_core.errors import quoted
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.plan import Plan

_OPTIONS = {"num_trials": "--trials"}
_LEFT_OUT = "left out"


def option_difference(stored: Plan, typed: Plan) -> str | None:
    """Return the first option by which two plans of a factor differ, with both values; None where none does.

    Args:
        stored: of the run.
        typed: what the command line says now.
    """
    pairs: list[tuple[str, str, str]] = [("--preset", stored.preset, typed.preset)]
    if stored.selection is not None and typed.selection is not None:
        pairs += _of_selections(stored.selection, typed.selection)
    pairs.append(("--search", stored.search.kind, typed.search.kind))
    for option, was, now in [*pairs, *_of_searches(stored.search, typed.search)]:
        if was != now:
            return f"{option} was {was}, is {now}"
    return None


def _of_selections(stored: Selection, typed: Selection) -> Iterator[tuple[str, str, str]]:
    for option, name, more in (
        ("--figure", "figures", None),
        ("--values", "values", "more_values"),
        ("--sizes", "sizes", "more_sizes"),
    ):
        was, now = (_words(getattr(one, name)) for one in (stored, typed))
        added = getattr(stored, more) if more else ()
        yield option, f"{was} and by --extend {_words(added)}" if added else was, now
    yield "--repeats", str(stored.repeats), str(typed.repeats)
    for key in dict.fromkeys([*stored.settings, *typed.settings]):
        was, now = (_word(one.settings[key]) if key in one.settings else _LEFT_OUT for one in (stored, typed))
        yield f"--set {key}", was, now


def _of_searches(stored: Any, typed: Any) -> Iterator[tuple[str, str, str]]:
    if stored.kind != typed.kind:
        return
    for name in type(stored).model_fields:
        was, now = getattr(stored, name), getattr(typed, name)
        if name != "space":
            yield _OPTIONS.get(name, f"--{name.replace('_', '-')}"), _word(was), _word(now)
            continue
        for key in dict.fromkeys([*was, *now]):
            first, second = (
                one[key].model_dump_json(exclude_none=True) if key in one else _LEFT_OUT for one in (was, now)
            )
            yield f"--set {key}", first, second


def _words(values: Sequence[Any]) -> str:
    """Return values as they are typed behind an option."""
    return " ".join(map(_word, values)) if values else _LEFT_OUT


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def difference(stored: Any, typed: Any, place: str = "") -> str | None:
    """Return where two plans, as JSON, differ first, with both values in words; None where they are equal."""
    if isinstance(stored, dict) and isinstance(typed, dict):
        for key in [*stored, *(key for key in typed if key not in stored)]:
            found = difference(stored.get(key), typed.get(key), f"{place}.{key}" if place else str(key))
            if found is not None:
                return found
        return None
    if isinstance(stored, list) and isinstance(typed, list) and len(stored) == len(typed):
        differences = (
            difference(one, other, f"{place}[{n}]") for n, (one, other) in enumerate(zip(stored, typed, strict=True))
        )
        return next((found for found in differences if found is not None), None)
    if stored == typed:
        return None
    if isinstance(stored, list) and isinstance(typed, list) and place == "trials":
        return f"it has {len(stored)} trials, these options give {len(typed)}"
    return f"its {place} is {quoted(stored)}, here it is {quoted(typed)}"
