"""How far each varied setting changes the ratio, against a baseline value, at equal other settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from analysis.results.schema import CONDITIONAL, DEFAULTS
from analysis.runs.effects import Cells, Effect, Saturated, contrast
from analysis.runs.factors import DEPENDENT, title_of, value_text
from analysis.runs.labels import covarying_keys
from analysis.stats.significance import CONFIDENCE, holm, normal_quantile, two_sided_p

MAX_VALUES = 40
"""Values of one setting beyond which it is not a factor but a continuum (a search), and has no table."""


@dataclass(frozen=True)
class Change:
    """From the baseline value of a setting to another one."""

    key: str
    """Dotted; keys that always vary together are joined by ` + `. Values are those of the first one."""
    before: Any
    after: Any
    effect: Effect
    adjusted_p: float = 1.0
    """Two-sided p-value of no effect, adjusted for the number of contrasts (Holm)."""

    @property
    def is_clear(self) -> bool:
        """Whether noise alone would hardly give such an effect anywhere among all contrasts."""
        return self.adjusted_p < 1 - CONFIDENCE


def contrasts(cells: Cells) -> tuple[list[Change], list[str]]:
    """Compare all values of all varied settings with each setting's baseline.

    The baseline is the smallest number, or of words the default one, without it the most frequent.

    Returns:
        The changes, and in words the contrasts that say nothing, since both sides are at 0% or both at 100%.
    """
    found: list[Change] = []
    saturated: list[str] = []
    for keys in covarying_keys(cells.frame[list(cells.keys)]):
        column = cells.frame[keys[0]]
        if keys[0] in CONDITIONAL:
            column = column.dropna()
        values = _ordered(column)
        if len(values) > MAX_VALUES:
            continue
        for value in values[1:]:
            before, after = is_value(keys[0], values[0]), is_value(keys[0], value)
            name = f"{value_text(keys[0], values[0])} to {value_text(keys[0], value)}"
            effect = contrast(cells, {*keys, *DEPENDENT.get(keys[0], ())}, before, after, name)
            if isinstance(effect, Saturated):
                saturated.append(f"{title_of(' + '.join(keys))} {effect.name}")
            elif effect is not None:
                found.append(Change(" + ".join(keys), values[0], value, effect))
    return _adjusted(found), saturated


def _adjusted(found: Sequence[Change]) -> list[Change]:
    """Return the changes with p-values for as many tests as there are contrasts."""
    p_values = []
    for effect in (change.effect for change in found):
        error = (effect.high - effect.low) / (2 * normal_quantile())
        p_values.append(two_sided_p(effect.value / error) if error > 0 else float(effect.value == 0))
    return [replace(change, adjusted_p=p) for change, p in zip(found, holm(p_values), strict=True)]


def is_value(key: str, value: Any) -> Callable[[pd.DataFrame], Any]:
    """Return the condition for `Cells.where` that a setting has a value; a missing value is one, too."""
    if pd.isna(value):
        return lambda rows: rows[key].isna()
    return lambda rows: (rows[key] == value).fillna(False).astype(bool)


def _ordered(column: pd.Series) -> list[Any]:
    counts: Mapping[Any, int] = column.value_counts(dropna=False).to_dict()
    if pd.api.types.is_numeric_dtype(column):
        return sorted(counts, key=lambda value: (not pd.isna(value), value if not pd.isna(value) else 0))
    usual = DEFAULTS.get(str(column.name))
    return sorted(counts, key=lambda value: (value != usual and not pd.isna(value), -counts[value], str(value)))
