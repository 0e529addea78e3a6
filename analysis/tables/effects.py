"""What each setting does to the ratio, and which one matters most."""

import math
from collections.abc import Sequence

from analysis.inference.importance import Ranking
from analysis.inference.main_effects import Change
from analysis.runs.effects import odds_text
from analysis.runs.factors import title_of, value_text
from analysis.stats.significance import CONFIDENCE
from analysis.tables import columns
from analysis.tables.table import Column, Table
from analysis.tables.words import plural


def effects_table(changes: Sequence[Change], saturated: Sequence[str] = ()) -> Table:
    """Return the change from each setting's baseline value to every other one.

    Args:
        changes: a row each.
        saturated: contrasts that say nothing, in words.
    """
    rows = []
    for change in changes:
        first = change.key.split(" + ")[0]
        rows.append(
            [
                title_of(change.key),
                value_text(first, change.before),
                value_text(first, change.after),
                *(change.effect.points or (None, None, None)),
                math.exp(change.effect.value),
                change.adjusted_p,
                change.effect.comparisons,
                change.effect.runs,
            ]
        )
    kinds = [
        *columns.texts("Setting", "From", "To"),
        *columns.with_interval("Change (points)", "+.1f"),
        Column("Odds times", lambda odds: odds_text(math.log(odds))),
        columns.p_values("Holm p", 1 - CONFIDENCE),
        columns.numbers("Matched"),
        columns.numbers("Runs"),
    ]
    notes = [
        "The change of the best ratio at equal other settings, in points and as a factor of its odds; 95% intervals "
        "hold the noise of samples and training seeds, each by itself; Holm's p-values allow for all rows "
        "(* below 0.05). Matched: how many settings have both values."
    ]
    if saturated:
        notes.append(f"Left out, at 0% or at 100% on both sides in every matched setting: {'; '.join(saturated)}.")
    partly = sum(change.effect.saturated for change in changes)
    if partly:
        where = sum(change.effect.saturated > 0 for change in changes)
        notes.append(
            f"Left out of {plural(where, 'contrast')}: {plural(partly, 'matched setting')} at 0% or at 100% on both "
            "sides, where nothing is known of an effect."
        )
    return Table("effects", "What each setting does", kinds, rows, notes)


def importance_table(ranking: Ranking) -> Table:
    """Return the share of the ratio's variance that each setting explains (fANOVA)."""
    rows = [
        [title_of(each.factor), each.importance, each.low, each.high, each.values, each.scale]
        for each in ranking.factors
    ]
    kinds = [
        Column("Setting"),
        *(columns.formatted(title, ".3f") for title in ("Importance", "Low", "High")),
        *columns.texts("Values", "Scale"),
    ]
    interval = f"{ranking.interval} of bootstrap resamples" if ranking.interval == "95%" else ranking.interval
    notes = [
        f"The share of the ratio's variance that each setting explains by itself (fANOVA, {ranking.runs:,} finished "
        f"runs; low and high: {interval} of the runs)."
    ]
    notes += [f"{ranking.note}."] if ranking.note else []
    return Table("importance", "Which setting matters most", kinds, rows, notes)
