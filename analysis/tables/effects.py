"""What each setting does to the ratio and to the time to memorize, and which one matters most."""

import math
from collections.abc import Sequence

from analysis.inference.importance import Ranking
from analysis.inference.main_effects import Change
from analysis.inference.memorization_time import memorization_times, scaling_groups, time_scaling
from analysis.runs.factors import size_text, title_of, value_text
from analysis.runs.groups import short_titles
from analysis.runs.runs import Runs
from analysis.stats.significance import CONFIDENCE
from analysis.tables.table import Column, Table
from memo_core.errors import plural


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
                change.effect.points[0] if change.effect.points else None,
                *(math.exp(logit) for logit in (change.effect.value, change.effect.low, change.effect.high)),
                change.adjusted_p,
                change.effect.comparisons,
                change.effect.runs,
            ]
        )
    kinds = [
        *Column.texts("Setting", "From", "To"),
        Column.formatted("Change (points)", "+.1f"),
        *Column.odds(),
        Column.p_values("Adjusted p", 1 - CONFIDENCE),
        Column.numbers("Matched"),
        Column.numbers("Runs"),
    ]
    notes = [
        "The change of the best ratio at equal other settings, in points and as a factor of its odds. The 95% interval "
        "of the odds holds the noise of samples and training seeds, each row by itself; the p-value is of the same "
        "odds, adjusted for the number of rows (Holm; * below 0.05). Matched: how many settings have both values."
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
        *(Column.formatted(title, ".3f") for title in ("Importance", "Low", "High")),
        *Column.texts("Values", "Scale"),
    ]
    interval = f"{ranking.interval} of bootstrap resamples" if ranking.interval == "95%" else ranking.interval
    notes = [
        f"The share of the ratio's variance that each setting explains by itself (fANOVA, {ranking.runs:,} finished "
        f"runs; low and high: {interval} of the runs)."
    ]
    notes += [f"{ranking.note}."] if ranking.note else []
    return Table("importance", "Which setting matters most", kinds, rows, notes)


MAX_ROWS = 40


def memorization_time_table(runs: Runs, level: float = 0.5) -> Table:
    """Return the slopes of time over |D|, a row per setting of which two sizes pass the level, a ratio in (0, 1)."""
    found = scaling_groups(runs, level)
    rows = []
    for group, title in zip(found, short_titles(found, MAX_ROWS), strict=False):
        times = memorization_times(group.runs, level, "images_seen")
        scaling = time_scaling(times)
        sizes = times.loc[times["kind"] == "passed", "data.size"]
        reach = f"{size_text(int(sizes.min()))} to {size_text(int(sizes.max()))}"
        rows.append(
            [title or "all runs", reach, scaling.slope, scaling.low, scaling.high, scaling.trials, scaling.censored]
        )
    kinds = [
        *Column.texts("Setting", "|D|"),
        *Column.with_interval("Slope", ".2f"),
        *Column.texts("Trials", "Bounds"),
    ]
    note = (
        f"The images that a trial has seen when its ratio first passes {100 * level:g}%, over |D|: the slope of a line "
        "in log-log (1 where the time grows in proportion to |D|). Its interval allows for the evaluations between "
        "which each time lies and for the scatter of trials. Bounds: trials left out since they had passed at their "
        "first evaluation or never did; with many of them at the large sizes the slope is too small."
    )
    return Table("memorization-time", "Memorization time over |D|", kinds, rows, [note])
