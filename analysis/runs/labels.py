"""Which settings distinguish experiments, and names made of them."""

from collections.abc import Sequence

import pandas as pd

from analysis.results.schema import CONDITIONAL
from analysis.runs.factors import DEPENDENT, FACTORS, value_label
from analysis.runs.settings import MEASURING, varies

MOST = 3
"""Settings that a name holds; further ones are three dots."""

_FOLLOWERS = {
    **DEPENDENT,
    "data.dataset": ("data.resolution", "data.classes", "model.channel_multipliers", "model.attention_resolution"),
}
"""What a setting brings along, so that a label need not say it."""


def covarying_keys(settings: pd.DataFrame) -> list[list[str]]:
    """The settings that vary; those that always vary together, such as batch size and learning rate, in one group.

    Args:
        settings: a row per experiment, a column per key.
    """
    groups: dict[tuple[int, ...], list[str]] = {}
    for key in settings.columns:
        if varies(settings[key]):
            codes = pd.factorize(settings[key], use_na_sentinel=False)[0]
            groups.setdefault(tuple(codes.tolist()), []).append(str(key))
    return list(groups.values())


def independent_keys(settings: pd.DataFrame) -> list[str]:
    """The settings that vary, without those that follow from an earlier one, such as a data set's resolution.

    A setting with a value for nearly every row, as a random search has, determines all others by chance and counts
    for none.
    """
    kept: list[str] = []
    for keys in covarying_keys(settings):
        key = next((key for key in keys if key in FACTORS), keys[0])
        if not any(
            other != "data.size"  # a size of one study alone says nothing of what it is
            and 2 * len(settings[other].unique()) <= len(settings)
            and follows(settings, key, other)
            for other in kept
        ):
            kept.append(key)
    return kept


def distinguishing_keys(settings: pd.DataFrame, among: pd.DataFrame | None = None) -> list[str]:
    """The settings in which some rows differ, those that distinguish most rows first; |D| before all others.

    A label that leaves out one of them would ascribe to one setting what another one did. Left out is only what is
    said already: a setting that a studied one brings along in all runs, such as the learning rate of a batch size
    (`analysis.runs.factors.DEPENDENT`), what no studied one needs beside it, and how a run is measured.

    Args:
        settings: a row per series or group, a column per dotted key.
        among: all runs that the rows are taken from; the rows themselves where not given. Settings that change together
            among a few rows by chance do not do so among all.
    """
    whole = settings if among is None else among
    varied = [str(key) for key in settings.columns if key not in MEASURING and varies(settings[key])]
    groups = [[key for key in keys if key in varied] for keys in covarying_keys(whole[varied])]
    followers = {
        follower
        for key in varied
        for follower in _FOLLOWERS.get(key, ())
        if follower in varied and follows(whole, follower, key)
    }
    candidates = [
        key for keys in groups for key in [key for key in keys if key in FACTORS] or keys[:1] if key not in followers
    ]
    chosen = [key for key in candidates if key == "data.size"]
    candidates = [key for key in candidates if key not in chosen]
    while candidates:
        key = max(candidates, key=lambda name: len(settings[[*chosen, name]].drop_duplicates()))
        chosen.append(key)
        candidates.remove(key)
    return chosen


def names(settings: pd.DataFrame, among: pd.DataFrame | None = None) -> list[str]:
    """A name for each row from the settings in which the rows differ, such as `|D| = 10, Weight decay = 0.1`.

    It has the `MOST` that distinguish most rows, `...` standing for more; where two rows would have the same name, all.

    Args:
        settings: a row per experiment or group, a column per dotted key.
        among: see `distinguishing_keys`.

    Returns:
        A name a row, empty where nothing distinguishes it. A setting that a row lacks is left out, unless its lack
        means something (all classes, native resolution).
    """
    chosen = distinguishing_keys(settings, among)
    short = [_name(row, chosen, MOST) for _, row in settings.iterrows()]
    # Better long than the same for two.
    return [
        name if short.count(name) == 1 else _name(row, chosen, len(chosen))
        for name, (_, row) in zip(short, settings.iterrows(), strict=True)
    ]


def _name(row: pd.Series, chosen: Sequence[str], most: int) -> str:
    shown = [str(key) for key in row.index if key in chosen[:most]]
    parts = [value_label(key, row[key]) for key in shown if not pd.isna(row[key]) or _lack_means_something(key)]
    return ", ".join([*parts, *(["..."] if len(chosen) > most else [])])


def follows(settings: pd.DataFrame, follower: str, key: str) -> bool:
    """Return whether each value of `key` has one value of `follower`."""
    return bool(settings.groupby(key, dropna=False)[follower].nunique(dropna=False).max() == 1)


def _lack_means_something(key: str) -> bool:
    return key in FACTORS and key not in CONDITIONAL and FACTORS[key].missing != "none"
