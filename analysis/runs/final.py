"""Which trials have a final ratio: trained to the end, or stopped early, or not finished.

An EMM search ends a trial once its ratio is surely far above the target. It would have gone on to a ratio that is at
least the one reported: a lower bound.
"""

import re
from typing import Literal

import pandas as pd

from analysis.errors import some_of
from analysis.results.columns import image_budget

Metric = Literal["memorization_ratio", "fid", "knn_distance"]
METRICS: tuple[Metric, ...] = ("memorization_ratio", "fid", "knn_distance")

NO_FINAL_RATIO = "no final ratio: all trials diverged or failed"
"""What to say where `finished` leaves nothing."""

DIVERGED = "diverged"
"""The status of a trial whose numbers ceased to be finite."""
_MAX_NAMED = 3
"""Causes that are named in a message; the others are counted."""

_ENDED = {"terminated", "finished", "completed", "complete", "done"}

SHARES = ("memorization_ratio", "best_memorization_ratio", "calibrated_ratio", "coverage")
"""Metrics that grow with memorization."""


def best(frame: pd.DataFrame, metric: str = "memorization_ratio") -> pd.DataFrame:
    """Return a row per trial, its best evaluation, the paper's number of a run.

    The paper reports the highest memorization ratio over training (App. B), since the ratio rises and, with
    regularization, falls again. FID and kNN distance are low where a model memorizes (App. G), so their number
    is the lowest over training: the same extreme of memorization, seen through another measure.

    Args:
        frame: of `analysis.load`.
        metric: `memorization_ratio` or another share that grows with memorization (highest); `fid`,
            `knn_distance` or any other distance (lowest).

    Returns:
        Rows of `frame` in its order; trials where the metric is never a number are left out. `stopped_early`, where
        there is such a column, is that of the trial.
    """
    rows = best_rows(frame, metric)
    if "stopped_early" in frame.columns:
        # It stands on a trial's last evaluation, which need not be its best.
        rows = rows.assign(stopped_early=stopped_early(frame).loc[rows.index])
    return rows.reset_index(drop=True)


