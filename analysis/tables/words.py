"""Numbers and settings in words."""

import math
from typing import Any

import pandas as pd


def short(value: Any) -> str:
    """A setting as a reader would write it: 1,000 and 0.0001, `none` where it is missing."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, bool | str):
        return str(value)
    return number(float(value))


def number(value: float, digits: int = 6) -> str:
    """Grouped thousands for whole numbers, `digits` significant ones otherwise."""
    if math.isnan(value):
        return ""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.{digits}g}"


def plural(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def compact(value: float) -> str:
    """A large count for a tile: 18.3 k, 2.5 M."""
    for limit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {suffix}"
    return f"{value:.3g}"


def sentence_case(text: str) -> str:
    """Return a text with a capital in front, unless its first word has its own (kNN)."""
    return text if text[1:2].isupper() else f"{text[:1].upper()}{text[1:]}"
