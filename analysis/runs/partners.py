"""Settings that follow a factor, such as the learning rate of a batch size: one partner for each value of the factor.

Pooled sweeps can hold several partners of one value: random labels with 10 and with 1,000 classes, a depth with and
without a skip mask. Their trials are different experiments, which must not be averaged.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.runs.factors import PARTNERS

Fixed = dict[str, Any]


def with_own_partners(frame: pd.DataFrame, key: str, tied: Sequence[str]) -> pd.Series:
    """For each row, whether it has the one partner that is kept for its value of the factor.

    Kept is the usual partner (`analysis.runs.factors.PARTNERS`); without one, that which most values of the factor were
    run with, of those the one with most rows.

    Args:
        frame: settings as columns.
        key: the factor.
        tied: the settings that follow it.

    Returns:
        Booleans by row; all true where no value has several partners.
    """
    present = [name for name in tied if name in frame.columns]
    if key not in frame.columns or not present or frame.empty:
        return pd.Series(True, index=frame.index)
    values = pd.Series(pd.factorize(frame[key], use_na_sentinel=False)[0], index=frame.index)
    partners = _codes(frame, present)
    counts = pd.DataFrame({"value": values, "partner": partners}).value_counts()
    shared = counts.reset_index()["partner"].value_counts()
    chosen: dict[int, int] = {}
    for value in sorted(set(values)):
        found = sorted(counts[value].index)
        rows = {partner: frame[(values == value) & (partners == partner)].iloc[0] for partner in found}
        chosen[value] = max(
            found, key=lambda p: (_usual(key, present, rows[p]), shared[p], counts[value][p], -p)
        )  # fmt: skip
    return partners == values.map(chosen)


def by_partner(frame: pd.DataFrame, key: str, tied: Sequence[str]) -> Iterator[tuple[Fixed, pd.DataFrame]]:
    """Parts of a frame in which each value of the factor has one partner.

    Args:
        frame, key, tied: as for `with_own_partners`.

    Returns:
        First the part with each value's own partner, then one for each partner of which trials are left, with all
        values that were run with it; beside each the tied settings that are constant in it. Where no value has
        several partners, the whole frame alone, with nothing beside it.
    """
    present = [name for name in tied if name in frame.columns]
    own = with_own_partners(frame, key, present)
    if own.all():
        yield {}, frame
        return
    partners = _codes(frame, present)
    parts = [frame[own], *(frame[partners == code] for code in sorted(set(partners[~own])))]
    for part in parts:
        yield {name: part[name].iloc[0] for name in present if len(part[name].unique()) == 1}, part


def _codes(frame: pd.DataFrame, tied: Sequence[str]) -> pd.Series:
    return frame.groupby(list(tied), dropna=False, sort=True).ngroup()


def _usual(key: str, tied: Sequence[str], row: pd.Series) -> int:
    """How many of the tied settings are the usual ones of the row's value."""
    known = PARTNERS.get(key, {})
    count = 0
    for name in tied:
        if name not in known:
            continue
        usual = known[name]
        if isinstance(usual, Mapping):
            usual = usual.get(row[key])
        count += bool(pd.isna(row[name])) if usual is None else bool(not pd.isna(row[name]) and row[name] == usual)
    return count
