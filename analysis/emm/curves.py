"""Tables of (factor value, size, ratio) as the estimators need them: checked and with counts."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from analysis.stats.binomial import FloatArray, empirical_logit

PAPER_SAMPLES = 10_000


@dataclass(frozen=True)
class ValueData:
    """The observations of one factor value, one entry a training, ascending in size.

    Attributes:
        value: of the factor.
        sizes: (N,) images.
        ratios: (N,) in [0, 1].
        num_samples: (N,) samples behind each ratio.
    """

    value: object
    sizes: FloatArray
    ratios: FloatArray
    num_samples: FloatArray


def column_of(table: pd.DataFrame, name: str) -> str:
    """Return a column by its own name, or by the last part of a dotted one: `width` of `model.width`.

    Raises:
        ValueError: several columns end so.
    """
    if name in table.columns:
        return name
    dotted = [column for column in map(str, table.columns) if "." in column and column.rpartition(".")[2] == name]
    if len(dotted) > 1:
        raise ValueError(f"{name} may be {' or '.join(dotted)}: give one of them")
    return dotted[0] if dotted else name


def observations(
    table: pd.DataFrame,
    factor: str,
    size: str = "size",
    ratio: str = "memorization_ratio",
    num_samples: int = PAPER_SAMPLES,
    *,
    seed: str | None = "seed",
) -> list[ValueData]:
    """Split a table by factor value.

    Rows of one value, size and seed are evaluations of the same training and are pooled by their samples;
    rows with other seeds (or without a seed column, all rows) stay separate trainings.

    Args:
        table: one row an evaluation; ratios in [0, 1] (the paper's tables are in percent: divide by 100). Of
            `analysis.load`, give `best(finished(frame))`: half-trained trials would pass for a low ratio.
        factor: column of the factor's values; a table without it has the single value None if factor is "".
        size, ratio: columns of the training set's size and the memorization ratio. Dotted columns may be called by
            their last part, as `width` and `size` here.
        num_samples: samples behind a ratio where the table has no column `num_samples`.
        seed: column of the training seed, used where present.

    Returns:
        one entry for each factor value, in order of appearance.

    Raises:
        ValueError: missing columns, no rows, several evaluations of a trial, or numbers out of range.
    """
    factor, size = column_of(table, factor), column_of(table, size)
    missing = [c for c in (factor, size, ratio) if c and c not in table.columns]
    if missing:
        known = [str(name) for name in table.columns]
        shown = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
        raise ValueError(f"the table lacks the column(s) {', '.join(missing)}; it has {shown}")
    if table.empty:
        raise ValueError("the table holds no rows")
    trial = [name for name in ("experiment", "trial_id") if name in table.columns]
    if "trial_id" in trial and table.duplicated(trial).any():
        raise ValueError("the table holds several evaluations of a trial: give analysis.best(analysis.finished(table))")
    rows = pd.DataFrame(
        {
            "value": table[factor].to_numpy() if factor else np.full(len(table), None, dtype=object),
            "size": _numbers(table, size),
            "ratio": _numbers(table, ratio),
            "n": _numbers(table, "num_samples") if "num_samples" in table else float(num_samples),
            "seed": table[seed].to_numpy() if seed and seed in table else np.arange(len(table)),
        }
    )
    if (rows["size"] < 1).any():
        raise ValueError(f"{size} {rows['size'].min():g} is below 1")
    wrong = rows["ratio"][~rows["ratio"].between(0, 1)]
    if len(wrong):
        raise ValueError(f"{ratio} {wrong.iloc[0]:g} is not in [0, 1]: give a fraction, not percent")
    if (rows["n"] < 1).any():
        raise ValueError(f"num_samples {rows['n'].min():g} is below 1")
    rows["k"] = rows["ratio"] * rows["n"]
    result = []
    for value, group in rows.groupby("value", sort=False, dropna=False):
        pooled = group.groupby(["size", "seed"], dropna=False, sort=True)[["k", "n"]].sum().reset_index()
        k, n = pooled["k"].to_numpy(float), pooled["n"].to_numpy(float)
        result.append(ValueData(value, pooled["size"].to_numpy(float), np.clip(k / n, 0.0, 1.0), n))
    return result


def _numbers(table: pd.DataFrame, column: str) -> FloatArray:
    numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
    wrong = table[column][~np.isfinite(numbers)]
    if len(wrong):
        raise ValueError(f"column {column} holds {wrong.iloc[0]!r}, which is not a number")
    return numbers


def by_size(data: ValueData) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return sizes (M,), pooled ratios and total samples: all trainings of a size together."""
    sizes, index = np.unique(data.sizes, return_inverse=True)
    n = np.bincount(index, data.num_samples)
    k = np.bincount(index, data.ratios * data.num_samples)
    return sizes, k / n, np.asarray(n, float)


def seed_variance(groups: list[ValueData]) -> float:
    """Return the variance of the logit between trainings of a value and size, beyond counting; 0 if unknown."""
    excess, freedom = 0.0, 0
    for data in groups:
        for size in np.unique(data.sizes):
            here = data.sizes == size
            if here.sum() < 2:
                continue
            logits, counting = empirical_logit(data.ratios[here], data.num_samples[here])
            excess += (len(logits) - 1) * float(np.var(logits, ddof=1) - np.mean(counting))
            freedom += len(logits) - 1
    return max(excess / freedom, 0.0) if freedom else 0.0


def non_monotone(
    table: pd.DataFrame, factor: str, confidence: float = 0.95, **columns: str | int | None
) -> pd.DataFrame:
    """Return pairs of neighboring sizes where the ratio rises with the size beyond its noise.

    Hypothesis 2.2 of the paper says that it falls. The noise is counting plus, where trainings are repeated,
    the spread of seeds.

    Args:
        table, factor, columns: as for `observations`.
        confidence: one-sided, that the rise is real.

    Returns:
        a frame with the columns value, size, ratio, next_size, next_ratio, z; empty where all is monotone.
    """
    return rises(observations(table, factor, **columns), confidence)  # type: ignore[arg-type]


def rises(groups: list[ValueData], confidence: float = 0.95) -> pd.DataFrame:
    """Return what `non_monotone` does, of observations."""
    spread = seed_variance(groups)
    rows = []
    for data in groups:
        sizes, ratios, n = by_size(data)
        trainings = np.array([(data.sizes == s).sum() for s in sizes])
        logits, counting = empirical_logit(ratios, n)
        variance = counting + spread / trainings
        z = np.diff(logits) / np.sqrt(variance[1:] + variance[:-1])
        for i in np.flatnonzero(z > special.ndtri(confidence)):
            rows.append((data.value, sizes[i], ratios[i], sizes[i + 1], ratios[i + 1], float(z[i])))
    return pd.DataFrame(rows, columns=["value", "size", "ratio", "next_size", "next_ratio", "z"])
