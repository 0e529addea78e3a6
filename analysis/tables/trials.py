"""Every trial at its best evaluation."""

from analysis.runs.final import best, is_lower_bound
from analysis.runs.labels import independent_keys
from analysis.runs.runs import Runs
from analysis.tables import columns
from analysis.tables.table import Table

STOPPED = "stopped early above the target"
"""The status of trials whose ratios are lower bounds of the final ones."""
NOTE = "Each trial at its best evaluation, the paper's number of a run; the interval is Wilson's, of the samples."
IDENT = ["experiment", "trial_id"]


def trials_table(runs: Runs) -> Table:
    """Return a row per trial at its best evaluation, with its interval, whether finished or not.

    Args:
        runs: of one sweep or several.
    """
    frame, varied = runs.evaluations, runs.varied
    top = best(frame)
    ended = runs.is_finished.groupby([frame[name] for name in IDENT]).last()
    totals = frame.groupby(IDENT)[["images_seen", "seconds"]].max()
    follows = set(varied) - set(independent_keys(top[varied]))
    several = len(frame["experiment"].unique()) > 1
    has_fid = "fid" in frame and bool(frame["fid"].notna().any())
    kinds = [
        *columns.texts(*(["Experiment"] if several else []), "Trial", "Status"),
        *columns.with_interval(columns.RATIO, ".2f"),
        *(columns.setting(key, screen_only=key in follows) for key in varied),
        columns.formatted("kNN distance", ".4g"),
        *([columns.formatted("FID", ".4g")] if has_fid else []),
        columns.numbers("Best epoch", 5),
        columns.numbers("Images seen", 5),
        columns.formatted("Minutes", ".3g"),
    ]
    rows = []
    for _, run in top.iterrows():
        ident = tuple(run[name] for name in IDENT)
        status = str(run["status"]) if "status" in run else ("finished" if ended[ident] else "unfinished")
        rows.append(
            [
                *(ident if several else ident[1:]),
                STOPPED if is_lower_bound(run) else status,
                *(100 * run[f"memorization_ratio{end}"] for end in ("", "_low", "_high")),
                *(run[key] for key in varied),
                run["knn_distance"],
                *([run["fid"]] if has_fid else []),
                run["epoch"],
                totals.loc[ident, "images_seen"],
                totals.loc[ident, "seconds"] / 60,
            ]
        )
    return Table("trials", "Trials", kinds, rows, [NOTE])
