"""Fair comparisons inside a pooled table: trials that differ in one factor, and in nothing else that matters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.tables import best, experiment_keys
from analysis.telling import MOST
from analysis.vocabulary import TIED, value_label

REPEATS = ("seed", "data.seed")
"""Keys that repeat an experiment; results are averaged over them."""
_NO_EFFECT = ("evaluation.",)
"""Sections that say how an experiment is measured, not what it is."""
_BUDGET = ("training.images", "training.epochs")
"""How long a trial trains: a setting of a study, not a factor."""


@dataclass(frozen=True)
class Panel:
    """Trials that differ in `key`, in |D| and in seeds only."""

    key: str
    fixed: dict[str, Any]
    """What tells this panel from the others of the same key; empty where there is one."""
    frame: pd.DataFrame

    @property
    def title(self) -> str:
        """What is fixed, such as `Width = 256`, missing values aside; empty where there is one panel."""
        told = [value_label(key, value) for key, value in self.fixed.items() if not pd.isna(value)]
        return ", ".join([*told[:MOST], *(["..."] if len(told) > MOST else [])])


def panels(frame: pd.DataFrame, key: str, within: Sequence[str] = ("data.size",), least: int = 2) -> list[Panel]:
    """Split trials into panels in which only `key` and `within` differ.

    Args:
        frame: of `analysis.load`; several sweeps may be pooled.
        key: the factor, a dotted key.
        within: further keys that may differ inside a panel.
        least: how many values of `key` a panel must have.

    Returns:
        Panels, the one with most (value, `within`) cells first, so that a sweep's own trials come before the
        single ones that other sweeps contribute.
    """
    if key not in frame.columns:
        return []
    free = {key, *within, *REPEATS, *TIED.get(key, ())}
    split = [
        name
        for name in experiment_keys(frame)
        if name not in free and not name.startswith(_NO_EFFECT) and _moves(frame, name)
    ]
    groups = list(frame.groupby(split, dropna=False, sort=True)) if split else [((), frame)]
    wide = [(values, part) for values, part in groups if part[key].nunique(dropna=False) >= least]
    telling = [index for index in range(len(split)) if len({str(values[index]) for values, _ in wide}) > 1]
    found = [
        Panel(key, {split[index]: values[index] for index in telling}, part.reset_index(drop=True))
        for values, part in wide
    ]
    cells = [key, *(name for name in within if name in frame.columns)]
    return sorted(found, key=lambda panel: -len(panel.frame[cells].drop_duplicates()))


def studied_keys(frame: pd.DataFrame) -> list[str]:
    """The factors that a pooled table can speak about: keys with a panel of two values, |D| and seeds aside."""
    moved = [name for name in experiment_keys(frame) if name not in {*REPEATS, "data.size"} and _moves(frame, name)]
    tied = {name for key in moved for name in TIED.get(key, ())}
    free = [name for name in moved if name not in tied and not name.startswith((*_NO_EFFECT, *_BUDGET))]
    # A key that only ever moves with another one, such as the learning rate with the batch size, has no panel.
    return [name for name in dict.fromkeys([*free, *(key for key in moved if key in tied)]) if panels(frame, name)]


def summary(frame: pd.DataFrame, keys: Sequence[str], metric: str = "memorization_ratio") -> pd.DataFrame:
    """The number of each experiment: the best evaluation of its trials, averaged over seeds.

    Args:
        frame: of `analysis.load`, usually one panel.
        keys: what tells experiments apart.
        metric: see `analysis.best`.

    Returns:
        `keys`, `value`, `low`, `high` (95%; ratios in percent) and `trials`, sorted by `keys`. The interval of a
        ratio is the sampling interval that the trials report, with several seeds the widest that theirs span.
        FID and kNN distance come without one: theirs is Student's over seeds, missing for a single seed.
    """
    runs = best(frame, metric)
    grouped = runs.groupby(list(keys), dropna=False, sort=True)
    if metric == "memorization_ratio":
        data = grouped.agg(
            value=(metric, "mean"),
            low=(f"{metric}_low", "min"),
            high=(f"{metric}_high", "max"),
            trials=(metric, "size"),
        ).reset_index()
        return data.assign(**{name: 100 * data[name] for name in ("value", "low", "high")})
    data = grouped.agg(value=(metric, "mean"), spread=(metric, "sem"), trials=(metric, "size")).reset_index()
    half = data["spread"] * [_student(int(trials)) for trials in data["trials"]]
    return data.assign(low=data["value"] - half, high=data["value"] + half)[[*keys, "value", "low", "high", "trials"]]


def _moves(frame: pd.DataFrame, name: str) -> bool:
    return len(frame[name].unique()) > 1


def _student(trials: int) -> float:
    """Half-width of a 95% interval of a mean, in standard errors."""
    if trials < 2:
        return float("nan")
    from scipy import stats  # noqa: PLC0415 (a second to import, and single seeds need it not)

    return float(stats.t.ppf(0.975, trials - 1))
