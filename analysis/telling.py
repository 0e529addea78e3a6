"""Which settings tell experiments apart, and names made of them."""

from collections.abc import Sequence

import pandas as pd

from analysis.settings import CONDITIONAL, moves
from analysis.vocabulary import FACTORS, value_label

MOST = 3
"""Settings that a name holds; further ones are three dots."""


def tied_keys(settings: pd.DataFrame) -> list[list[str]]:
    """The settings that move; those that always move together, such as batch size and learning rate, in one group.

    Args:
        settings: a row per experiment, a column per key.
    """
    groups: dict[tuple[int, ...], list[str]] = {}
    for key in settings.columns:
        if moves(settings[key]):
            groups.setdefault(_codes(settings[key]), []).append(key)
    return list(groups.values())


def independent_keys(settings: pd.DataFrame) -> list[str]:
    """The settings that move, without those that follow from an earlier one, such as a data set's resolution.

    A setting with a value for nearly every row, as a random search has, determines all others by chance and counts
    for none.
    """
    kept: list[str] = []
    for keys in tied_keys(settings):
        key = _best_known(keys)
        values = settings[key]
        follows = any(
            other != "data.size"  # a size of one study alone says nothing of what it is
            and 2 * len(settings[other].unique()) <= len(settings)
            and settings.groupby(other, dropna=False)[key].nunique(dropna=False).max() == 1
            for other in kept
        )
        if not follows:
            kept.append(str(values.name))
    return kept


def names(settings: pd.DataFrame, most: int = MOST) -> list[str]:
    """A name for each row from the settings that tell the rows apart, such as `|D| = 10, Weight decay = 0.1`.

    Args:
        settings: a row per experiment or panel, a column per dotted key.
        most: settings in a name, those that tell most rows apart, `...` standing for more; where two rows would have
            the same name, all that tell rows apart.

    Returns:
        A name a row, empty where nothing tells it apart. A setting that a row lacks is left out, unless its lack
        means something (all classes, native resolution).
    """
    chosen = _telling(settings)
    short = [_name(row, chosen, most) for _, row in settings.iterrows()]
    # Better long than the same for two.
    return [
        name if short.count(name) == 1 else _name(row, chosen, len(chosen))
        for name, (_, row) in zip(short, settings.iterrows(), strict=True)
    ]


def _name(row: pd.Series, chosen: Sequence[str], most: int) -> str:
    shown = [str(key) for key in row.index if key in chosen[:most]]
    parts = [value_label(key, row[key]) for key in shown if not pd.isna(row[key]) or _lack_tells(key)]
    return ", ".join([*parts, *(["..."] if len(chosen) > most else [])])


def _telling(settings: pd.DataFrame) -> list[str]:
    """Greedily the settings that split the rows most, until all that differ are told apart."""
    candidates = [_best_known(keys) for keys in tied_keys(settings)]
    everything = len(settings.drop_duplicates())
    chosen: list[str] = []
    while candidates and (not chosen or len(settings[chosen].drop_duplicates()) < everything):
        key = max(candidates, key=lambda name: len(settings[[*chosen, name]].drop_duplicates()))
        if chosen and len(settings[[*chosen, key]].drop_duplicates()) == len(settings[chosen].drop_duplicates()):
            break
        chosen.append(key)
        candidates.remove(key)
    return chosen


def _best_known(keys: Sequence[str]) -> str:
    """Of keys that say the same, one that the paper studies."""
    return next((key for key in keys if key in FACTORS), keys[0])


def _lack_tells(key: str) -> bool:
    return key in FACTORS and key not in CONDITIONAL and FACTORS[key].missing != "none"


def _codes(column: pd.Series) -> tuple[int, ...]:
    return tuple(int(code) for code in pd.factorize(column, use_na_sentinel=False)[0])
