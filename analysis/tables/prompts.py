"""Which prompts of fine-tuned pipelines give replicas, and of which training images."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.results.samples import best_samples
from analysis.runs.labels import names
from analysis.runs.runs import Runs
from analysis.stats.binomial import wilson_interval
from analysis.tables.table import RATIO, Column, Table
from memo_core.errors import MemosweepError

MAX_IMAGES = 3
"""Replicated training images that are named."""
NOTE = "Each trial at its best evaluation; the interval is Wilson's, of the samples of that prompt."


def prompts_table(runs: Runs) -> Table:
    """Return a row per trial and prompt, the prompts with the most replicas first.

    Raises:
        MemosweepError: no trial left samples with prompts.
    """
    rows = [row for trial in _trials(runs) for row in trial]
    if not rows:
        raise MemosweepError("no trial left samples with prompts: --table prompts is for fine-tuned pipelines")
    return _table(rows, [NOTE])


def prompts_tables(runs: Runs, limit: int = 20) -> list[Table]:
    """Return the table where prompts differ within a trial, with the first `limit` of each trial; else none."""
    trials = list(_trials(runs)) if "text.prompt" in runs.best else []
    if not any(len(trial) > 1 for trial in trials):
        return []
    cut = any(len(trial) > limit for trial in trials)
    rows = [row for trial in trials for row in trial[:limit]]
    return [_table(rows, [NOTE, *([f"The {limit} prompts of each trial with the most replicas."] if cut else [])])]


def _table(rows: list[list[Any]], notes: list[str]) -> Table:
    kinds = [
        *Column.texts("Trial", "Prompt"),
        Column.numbers("Samples"),
        Column.numbers("Replicas"),
        *Column.with_interval(RATIO, ".2f"),
        *Column.texts("Most replicated training images"),
    ]
    return Table("prompts", "Replicas by prompt", kinds, rows, notes)


def _trials(runs: Runs) -> Iterator[list[list[Any]]]:
    """The rows of each trial."""
    best = runs.best
    keys = [key for key in runs.varied if not key.startswith("evaluation.")]
    titles = names(best[keys]) if keys else [""] * len(best)
    for title, (_, run) in zip(titles, best.iterrows(), strict=True):
        samples = best_samples(run["folder"])
        if samples is None or "prompts" not in samples:
            continue
        yield sorted(_rows_of_trial(str(title), samples), key=lambda row: (-row[3], row[1]))


def _rows_of_trial(title: str, samples: Mapping[str, NDArray[np.generic]]) -> Iterator[list[Any]]:
    memorized = samples["memorized"].astype(bool)
    for number, prompt in enumerate(samples["prompts"]):
        own = samples["prompt_index"] == number
        if not own.any():
            continue
        count, replicas = int(own.sum()), int((memorized & own).sum())
        low, high = wilson_interval(replicas, count)
        ratios = [100 * replicas / count, 100 * float(low), 100 * float(high)]
        yield [title, str(prompt), count, replicas, *ratios, _images(samples, memorized & own)]


def _images(samples: Mapping[str, NDArray[np.generic]], chosen: NDArray[np.bool_]) -> str:
    """Return the names of the most replicated training images, each with how often it is."""
    indices, counts = np.unique(samples["nearest_index"][chosen], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = [f"{samples['training_names'][indices[place]]} ({counts[place]:,})" for place in order[:MAX_IMAGES]]
    more = len(order) - len(shown)
    return ", ".join([*shown, *([f"and {more:,} more"] if more else [])])