def best_rows(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the rows of `best` with their labels in `frame`, without what their trials ended with."""
    if metric not in frame.columns:
        return frame.iloc[:0]
    ranked = frame.dropna(subset=[metric]).sort_values(metric, ascending=metric not in SHARES, kind="stable")
    return ranked.drop_duplicates(["experiment", "trial_id"]).sort_index()


def stopped_early(frame: pd.DataFrame) -> pd.Series:
    """For each row, whether its trial was stopped early far above the target of a search: its ratios are lower bounds.

    Args:
        frame: of `analysis.load`, all evaluations of its trials. It stands on a trial's last evaluation, which need
            not be its best.
    """
    if "stopped_early" not in frame.columns:
        return pd.Series(False, index=frame.index)
    stopped = frame["stopped_early"].eq(True).fillna(False).astype(bool)
    return stopped.groupby([frame["experiment"], frame["trial_id"]]).transform("any")


def is_lower_bound(run: pd.Series) -> bool:
    """Whether the ratio of one run, a row of `best`, is a lower bound of its final ratio."""
    stopped = run.get("stopped_early", False)
    return bool(pd.notna(stopped) and stopped)


def trial_failures(frame: pd.DataFrame) -> pd.Series:
    """For each row, what its trial broke off with: `diverged`, `failed`, or an empty text.

    Args:
        frame: of `analysis.load`, all evaluations of its trials.
    """
    found = pd.Series("", index=frame.index, dtype=object)
    if "status" in frame.columns:
        found = found.mask(frame["status"].astype(str) == DIVERGED, DIVERGED)
    if "failure" in frame.columns:
        failure = frame["failure"].astype(object).where(frame["failure"].notna(), None)
        last = failure.groupby([frame["experiment"], frame["trial_id"]]).transform("last")
        found = found.mask(last.notna(), last)
    return found


def is_finished(frame: pd.DataFrame) -> pd.Series:
    """For each row, whether its trial has a final ratio, or at least a lower bound of it.

    Not so a trial that diverged or failed, and one that is unfinished, whose best ratio lies ahead. Whether a trial
    came to the end of its budget follows from the column `status`, and from the images seen against `training.images`
    or `training.epochs` times `data.size`: of a trial that ended, results may be lost. The closed-form optimum sees
    none.
    """
    counts, stopped = trial_failures(frame) == "", stopped_early(frame)
    ended = pd.Series(True, index=frame.index)
    if "status" in frame:
        ended = frame["status"].astype(str).str.lower().isin(_ENDED)
    if "images_seen" not in frame:
        return (ended | stopped) & counts
    seen = frame.groupby(["experiment", "trial_id"])["images_seen"].transform("max")
    budget = image_budget(frame)
    whole = budget.isna() | (seen >= budget) | ~(seen > 0)
    return ((ended & whole) | stopped) & counts


STILL_FALLING = 0.01
"""Share of the distance per evaluation interval; a smaller fall is the noise of the samples."""


def still_learning(frame: pd.DataFrame) -> "pd.Series[bool]":
    """For each row, whether its trial had no replica at all while its samples still approached the training images.

    The samples of a network come nearer to the training images long before the first of them is a replica. A ratio of
    0 then says that the budget was short, not what the setting does. A trial that was evaluated once, or without
    `knn_distance`, is not one of these.
    """
    ident = ["experiment", "trial_id"]
    if not {"knn_distance", "memorization_ratio", "images_seen"} <= set(frame.columns):
        return pd.Series(False, index=frame.index)
    rows = frame.dropna(subset=["knn_distance", "memorization_ratio"]).sort_values("images_seen", kind="stable")
    before = rows.groupby([rows[name] for name in ident])["knn_distance"].shift(1)
    last = rows.assign(before=before).drop_duplicates(ident, keep="last")
    falls = last["knn_distance"] <= (1 - STILL_FALLING) * last["before"]
    found = pd.MultiIndex.from_frame(last.loc[falls, ident])
    highest = frame.groupby(ident)["memorization_ratio"].transform("max")
    return pd.Series(pd.MultiIndex.from_frame(frame[ident]).isin(found), index=frame.index) & (highest == 0)


def finished(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of trials with a final ratio; half-trained ones would pass for a low ratio.

    Where no trial ended yet, the rows of those still running: all but the trials that diverged or failed.
    """
    return frame if frame.empty else frame[is_counted(frame)].reset_index(drop=True)


def is_counted(frame: pd.DataFrame) -> pd.Series:
    """For each row, whether `finished` keeps it."""
    ended = is_finished(frame)
    return ended if ended.any() else trial_failures(frame) == ""


def left_out(frame: pd.DataFrame) -> list[str]:
    """What `finished` leaves out and what it keeps with a caveat, a line a kind; empty where all is final.

    Args:
        frame: of `analysis.load`, all evaluations of its trials.
    """
    if frame.empty:
        return []
    stopped, failures = stopped_early(frame), trial_failures(frame)
    trials = frame.assign(stopped_early=stopped, failure=failures).drop_duplicates(
        ["experiment", "trial_id"], keep="last"
    )
    count = len(trials)
    broken = trials["failure"] != ""
    unfinished = int((~is_finished(frame))[trials.index].sum()) - int(broken.sum())
    bounds = int((trials["stopped_early"] & ~broken).sum())
    lines = [f"left out: {line}" for line in failed(frame)]
    if unfinished:
        word = "left out" if unfinished + int(broken.sum()) < count else "note"
        lines.append(f"{word}: {unfinished} of {count} trials are unfinished, and their ratios may still rise")
    if bounds:
        lines.append(
            f"note: {bounds} of {count} trials were stopped early far above the target, and their ratios are lower "
            "bounds (>=) of the final ones"
        )
    return lines


def failed(frame: pd.DataFrame) -> list[str]:
    """Which trials diverged and which failed, a line a kind with the causes; such as `2 of 8 trials diverged: ...`.

    Causes that differ in their numbers alone, such as the images seen, are one; its first trial stands for it.

    Args:
        frame: of `analysis.load`, all evaluations of its trials.
    """
    ident = ["experiment", "trial_id"]
    failures = trial_failures(frame)
    rows = frame.assign(failure=failures)[failures != ""]
    if "failure" in frame.columns:
        # The first result that says so names the cause; of a trial that only has a status, the last one is known.
        says = frame["failure"].notna()[rows.index]
        rows = pd.concat([rows[says], rows[~says][::-1]])
    trials = rows.drop_duplicates(ident).sort_values(ident, kind="stable")
    count = len(frame[ident].drop_duplicates())
    lines = []
    for failure in (DIVERGED, "failed"):
        those = trials[trials["failure"] == failure]
        if len(those):
            lines.append(f"{len(those)} of {count} trials {failure}: {_by_cause(those)}")
    return lines


def _by_cause(trials: pd.DataFrame) -> str:
    """Return the trials that broke off alike, each group with its cause, the most frequent first."""
    causes = trials.assign(cause=[_cause(row) for _, row in trials.iterrows()])
    groups = [group for _, group in causes.groupby(causes["cause"].map(without_numbers), sort=False)]
    parts = []
    for group in sorted(groups, key=len, reverse=True)[:_MAX_NAMED]:
        first = "the first " if len(set(group["cause"])) > 1 else ""
        about = f" ({first}{group['cause'].iloc[0]})" if group["cause"].iloc[0] else ""
        parts.append(f"{some_of(group['trial_id'].astype(str).tolist())}{about}")
    further = len(groups) - len(parts)
    return "; ".join([*parts, *([f"and {further} further cause{'s' * (further > 1)}"] if further else [])])


def _cause(row: pd.Series) -> str:
    """Return why a trial broke off, and when; empty where neither is known."""
    cause, seen = (None if pd.isna(value) else value for value in (row.get("cause"), row.get("images_seen")))
    # Before it stands that the trial diverged.
    text = "" if cause is None else str(cause).removeprefix("diverged ")
    when = "" if seen is None or "images seen" in text else f" at {int(seen):,} images"
    return f"{text}{when}".strip()


def without_numbers(cause: str) -> str:
    """Return a cause with every number as 0, such as the images seen: equal results are the same kind of cause."""
    return re.sub(r"[0-9][0-9.,]*(?:e[+-]?[0-9]+)?", "0", cause)
