"""Which training images are replicated, and how unevenly, from the samples that trials leave behind."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.results.samples import best_samples
from analysis.runs.labels import independent_keys
from analysis.runs.runs import Runs

COLUMNS = (
    *("memorization_ratio", "calibrated_ratio", "replicas", "coverage", "coverage_if_uniform", "gini"),
    *("top_10_percent", "most_replicas", "near_duplicates"),
)
"""Of `replication_frame`, identity and settings aside."""
MEASURES = ("calibrated_ratio", "replicas", "coverage", "gini", "near_duplicates")
"""Of which a trial must have one to be listed."""
PERCENT = ("memorization_ratio", "calibrated_ratio", "coverage", "coverage_if_uniform", "top_10_percent")


@dataclass(frozen=True)
class Concentration:
    """How replicas spread over a training set of m images.

    Attributes:
        replicas: memorized samples.
        coverage: share of the training images that were replicated at least once, in [0, 1].
        coverage_if_uniform: what it would be on average, had as many replicas fallen on images at random.
        gini: Gini coefficient over all m images: 0 where all are replicated equally often, (m - 1) / m where one
            holds all; replicas at random have a positive one too. NaN without replicas.
        top_1_percent, top_10_percent: share of the replicas that the most replicated 1% and 10% of the images
            (rounded up) hold. NaN without replicas.
        most_replicas: of a single image.
    """

    replicas: int
    coverage: float
    coverage_if_uniform: float
    gini: float
    top_1_percent: float
    top_10_percent: float
    most_replicas: int


COVERAGE_COLUMNS = ("samples", *(field.name for field in fields(Concentration)))


def replica_counts(samples: Mapping[str, NDArray[np.generic]], training_size: int) -> NDArray[np.int64]:
    """Return how often each training image was replicated.

    Args:
        samples: of `best_samples`: `memorized` (N,) and `nearest_index` (N,).
        training_size: |D|.

    Returns:
        (m,) counts, by the image's place in the training set.

    Raises:
        ValueError: an index beyond the training set.
    """
    indices = np.asarray(samples["nearest_index"])[np.asarray(samples["memorized"], dtype=bool)].astype(np.int64)
    if len(indices) and indices.max() >= training_size:
        raise ValueError(f"nearest_index {indices.max()} lies beyond {training_size} training images")
    return np.bincount(indices, minlength=training_size)


def concentration(counts: NDArray[np.int64]) -> Concentration:
    """Return the numbers of `Concentration` from replicas per training image (m,)."""
    size, replicas = len(counts), int(counts.sum())
    ordered = np.sort(counts)[::-1].astype(float)

    def top(share: float) -> float:
        return float(ordered[: math.ceil(share * size)].sum() / replicas) if replicas else math.nan

    ranks = np.arange(size, 0, -1)
    gini = float(((2 * ranks - size - 1) * ordered).sum() / (size * replicas)) if replicas else math.nan
    uniform = 1 - (1 - 1 / size) ** replicas
    return Concentration(
        replicas, float((counts > 0).mean()), uniform, gini, top(0.01), top(0.1), int(counts.max(initial=0))
    )


def coverage_table(runs: Runs) -> pd.DataFrame:
    """Return the concentration of the replicas of each trial's best evaluation.

    Args:
        runs: of one sweep or several.

    Returns:
        A row per trial that kept its samples: its row of `analysis.best` with `COVERAGE_COLUMNS` (see
        `Concentration`; a column `coverage` that the trial itself reported is replaced). Trials whose newest
        checkpoints hold no samples, or samples of another training set, are left out.
    """
    best = runs.best
    found = {}
    for label, row in best.iterrows():
        samples = best_samples(row["folder"])
        if samples is None or pd.isna(row["data.size"]):
            continue
        try:
            numbers = concentration(replica_counts(samples, int(row["data.size"])))
        except ValueError:
            continue
        found[label] = {"samples": len(samples["memorized"]), **vars(numbers)}
    table = best.loc[list(found)].reset_index(drop=True).drop(columns=["coverage"], errors="ignore")
    return pd.concat([table, pd.DataFrame(found.values(), columns=list(COVERAGE_COLUMNS))], axis=1)


def replication_frame(runs: Runs) -> pd.DataFrame:
    """Return how each trial replicates its training set.

    Args:
        runs: of one sweep or several.

    Returns:
        A row a trial that reported or left any of `MEASURES`: `trial_id` (and `experiment`, of several), the
        settings that vary, and the columns of `COLUMNS` that any trial has; shares in percent, `gini` in 0..1, counts.
    """
    rows = runs.best
    ident = ["experiment", "trial_id"]
    left = coverage_table(runs).set_index(ident)
    measured = [name for name in COLUMNS if name in left.columns and name not in rows.columns]
    rows = rows.join(left[measured].astype(float), on=ident)
    if "coverage" in left and "coverage" in rows.columns:  # reported, or else counted from the samples left behind
        counted = rows[ident].join(left["coverage"].rename("counted").astype(float), on=ident)["counted"]
        rows = rows.assign(coverage=pd.to_numeric(rows["coverage"]).fillna(counted))
    known = [name for name in COLUMNS if name in rows.columns and rows[name].notna().any()]
    kept = [name for name in MEASURES if name in known]
    rows = rows[rows[kept].notna().any(axis=1)] if kept else rows.iloc[:0]
    keys = independent_keys(runs.best[runs.counted.varied_settings]) or ["data.size"]
    first = [name for name in ident if name != "experiment" or len(rows[name].unique()) > 1]
    data = rows[[*first, *keys, *known]].reset_index(drop=True)
    return data.assign(**{name: 100 * pd.to_numeric(data[name]) for name in data.columns if name in PERCENT})


def most_replicated(counts: NDArray[np.int64], most: int = 10) -> pd.DataFrame:
    """Return the training images that are replicated most.

    Args:
        counts: of `replica_counts`.
        most: rows at most.

    Returns:
        `index` (place in the training set), `replicas` and `share` of all replicas (0..1), most replicated first;
        never replicated images are left out.
    """
    order = np.argsort(-counts, kind="stable")[:most]
    order = order[counts[order] > 0]
    return pd.DataFrame({"index": order, "replicas": counts[order], "share": counts[order] / max(1, counts.sum())})
