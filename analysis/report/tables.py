"""The tables of a report: trials, effects of settings, experiments."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from analysis.inference.findings import finished_runs
from analysis.inference.importance import Ranking
from analysis.inference.main_effects import Change
from analysis.inference.replication import NOTE, TITLES, replication_frame
from analysis.paper_tables import paper_tables
from analysis.report.blocks import Cell, Table, table
from analysis.report.text import number, plural
from analysis.runs.effects import odds_text
from analysis.runs.factors import factor, title_of, value_text
from analysis.runs.final import best, is_finished, is_lower_bound
from analysis.runs.labels import independent_keys

STOPPED = "stopped early above the target"
"""The status of trials whose ratios are lower bounds of the final ones."""


def trials_table(frame: pd.DataFrame, moved: Mapping[str, str]) -> Table:
    """A row per trial at its best evaluation, with its interval, whether finished or not."""
    top = best(frame)
    done = is_finished(frame).groupby([frame["experiment"], frame["trial_id"]]).last()
    last = frame.groupby(["experiment", "trial_id"])[["images_seen", "seconds"]].max()
    fid = "fid" in frame and bool(frame["fid"].notna().any())
    several = len(frame["experiment"].unique()) > 1
    columns = [*(["Experiment"] if several else []), "Trial", "Status"]
    columns += ["Ratio (%)", "95% low", "95% high"]
    columns += [factor(key).title for key in moved]
    columns += ["kNN distance", *(["FID"] if fid else [])]
    columns += ["Best epoch", "Images seen", "Minutes"]
    rows = []
    for _, run in top.iterrows():
        ident = (run["experiment"], run["trial_id"])
        status = str(run["status"]) if "status" in run else ("finished" if done[ident] else "unfinished")
        status = STOPPED if is_lower_bound(run) else status
        cells = [*([Cell(str(run["experiment"]))] if several else []), Cell(str(run["trial_id"])), Cell(status)]
        for key in ("memorization_ratio", "memorization_ratio_low", "memorization_ratio_high"):
            cells.append(Cell.of(_number(100 * run[key]), f"{100 * run[key]:.2f}"))
        cells += [_value(key, run[key]) for key in moved]
        cells.append(Cell.of(_number(run["knn_distance"]), digits=4))
        cells += [Cell.of(_number(run["fid"]), digits=4)] if fid else []
        cells.append(_whole(run["epoch"]))
        cells.append(_whole(last.loc[ident, "images_seen"]))
        cells.append(Cell.of(_number(last.loc[ident, "seconds"]) / 60, digits=3))
        rows.append(cells)
    note = "Each trial at its best evaluation, the paper's number of a run; the interval is Wilson's, of the samples."
    independent = {factor(key).title for key in independent_keys(top[list(moved)])}
    redundant = {factor(key).title for key in moved} - independent
    screen_only = frozenset(place for place, column in enumerate(columns) if column in redundant)
    return replace(table("trials", "Trials", note, columns, rows), screen_only=screen_only)


def effects_table(changes: Sequence[Change], saturated: Sequence[str] = ()) -> Table:
    """From each setting's baseline value to every other one.

    Args:
        changes: a row each.
        saturated: contrasts that say nothing, in words.
    """
    columns = ["Setting", "From", "To", "Change (points)", "95% low", "95% high", "Odds times", "Holm p"]
    columns += ["Matched", "Runs"]
    rows = []
    for change in changes:
        value, low, high = change.effect.points or (math.nan,) * 3
        odds = math.exp(change.effect.value)
        rows.append(
            [
                Cell(title_of(change.key)),
                *(_value(change.key.split(" + ")[0], value) for value in (change.before, change.after)),
                *(Cell.of(points, f"{points:+.1f}") for points in (value, low, high)),
                Cell.of(odds, odds_text(change.effect.value)),
                Cell.of(change.adjusted_p, p_text(change.adjusted_p) + (" *" if change.is_clear else "")),
                *(Cell.of(count, f"{count:,}") for count in (change.effect.comparisons, change.effect.runs)),
            ]
        )
    note = (
        "The change of the best ratio at equal other settings, in points and as a factor of its odds; 95% intervals "
        "hold the noise of samples and training seeds, each by itself; Holm's p-values allow for all rows "
        "(* below 0.05). Matched: how many settings have both values."
    )
    partly = sum(change.effect.saturated for change in changes)
    if saturated:
        note += f" Left out, at 0% or at 100% on both sides in every matched setting: {'; '.join(saturated)}."
    if partly:
        where = sum(change.effect.saturated > 0 for change in changes)
        note += (
            f" Left out of {plural(where, 'contrast')}: {plural(partly, 'matched setting')} at 0% or at 100% on both "
            "sides, where nothing is known of an effect."
        )
    return table("effects", "What each setting does", note, columns, rows)


def p_text(p: float) -> str:
    """A p-value; far below any level its digits say nothing."""
    return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def importance_table(ranking: Ranking) -> Table:
    """fANOVA's shares."""
    rows = [
        [
            Cell(title_of(each.factor)),
            *(Cell.of(share, f"{share:.3f}") for share in (each.importance, each.low, each.high)),
            Cell.of(each.values),
            Cell(each.scale),
        ]
        for each in ranking.factors
    ]
    note = (
        f"The share of the ratio's variance that each setting explains by itself (fANOVA, {ranking.runs:,} runs; "
        f"low and high: {ranking.interval}, the runs drawn anew). {ranking.note}{'.' if ranking.note else ''}"
    )
    columns = ["Setting", "Importance", "Low", "High", "Values", "Scale"]
    return table("importance", "Which setting matters most", note.strip(), columns, rows)


