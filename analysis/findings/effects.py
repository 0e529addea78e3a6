"""Effects of one setting on the ratio, from runs that are equal in all others, with 95% intervals."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.noise import FloatArray, SeedSpread, empirical_log_odds, normal_quantile, seed_spread, setting_keys

LOG_ODDS = "log-odds"
POINTS = "points of the ratio"


@dataclass(frozen=True)
class Effect:
    """One number with its 95% interval."""

    name: str
    value: float
    low: float
    high: float
    unit: str = LOG_ODDS
    comparisons: int = 0
    """Matched settings behind it."""
    runs: int = 0
    points: tuple[float, float, float] | None = None
    """The same effect in points of the ratio (0..100), with its interval, where it is one of log-odds."""

    def __str__(self) -> str:
        if self.unit != LOG_ODDS:
            return f"{self.value:.3g} {self.unit} (95%: {self.low:.3g} to {self.high:.3g})"
        text = f"odds x{_power(self.value)} (95%: {_power(self.low)} to {_power(self.high)})"
        if self.points is not None:
            value, low, high = self.points
            text = f"{value:+.1f} points (95%: {low:+.1f} to {high:+.1f}), {text}"
        return text


def _power(log_odds: float) -> str:
    return f"{math.exp(min(max(log_odds, -20.0), 20.0)):.2g}"


@dataclass(frozen=True)
class Cells:
    """One row per setting: `log_odds`, its `variance`, `ratio` and number of `runs`, beside the settings."""

    frame: pd.DataFrame
    keys: tuple[str, ...]
    spread: SeedSpread

    def where(self, keep: Callable[[pd.DataFrame], Any]) -> "Cells":
        """The cells that a condition keeps; none where its column is absent."""
        try:
            return Cells(self.frame[keep(self.frame)], self.keys, self.spread)
        except KeyError:
            return Cells(self.frame.iloc[:0], self.keys, self.spread)

    def strata(self, moved: Collection[str]) -> Iterator[pd.DataFrame]:
        """Groups of cells that are equal in all settings but `moved` ones."""
        others = [key for key in self.keys if key not in moved]
        if self.frame.empty:
            return
        # `data.labels` = none leaves `data.num_labels` without meaning: the callers name both as moved.
        groups: Iterable[tuple[Any, pd.DataFrame]] = self.frame.groupby(others, dropna=False, sort=True)
        for _, group in groups:
            yield group


def make_cells(runs: pd.DataFrame, spread: SeedSpread | None = None) -> Cells:
    """Average the training seeds of each setting.

    Args:
        runs: a row per finished run, its best evaluation.
        spread: of training seeds; estimated from the runs where not given.
    """
    spread = spread or seed_spread(runs)
    keys = tuple(setting_keys(runs))
    values, variances = empirical_log_odds(runs["memorization_ratio"], runs["num_samples"])
    work = runs[list(keys)].assign(
        log_odds=values, variance=variances, ratio=runs["memorization_ratio"].to_numpy(), runs=1
    )
    if work.empty:
        return Cells(work, keys, spread)
    grouped = work.groupby(list(keys), dropna=False, sort=True)
    cells = grouped.agg(
        log_odds=("log_odds", "mean"), variance=("variance", "mean"), ratio=("ratio", "mean"), runs=("runs", "sum")
    ).reset_index()
    cells["variance"] = (cells["variance"] + spread.log_odds**2) / cells["runs"]
    return Cells(cells, keys, spread)


def pool(values: Iterable[float], variances: Iterable[float]) -> tuple[float, float]:
    """Mean and standard error over settings whose true effects may differ (DerSimonian and Laird 1986)."""
    y, v = np.array(list(values), dtype=float), np.array(list(variances), dtype=float)
    w = 1 / v
    fixed = float((w * y).sum() / w.sum())
    between = 0.0
    if len(y) > 1:
        excess = float((w * (y - fixed) ** 2).sum()) - (len(y) - 1)
        between = max(0.0, excess / float(w.sum() - (w**2).sum() / w.sum()))
    w = 1 / (v + between)
    return float((w * y).sum() / w.sum()), float(1 / math.sqrt(w.sum()))


def contrast(
    cells: Cells,
    moved: Collection[str],
    before: Callable[[pd.DataFrame], Any],
    after: Callable[[pd.DataFrame], Any],
    name: str,
) -> Effect | None:
    """The change from the runs `before` to those `after`, within strata that differ in `moved` settings only.

    Returns:
        None where no stratum has both.
    """
    differences, variances, points, point_variances, runs = [], [], [], [], 0
    for stratum in cells.strata(moved):
        try:
            first, second = stratum[before(stratum)], stratum[after(stratum)]
        except KeyError:
            continue
        if first.empty or second.empty:
            continue
        differences.append(second["log_odds"].mean() - first["log_odds"].mean())
        variances.append(first["variance"].sum() / len(first) ** 2 + second["variance"].sum() / len(second) ** 2)
        points.append(second["ratio"].mean() - first["ratio"].mean())
        point_variances.append(ratio_variance(first) + ratio_variance(second))
        runs += int(first["runs"].sum() + second["runs"].sum())
    if not differences:
        return None
    return pooled_effect(name, differences, variances, points, point_variances, runs)


def trend(
    cells: Cells, key: str, x: Callable[[pd.Series], Any], name: str, also_moved: Collection[str] = ()
) -> Effect | None:
    """The change over the range of a numeric setting: a weighted straight line of log-odds over x(setting).

    One slope, an intercept per stratum of equal other settings; residuals larger than the noise widen the
    interval (Birge's ratio).

    Returns:
        The change from the smallest to the largest x within a stratum (their mean range); None without two values.
    """
    if key not in cells.frame:
        return None
    xx = xy = 0.0
    rows: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    ranges, points, point_variances, runs = [], [], [], 0
    for stratum in cells.strata({key, *also_moved}):
        position = np.asarray(x(stratum[key]), dtype=float)
        known = np.isfinite(position)
        group, position = stratum[known], position[known]
        if len(np.unique(position)) < 2:
            continue
        weight = 1 / group["variance"].to_numpy(dtype=float)
        value = group["log_odds"].to_numpy(dtype=float)
        dx = position - np.average(position, weights=weight)
        dy = value - np.average(value, weights=weight)
        xx += float((weight * dx**2).sum())
        xy += float((weight * dx * dy).sum())
        rows.append((dx, dy, weight))
        ranges.append(np.ptp(position))
        ends = group[position == position.min()], group[position == position.max()]
        points.append(ends[1]["ratio"].mean() - ends[0]["ratio"].mean())
        point_variances.append(ratio_variance(ends[0]) + ratio_variance(ends[1]))
        runs += int(group["runs"].sum())
    if not rows:
        return None
    slope = xy / xx
    degrees = sum(len(dx) - 1 for dx, _, _ in rows) - 1
    residual = sum(float((weight * (dy - slope * dx) ** 2).sum()) for dx, dy, weight in rows)
    birge = math.sqrt(max(1.0, residual / degrees)) if degrees > 0 else 1.0
    length = float(np.mean(ranges))
    return _effect(name, slope * length, birge * length / math.sqrt(xx), points, point_variances, runs)


def ln(column: pd.Series) -> Any:
    """Natural logarithm of a setting; nan where it is no positive number, so that such a cell is left out."""
    numbers = pd.to_numeric(column, errors="coerce")
    return np.log(numbers.where(numbers > 0).astype(float))


def per_unit(effect: Effect, length: float, unit: str) -> Effect:
    """An effect over a range as one per unit of that range."""
    value, low, high = (number / length for number in (effect.value, effect.low, effect.high))
    return Effect(effect.name, value, low, high, unit, effect.comparisons, effect.runs)


def ratio_variance(group: pd.DataFrame) -> float:
    """Variance of the mean ratio of some cells: that of the log-odds times (dp / d log-odds)^2."""
    slope = (1 / (1 + np.exp(-group["log_odds"]))) * (1 / (1 + np.exp(group["log_odds"])))
    return float((group["variance"] * slope**2).sum() / len(group) ** 2)


def pooled_effect(
    name: str,
    differences: Sequence[float],
    variances: Sequence[float],
    points: Sequence[float],
    point_variances: Sequence[float],
    runs: int,
) -> Effect:
    """The effect behind several differences: of log-odds, with their variances, and of ratios, with theirs."""
    value, error = pool(differences, variances)
    return _effect(name, value, error, points, point_variances, runs)


def _effect(
    name: str, value: float, error: float, points: Sequence[float], point_variances: Sequence[float], runs: int
) -> Effect:
    reach = normal_quantile() * error
    mean = 100 * float(np.mean(points))
    # Matched settings differ in their effect in points for real; their spread counts beside the noise.
    noise = math.fsum(point_variances) / len(points) ** 2
    between = float(np.var(points, ddof=1)) / len(points) if len(points) > 1 else 0.0
    width = 100 * normal_quantile() * math.sqrt(max(noise, between))
    in_points = (mean, max(mean - width, -100.0), min(mean + width, 100.0))
    return Effect(name, value, value - reach, value + reach, LOG_ODDS, len(points), runs, in_points)
