"""The best ratios of a table in few lines: by what moves, a column per |D|."""

import pandas as pd

from analysis.runs.factors import factor, ratio_text, size_text, value_text
from analysis.runs.final import best, is_finished
from analysis.runs.groups import summary
from analysis.runs.labels import distinguishing_keys
from analysis.runs.settings import setting_keys, varied_keys
from analysis.tables.render import Grid


def naming_keys(frame: pd.DataFrame) -> list[str]:
    """What tells experiments apart: the keys that move, seeds and measuring aside."""
    return varied_keys(frame, setting_keys(frame))


def best_grid(frame: pd.DataFrame, marked: bool = True, run: pd.DataFrame | None = None) -> Grid:
    """A row per combination of moved keys, a column per |D|; cells are best ratios in percent, means over seeds.

    Args:
        frame: of `analysis.load`, trials with a final ratio.
        marked: write `>=` before ratios that are lower bounds, as a trial was stopped on reaching its target; a table
            for machines has numbers alone.
        run: all trials, whose cost the notes tell; `frame` where not given.
    """
    runs, named = best(frame), naming_keys(frame)
    keys = [key for key in distinguishing_keys(runs[named]) if key != "data.size"]
    keys = [key for key in named if key in keys]
    data = summary(frame, [*keys, "data.size"])
    sizes = sorted(set(data["data.size"]))
    rows = []
    groups = data.groupby(keys, sort=True, dropna=False) if keys else [((), data)]
    for values, part in groups:
        cells = {row["data.size"]: _ratio(row, marked) for _, row in part.iterrows()}
        texts = [value_text(key, value) for key, value in zip(keys, values, strict=True)]
        rows.append([*texts, *(cells.get(size, "") for size in sizes)])
    header = [*(factor(key).title for key in keys), *(f"|D| = {size_text(int(size))}" for size in sizes)]
    return Grid("Best memorization ratio (%)", header, rows, _notes(frame if run is None else run))


def factor_grid(frame: pd.DataFrame, marked: bool = True, run: pd.DataFrame | None = None) -> Grid:
    """A row per experiment: its keys, best ratio, 95% interval, trials, and the epoch of the best (the last such).

    Args:
        frame, run: as for `best_grid`.
        marked: write `>=` before ratios that are lower bounds; otherwise the column `reached` counts the trials behind
            a ratio that were stopped on reaching their target, where there are any.
    """
    named = naming_keys(frame)
    chosen = distinguishing_keys(best(frame)[named])
    keys = [key for key in named if key in chosen] or ["data.size"]
    data = summary(frame, keys)
    epochs = best(frame).groupby(keys, dropna=False, sort=True)["epoch"].max().to_numpy()
    counted = not marked and bool(data["reached"].any())
    rows = [
        [
            *(value_text(key, row[key]) for key in keys),
            _ratio(row, marked),
            f"{row['low']:.2f}",
            "" if row["reached"] else f"{row['high']:.2f}",
            str(row["trials"]),
            f"{epoch:g}",
            *([str(row["reached"])] if counted else []),
        ]
        for (_, row), epoch in zip(data.iterrows(), epochs, strict=True)
    ]
    header = [*(factor(key).title for key in keys), "ratio %", "low", "high", "trials", "best epoch"]
    header += ["reached"] if counted else []
    return Grid(
        "Best memorization ratio (%) with its 95% interval", header, rows, _notes(frame if run is None else run)
    )


def _ratio(row: pd.Series, marked: bool) -> str:
    return ratio_text(row["value"], marked and bool(row["reached"]))


def _notes(frame: pd.DataFrame) -> list[str]:
    """What was run and what it cost, all trials together: the numbers at the head of a report."""
    runs = frame.drop_duplicates(["experiment", "trial_id"])
    counts = runs["status"].value_counts()
    status = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    images = int(runs["cost_images"].fillna(0).sum())
    hours = frame.groupby(["experiment", "trial_id"])["seconds"].max().sum() / 3600
    finished = int(is_finished(frame)[runs.index].sum())
    return [
        f"{finished:,} of {len(runs):,} trials finished ({status}), {images:,} training images, {hours:.2f} trial hours"
    ]
