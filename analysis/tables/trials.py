"""Trials and their best ratios: each one, by what varies, and how they replicate their training sets."""

from analysis.inference.replication import replication_frame
from analysis.runs.factors import size_text
from analysis.runs.final import best, is_lower_bound
from analysis.runs.groups import summary
from analysis.runs.labels import distinguishing_keys, independent_keys
from analysis.runs.runs import Runs
from analysis.tables.table import RATIO, Column, Table, at_least, duration

STOPPED = "stopped early above the target"
"""The status of trials whose ratios are lower bounds of the final ones."""
NOTE = "Each trial at its best evaluation, the paper's number of a run; the interval is Wilson's, of the samples."
IDENT = ["experiment", "trial_id"]


def trials_table(runs: Runs) -> Table:
    """Return a row per trial at its best evaluation, with its interval, whether finished or not."""
    frame, varied = runs.evaluations, runs.varied
    top = best(frame)
    ended = runs.is_finished.groupby([frame[name] for name in IDENT]).last()
    totals = frame.groupby(IDENT)[["images_seen", "seconds"]].max()
    follows = set(varied) - set(independent_keys(top[varied]))
    several = len(frame["experiment"].unique()) > 1
    has_fid = "fid" in frame and bool(frame["fid"].notna().any())
    kinds = [
        *Column.texts(*(["Experiment"] if several else []), "Trial", "Status"),
        *Column.with_interval(RATIO, ".2f"),
        *(Column.setting(key, screen_only=key in follows) for key in varied),
        Column.formatted("kNN distance", ".4g"),
        *([Column.formatted("FID", ".4g")] if has_fid else []),
        Column.numbers("Best epoch", 5),
        Column.numbers("Images seen", 5),
        Column.formatted("Minutes", ".3g"),
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


def best_table(runs: Runs) -> Table:
    """Return a row per combination of varied settings, a column per |D|; ratios in percent, means over seeds.

    The note states the cost of all trials.
    """
    keys = [key for key in _distinguishing(runs) if key != "data.size"]
    data = summary(runs, [*keys, "data.size"])
    sizes = sorted(set(data["data.size"]))
    rows = []
    groups = data.groupby(keys, sort=True, dropna=False) if keys else [((), data)]
    for values, part in groups:
        ratios = {row["data.size"]: at_least(row["value"], bool(row["reached"])) for _, row in part.iterrows()}
        rows.append([*values, *(ratios.get(size) for size in sizes)])
    kinds = [*map(Column.setting, keys), *(Column.ratio(f"|D| = {size_text(int(size))}") for size in sizes)]
    return Table("best", "Best memorization ratio (%)", kinds, rows, [_cost(runs)])


def factor_table(runs: Runs) -> Table:
    """Return a row per experiment: its settings, best ratio, 95% interval, trials, and the last epoch of a best.

    Each row says what its interval is of: the samples of a single trial, or the samples and seeds of several.
    """
    keys = _distinguishing(runs) or ["data.size"]
    data = summary(runs, keys)
    epochs = runs.best.groupby(keys, dropna=False, sort=True)["epoch"].max().to_numpy()
    rows = [
        [
            *(row[key] for key in keys),
            at_least(row["value"], bool(row["reached"])),
            row["low"],
            None if row["reached"] else row["high"],  # the end of a lower bound's interval is open
            "samples" if row["trials"] == 1 else "samples and seeds",
            int(row["trials"]),
            float(epoch),
        ]
        for (_, row), epoch in zip(data.iterrows(), epochs, strict=True)
    ]
    kinds = [
        *map(Column.setting, keys),
        *Column.with_interval(RATIO, ".2f"),
        Column("Interval of"),
        Column("Trials"),
        Column.formatted("Best epoch", "g"),
    ]
    title = "Best memorization ratio (%) with its 95% interval"
    return Table("factor", title, kinds, rows, [_cost(runs)])


def _distinguishing(runs: Runs) -> list[str]:
    """What tells experiments apart: the settings that vary, seeds and how ratios are measured aside."""
    varied = runs.counted.varied_settings
    chosen = distinguishing_keys(runs.best[varied])
    return [key for key in varied if key in chosen]


def _cost(results: Runs) -> str:
    """What was run and what it cost, all trials together: the numbers at the head of a report."""
    frame = results.evaluations
    runs = frame.drop_duplicates(["experiment", "trial_id"])
    counts = runs["status"].value_counts()
    status = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    images = int(runs["cost_images"].fillna(0).sum())
    hours = frame.groupby(["experiment", "trial_id"])["seconds"].max().sum() / 3600
    finished = int(results.is_finished[runs.index].sum())
    return (
        f"{finished:,} of {len(runs):,} trials finished ({status}), {images:,} training images, "
        f"{duration(hours)} of trials"
    )


REPLICATION_COLUMNS = {
    "experiment": Column("Experiment"),
    "trial_id": Column("Trial"),
    "memorization_ratio": Column.numbers("Ratio (%)"),
    "calibrated_ratio": Column.numbers("Calibrated ratio (%)"),
    "replicas": Column.numbers("Replicas"),
    "coverage": Column.numbers("Coverage (%)"),
    "coverage_if_uniform": Column.numbers("If at random (%)"),
    "gini": Column.numbers("Gini"),
    "top_10_percent": Column.numbers("Top 10% hold (%)"),
    "most_replicas": Column.numbers("Most of one image"),
    "near_duplicates": Column.numbers("Near-duplicates"),
}
"""The frame's columns that are no settings."""
REPLICATION_NOTE = (
    "At each trial's best evaluation. Coverage: the share of the training images that were replicated at least once, "
    "beside what as many replicas would reach at random. Gini: 0 where all images are replicated equally often, near 1 "
    "where a few hold all replicas; beside it the share of replicas that the most replicated 10% of the images hold. "
    "Calibrated ratio: samples whose distance is below half of the mean to their nearest neighbors (Carlini et al. "
    "2023). Near-duplicates: training images with a near copy among the others, which blind the 1/3 rule."
)


def replication_table(runs: Runs) -> Table:
    """Return a row per trial that measured or left any of it."""
    title = "Coverage and concentration of replicas"
    return Table.of_frame("replication", title, replication_frame(runs), REPLICATION_COLUMNS, [REPLICATION_NOTE])
