"""What to say of a sweep in which no network has memorized anything."""

import pandas as pd

from analysis.runs.final import STILL_FALLING
from memo_core.errors import plural


def nothing_learned(evaluations: pd.DataFrame) -> str | None:
    """Return in one sentence what to change where all memorization ratios are 0; None where one is not.

    While a network learns, its samples approach the training images long before the first of them is a replica: the
    distances distinguish a training that was too short from one that has reached its end.

    Args:
        evaluations: of `Runs` or `analysis.load`: a row per evaluation of each trial.
    """
    rows = evaluations.dropna(subset=["memorization_ratio"]) if "memorization_ratio" in evaluations else None
    if rows is None or rows.empty or (rows["memorization_ratio"] > 0).any():
        return None
    count, trials = len(rows), len(rows[["experiment", "trial_id"]].drop_duplicates())
    known = "the only evaluation" if count == 1 else f"all {count} evaluations of {plural(trials, 'trial')}"
    found = f"nothing was memorized yet: {known} gave a ratio of 0"
    in_images = "training.images" in rows and rows["training.images"].notna().any()
    longer = f"raise {'training.images' if in_images else 'training.epochs'}"
    fall = _last_fall(rows)
    if fall is None:
        return f"{found}; no trial was evaluated twice, which would show whether it still learns. Try: {longer}"
    if fall >= STILL_FALLING:
        over = f"by {100 * fall:.0f}% between the last two evaluations"
        return f"{found}, but the samples still come nearer to the training images ({over}): {longer}"
    change = f"a fall of {100 * fall:.1f}%" if fall >= 0 else f"a rise of {-100 * fall:.1f}%"
    return (
        f"{found}, and the distances to the nearest training images no longer fall ({change} between the last two "
        "evaluations): a longer training would hardly help, lower data.size or take a larger network"
    )


def _last_fall(rows: pd.DataFrame) -> float | None:
    """Return by which share the mean distance fell from the last but one evaluation of each trial to its last."""
    if "knn_distance" not in rows:
        return None
    measured = rows.dropna(subset=["knn_distance"]).sort_values("images_seen", kind="stable")
    by_trial = measured.groupby(["experiment", "trial_id"])["knn_distance"]
    # A trial that was evaluated once says nothing of a change.
    ends = by_trial.agg(count="size", last="last", before=lambda distances: distances.iloc[-2:].iloc[0])
    ends = ends[ends["count"] > 1]
    before = float(ends["before"].sum())
    return None if before <= 0 else 1 - float(ends["last"].sum()) / before