def frame_table(ident: str, title: str, note: str, data: pd.DataFrame, columns: Mapping[str, str]) -> Table:
    """Any frame; settings (dotted columns) in words, other numbers with four significant digits.

    Args:
        ident, title, note: of the table.
        data: what to show.
        columns: titles of the columns that are no settings.
    """
    keys = list(map(str, data.columns))
    rows = [
        [_value(key, value) if "." in key else _plain(value) for key, value in zip(keys, row, strict=True)]
        for row in data.itertuples(index=False)
    ]
    return table(ident, title, note, [columns.get(key) or factor(key).title for key in keys], rows)


def replication_table(frame: pd.DataFrame) -> list[Table]:
    """Coverage, concentration, calibrated ratio and near-duplicates of each trial, where any has them."""
    data = replication_frame(frame)
    if data.empty:
        return []
    return [frame_table("replication", "Coverage and concentration of replicas", NOTE, data, TITLES)]


def paper_blocks(frame: pd.DataFrame) -> list[Table]:
    """Tables 1 to 8 of the paper with ours beside the published numbers, those that the runs fill in part."""
    found = []
    for known in paper_tables(finished_runs(frame)):
        for index, (block, cells) in enumerate(known.blocks):
            if cells["ours"].isna().all():
                continue
            columns = {"dataset": "Data set", "ours": "Ours", "low": "95% low", "high": "95% high"}
            columns |= {"trials": "Trials", "published": "Published", "difference": "Difference"}
            title = f"{block.source}: {block.caption[0].lower()}{block.caption[1:]}"
            note = f"{known.caption}. Ours beside the published number; a difference where data set and |D| agree."
            reached = cells["reached"] > 0
            if reached.any():
                note += " >= marks a lower bound: a trial was stopped on reaching its target, so that its end is open."
            shown = cells.drop(columns="reached").assign(
                # An upper end of the interval and a difference would pass for those of a final ratio.
                high=cells["high"].mask(reached),
                difference=cells["difference"].mask(reached),
            )
            block_table = frame_table(f"paper{known.number}-{index}", title, note, shown, columns)
            found.append(_with_bounds(block_table, list(shown.columns).index("ours"), reached))
    return found


def _with_bounds(block: Table, column: int, reached: pd.Series) -> Table:
    """Lower bounds marked in one column."""
    rows = [
        [*row[:column], Cell(f">={row[column].text}", row[column].sort), *row[column + 1 :]] if bound else row
        for row, bound in zip(block.rows, reached, strict=True)
    ]
    return replace(block, rows=rows)


def _number(value: object) -> float:
    return math.nan if pd.isna(value) else float(value)  # type: ignore[arg-type, call-overload]


def _whole(value: object) -> Cell:
    amount = _number(value)
    return Cell.of(amount, number(amount, 5))


def _value(key: str, value: object) -> Cell:
    """A setting in words, sorted by its number."""
    number_of = float(value) if not pd.isna(value) and not isinstance(value, str) else None  # type: ignore[arg-type, call-overload]
    return Cell(value_text(key, value), number_of)


def _plain(value: object) -> Cell:
    if pd.isna(value):  # type: ignore[call-overload]
        return Cell("")
    return Cell(value) if isinstance(value, str) else Cell(number(float(value), 4), float(value))  # type: ignore[arg-type]
