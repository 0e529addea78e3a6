"""What `--search optuna` draws from: ranges and choices by dotted key, as `--set` writes and JSON keeps them."""

import itertools
import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from memo_core.command_line import parse_settings
from memo_core.errors import MemosweepError
from memo_core.experiment import check_key, check_value, field_constraint, parse_value
from sweeps.engine.plans.factor import absolute_value

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
"""Of what `sweep.json` holds: damaged entries are named, not guessed."""


class Choices(BaseModel):
    """One of several values."""

    model_config = STRICT

    choices: Annotated[list[Any], Field(min_length=1)]


class Range(BaseModel):
    """A number between two ends."""

    model_config = STRICT

    low: int | float
    high: int | float
    log: bool = False
    integer: bool = False
    complement: bool = False
    """1 - value is spaced so, not the value."""


Span = Choices | Range
SearchSpace = dict[str, Span]
"""A span for each dotted key."""

_SPARSE = ("data.resolution", "model.attention_resolution")
"""Keys of which most whole numbers are invalid: the network halves its images."""
_EVEN_WIDTHS_ABOVE = 32
"""Above it only multiples of 32 give layers that the normalization's 32 groups can share, whatever the multipliers."""
_MAX_COMBINATIONS = 256
_MAX_POINTS = 10_000
"""Points of a space that are listed, to find those that a search has not tried."""


def split_ranges(settings: list[str]) -> tuple[dict[str, Any], SearchSpace]:
    """Separate `KEY=range(low,high[,log])` and `KEY=choice(a,b,...)` from plain settings.

    Returns:
        The plain settings and the spans, each by dotted key.

    Raises:
        MemosweepError: what looks like a range or a choice and is none, or a range of what is not a number.
    """
    plain: list[str] = []
    spans: SearchSpace = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        key = key.strip()
        match = re.match(r"(range|choice)\((.*)", text.strip(), re.DOTALL)
        if match is None:
            plain.append(setting)
            continue
        if not match[2].endswith(")"):
            raise MemosweepError(f"--set {setting}: the closing parenthesis is missing")
        check_key(key)
        # Not at the commas inside of brackets, so that a list may be a choice.
        parts = [part.strip() for part in re.split(r",(?![^\[]*\])", match[2][:-1])]
        spans[key] = _choices(key, text, parts) if match[1] == "choice" else _range(key, text, parts)
    return parse_settings(plain), spans


def _choices(key: str, text: str, parts: list[str]) -> Choices:
    if not all(parts) or any(part.count("[") != part.count("]") for part in parts):
        raise MemosweepError(f"--set {key}={text}: expected choice(a,b,...), a list as [1,2]")
    return Choices(choices=[absolute_value(key, parse_value(key, part)) for part in parts])


def _range(key: str, text: str, parts: list[str]) -> Range:
    try:
        low, high = map(float, parts[:2])
    except ValueError:
        low = high = math.nan
    if parts[2:] not in ([], ["log"]) or not (math.isfinite(low) and math.isfinite(high)):
        raise MemosweepError(f"--set {key}={text}: expected range(low,high) or range(low,high,log) with finite ends")
    integer = field_constraint(key, "type") is int and low.is_integer() and high.is_integer()
    if integer:
        low, high = int(low), int(high)
    return _checked(key, Range(low=low, high=high, log=bool(parts[2:]), integer=integer), f"--set {key}={text}")


def check_space(space: SearchSpace) -> SearchSpace:
    """Return a space whose keys and ends were checked; what its types cannot say.

    Raises:
        MemosweepError: which key is wrong, and what would be right.
    """
    for key, span in space.items():
        check_key(key)
        if isinstance(span, Range):
            _checked(key, span, key)
            continue
        for value in span.choices:
            check_value(key, value)
    return space


def _checked(key: str, span: Range, where: str) -> Range:
    mistake = _mistake(key, span)
    if mistake is not None:
        raise MemosweepError(f"{where}: {mistake}")
    return span


