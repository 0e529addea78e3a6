"""The best ratios of some sweeps in few lines: by what varies."""

from analysis.runs.factors import size_text
from analysis.runs.groups import summary
from analysis.runs.labels import distinguishing_keys
from analysis.runs.runs import Runs
from analysis.tables import columns
from analysis.tables.table import Column, Table


def best_table(runs: Runs) -> Table:
    """Return a row per combination of varied settings, a column per |D|; ratios in percent, means over seeds.

    Args:
        runs: of one sweep or several; the note states the cost of all trials.
    """
    keys = [key for key in _distinguishing(runs) if key != "data.size"]
    data = summary(runs, [*keys, "data.size"])
    sizes = sorted(set(data["data.size"]))
    rows = []
    groups = data.groupby(keys, sort=True, dropna=False) if keys else [((), data)]
    for values, part in groups:
        ratios = {row["data.size"]: columns.at_least(row["value"], bool(row["reached"])) for _, row in part.iterrows()}
        rows.append([*values, *(ratios.get(size) for size in sizes)])
    kinds = [*map(columns.setting, keys), *(columns.ratio(f"|D| = {size_text(int(size))}") for size in sizes)]
    return Table("best", "Best memorization ratio (%)", kinds, rows, [_cost(runs)])


def factor_table(runs: Runs) -> Table:
    """Return a row per experiment: its settings, best ratio, 95% interval, trials, and the last epoch of a best.

    Args:
        runs: of one sweep or several.
    """
    keys = _distinguishing(runs) or ["data.size"]
    data = summary(runs, keys)
    epochs = runs.best.groupby(keys, dropna=False, sort=True)["epoch"].max().to_numpy()
    rows = [
        [
            *(row[key] for key in keys),
            columns.at_least(row["value"], bool(row["reached"])),
            row["low"],
            None if row["reached"] else row["high"],  # the end of a lower bound's interval is open
            int(row["trials"]),
            float(epoch),
        ]
        for (_, row), epoch in zip(data.iterrows(), epochs, strict=True)
    ]
    kinds = [
        *map(columns.setting, keys),
        columns.ratio(),
        columns.ratio(columns.LOW),
        columns.ratio(columns.HIGH),
        Column("Trials"),
        columns.formatted("Best epoch", "g"),
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
        f"{finished:,} of {len(runs):,} trials finished ({status}), {images:,} training images, {hours:.2f} trial hours"
    )
