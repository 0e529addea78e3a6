"""When a model starts to memorize: the first epoch at which its ratio passes a level, and how that grows with |D|.

Later work on implicit dynamical regularization (Bonnaire et al., 2025) finds that the time to memorize, counted in
optimization steps, grows in proportion to |D|: a slope of 1 of images seen over |D| in log-log, 0 of epochs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.results.schema import experiment_keys
from analysis.runs.groups import Group
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError

Clock = Literal["epoch", "images_seen"]
DRAWS = 4000
"""Of all times, for the interval of a slope; the seed is fixed."""


def memorization_times(runs: Runs, level: float = 0.5, clock: Clock = "epoch") -> pd.DataFrame:
    """The first time at which each trial's ratio passes a level.

    Args:
        runs: of one sweep or several.
        level: memorization ratio in (0, 1).
        clock: `epoch` or `images_seen`.

    Returns:
        A row a trial, by size: `experiment`, `trial_id`, the dotted keys, `time`, `low`, `high` and `kind`.
        `passed`: `time` is interpolated linearly between the evaluations `low` and `high`. `first`: the first
        evaluation already passes, so `time` = `high` is an upper bound. `never`: `time` = `low`, the last
        evaluation, is a lower bound.

    Raises:
        MemosweepError: a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise MemosweepError(f"a level of {level:g} is not a memorization ratio between 0 and 1, such as 0.5")
    frame = runs.counted.evaluations
    usable = frame.dropna(subset=["memorization_ratio", clock])
    ident = ["experiment", "trial_id"]
    ordered = usable.sort_values([*ident, clock], kind="stable")
    trials = ordered.drop_duplicates(ident)[[*ident, *experiment_keys(frame)]].reset_index(drop=True)
    found = [
        _first_passage(part[clock].to_numpy(dtype=float), part["memorization_ratio"].to_numpy(dtype=float), level)
        for _, part in ordered[[*ident, clock, "memorization_ratio"]].groupby(ident, sort=True)
    ]
    passages = pd.DataFrame(found, columns=["time", "low", "high", "kind"])
    return pd.concat([trials, passages], axis=1).sort_values("data.size", kind="stable", ignore_index=True)


def _first_passage(times: NDArray[np.float64], ratios: NDArray[np.float64], level: float) -> dict[str, float | str]:
    passing = np.flatnonzero(ratios >= level)
    if not len(passing):
        return {"time": times[-1], "low": times[-1], "high": np.inf, "kind": "never"}
    first = int(passing[0])
    if first == 0:
        return {"time": times[0], "low": 0.0, "high": times[0], "kind": "first"}
    share = (level - ratios[first - 1]) / (ratios[first] - ratios[first - 1])
    time = times[first - 1] + share * (times[first] - times[first - 1])
    return {"time": time, "low": times[first - 1], "high": times[first], "kind": "passed"}


@dataclass(frozen=True)
class Scaling:
    """time = prefactor x |D|^slope, fitted by least squares in log-log."""

    slope: float
    low: float
    """95% interval of the slope; infinite for two points."""
    high: float
    intercept: float
    """ln of the prefactor."""
    trials: int
    """Fitted trials."""
    censored: int
    """Trials left out since they never passed, or had passed at their first evaluation: with many of them at the
    large sizes the slope is too small."""


def time_scaling(times: pd.DataFrame) -> Scaling:
    """The log-log slope of memorization time over |D|.

    The interval holds two kinds of uncertainty: a time is known only to lie between two evaluations, so times are
    resampled within these brackets (evenly in the logarithm), and trials scatter around the line, so each draw adds
    Student's deviation of its own fit. The deviations from the median of the draws are laid around the fitted slope.

    Args:
        times: of `memorization_times`, trials that differ in |D| and seeds only.

    Raises:
        MemosweepError: fewer than two sizes have a trial that passed between two evaluations.
    """
    passed = times[times["kind"] == "passed"]
    if passed["data.size"].nunique() < 2:
        raise MemosweepError("a scaling needs two sizes whose ratio passes the level between two evaluations")
    x, y = np.log(passed["data.size"].to_numpy(dtype=float)), np.log(passed["time"].to_numpy(dtype=float))
    centered = x - x.mean()
    slope = float(centered @ y / (centered @ centered))
    intercept = float(y.mean() - slope * x.mean())
    low, high = (slope + half for half in (-np.inf, np.inf))
    if len(x) > 2:
        slopes = _drawn_slopes(centered, np.log(passed[["low", "high"]].to_numpy(dtype=float)))
        # Brackets lie unevenly around the interpolated times: only the draws' deviations are taken from them.
        below, middle, above = (float(end) for end in np.quantile(slopes, [0.025, 0.5, 0.975]))
        low, high = slope - (middle - below), slope + (above - middle)
    return Scaling(slope, low, high, intercept, len(x), len(times) - len(x))


def _drawn_slopes(centered: NDArray[np.float64], brackets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slopes (DRAWS,) of times drawn within brackets (n, 2), both logarithms, with the scatter of each fit."""
    random = np.random.default_rng(0)
    y = random.uniform(brackets[:, 0], brackets[:, 1], (DRAWS, len(brackets)))
    square = centered @ centered
    slopes = y @ centered / square
    residuals = y - y.mean(axis=1, keepdims=True) - slopes[:, None] * centered
    degrees = len(brackets) - 2
    errors = np.sqrt((residuals**2).sum(axis=1) / degrees / square)
    return np.asarray(slopes + errors * random.standard_t(degrees, DRAWS), dtype=float)


def scaling_groups(runs: Runs, level: float = 0.5) -> list[Group]:
    """Return the groups over |D| in which two sizes pass a level between two evaluations."""

    def scales(group: Group) -> bool:
        times = memorization_times(group.runs, level)
        return len(times.loc[times["kind"] == "passed", "data.size"].unique()) > 1

    return [group for group in runs.groups("data.size", within=()) if scales(group)]


def predicted(scaling: Scaling, sizes: Sequence[float]) -> list[float]:
    """The fitted time at each |D|."""
    return [float(np.exp(scaling.intercept + scaling.slope * np.log(size))) for size in sizes]