def _mistake(key: str, span: Range) -> str | None:
    """Return why a key cannot be searched over a range; None where it can."""
    kind = field_constraint(key, "type")
    if kind not in (int, float):
        return "its values are not numbers, list them as choice(a,b,...)"
    if key in _SPARSE:
        return "only a few numbers are valid, list them as choice(8,16)"
    if span.low > span.high:
        return "expected the lower end first"
    if span.log and drawn_between(span)[0] <= 0:
        return "a logarithmic range must lie above 0"
    if kind is int and not (span.integer and float(span.low).is_integer() and float(span.high).is_integer()):
        return "expected whole numbers as ends"
    # The lowest and the highest value that the key would take, before the values between them are listed.
    step = field_constraint(key, "multiple_of") or 1
    try:
        for end, rounded in ((span.low, math.ceil), (span.high, math.floor)):
            check_value(key, rounded(end / step) * step if span.integer else end)
    except MemosweepError as error:
        return str(error)
    if not ends(key, span):
        return (
            f"holds no multiple of 4 up to {_EVEN_WIDTHS_ABOVE} and none of {_EVEN_WIDTHS_ABOVE} above; "
            "list others as choice(36,48)"
        )
    return None


def drawn_between(span: Range) -> tuple[float, float]:
    """Return the ends of what is drawn for a range: of the value itself, or of 1 - value."""
    low, high = span.low, span.high
    return (1 - high, 1 - low) if span.complement else (low, high)


def value_of(key: str, span: Span, drawn: float) -> Any:
    """Return the value that a drawn number stands for: a choice by its index, else the nearest valid one in range."""
    if isinstance(span, Choices):
        return span.choices[int(drawn)]
    if span.complement:
        # 1 - (1 - value) may be a rounding error outside.
        return min(max(1 - drawn, span.low), span.high)
    grid = _valid_multiples(key, span)
    return drawn if grid is None else min(grid, key=lambda value: abs(value - drawn))


def _valid_multiples(key: str, span: Range) -> list[int] | None:
    """Return the numbers of a range that a key's step admits; None where it has no step."""
    step = field_constraint(key, "multiple_of")
    if step is None:
        return None
    values = range(math.ceil(span.low / step) * step, math.floor(span.high) + 1, step)
    if key != "model.width":
        return list(values)
    return [width for width in values if width <= _EVEN_WIDTHS_ABOVE or width % _EVEN_WIDTHS_ABOVE == 0]


def ends(key: str, span: Span) -> list[Any]:
    """Return all choices, or the lowest and the highest value of a range; nothing where it holds no valid value."""
    if isinstance(span, Choices):
        return list(span.choices)
    grid = _valid_multiples(key, span)
    if grid is None:
        return [span.low, span.high]
    return list(dict.fromkeys([grid[0], grid[-1]])) if grid else []


def _finite_points(key: str, span: Span) -> Sequence[Any] | None:
    """Return everything that can be drawn for a key and means different values; None for a continuum."""
    if isinstance(span, Choices):
        return range(len(span.choices))
    if not span.integer or span.complement:
        return None
    grid = _valid_multiples(key, span)
    return range(round(span.low), round(span.high) + 1) if grid is None else grid


def all_points(space: SearchSpace) -> list[dict[str, Any]] | None:
    """Return all points of a space, as drawn numbers by key; None where there are more than 10,000."""
    options = [points for key, span in space.items() if (points := _finite_points(key, span)) is not None]
    if len(options) < len(space) or math.prod(map(len, options)) > _MAX_POINTS:
        return None
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*options)]


def random_point(space: SearchSpace, generator: random.Random) -> dict[str, Any]:
    """Draw a point at random: evenly over choices and whole numbers, evenly or logarithmically over a continuum."""
    return {key: _random_draw(key, span, generator) for key, span in space.items()}


def _random_draw(key: str, span: Span, generator: random.Random) -> Any:
    points = _finite_points(key, span)
    if points is not None or isinstance(span, Choices):
        return generator.choice(points or [])
    low, high = drawn_between(span)
    drawn = math.exp(generator.uniform(math.log(low), math.log(high))) if span.log else generator.uniform(low, high)
    drawn = min(max(drawn, low), high)
    return round(drawn) if span.integer else drawn


def combinations(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """Return combinations of choices and of the ends of ranges: all, or 256 random ones where there are more."""
    options = [ends(key, span) for key, span in space.items()]
    chosen: Iterable[Iterable[Any]] = itertools.product(*options)
    if math.prod(map(len, options)) > _MAX_COMBINATIONS:
        generator = random.Random(0)
        chosen = (map(generator.choice, options) for _ in range(_MAX_COMBINATIONS))
    return (dict(zip(space, values, strict=True)) for values in chosen)
