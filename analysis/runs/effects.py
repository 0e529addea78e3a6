"""Effects of one setting on the ratio, from runs that are equal in all others, with 95% intervals."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.runs.factors import DEPENDENT
from analysis.runs.groups import has_own_dependent
from analysis.runs.seeds import SeedSpread, seed_spread
from analysis.runs.settings import setting_keys, varies
from analysis.stats.binomial import FloatArray, empirical_logit
from analysis.stats.regression import mean_effect, weighted_least_squares
from analysis.stats.significance import normal_quantile

IntArray = NDArray[np.intp]
Values = Sequence[float] | FloatArray | pd.Series

LOGIT = "logits"


@dataclass(frozen=True)
class Effect:
    """One number with its 95% interval."""

    name: str
    value: float
    low: float
    high: float
    unit: str = LOGIT
    comparisons: int = 0
    """Matched settings behind it."""
    runs: int = 0
    points: tuple[float, float, float] | None = None
    """The same effect in points of the ratio (0..100), with its interval, where it is one of logits."""
    saturated: int = 0
    """Further matched settings whose ratios are all 0% or all 100%: they say nothing of the effect and are left out."""

    def __str__(self) -> str:
        if self.unit != LOGIT:
            unit = self.unit if self.unit == "%" else f" {self.unit}"
            return f"{self.value:.3g}{unit} (95%: {self.low:.3g} to {self.high:.3g})"
        # The interval and the p-value are those of the logit: another one in points would not say the same.
        text = f"odds x{odds_text(self.value)} (95%: {odds_text(self.low)} to {odds_text(self.high)})"
        if self.points is not None:
            text = f"{round(self.points[0], 1) + 0.0:+.1f} points, {text}"
        return f"{text}; {saturated_text(self.saturated)}" if self.saturated else text


@dataclass(frozen=True)
class Saturated:
    """In place of an effect where every matched setting has ratios of 0% alone or of 100% alone."""

    name: str
    settings: int

    def __str__(self) -> str:
        return saturated_text(self.settings)


def saturated_text(settings: int) -> str:
    """What is left out of an effect, in words."""
    return f"left out: {settings} matched {'setting' if settings == 1 else 'settings'} at 0% or at 100% throughout"


def is_saturated(*ratios: FloatArray) -> NDArray[np.bool_]:
    """Whether several ratios in 0..1 are all 0 or all 1, elementwise: nothing is known of the odds between them.

    The half counts of the empirical logit would make an effect of them that depends on the samples alone.
    """
    stacked = np.stack(ratios)
    return np.asarray((stacked <= 0).all(axis=0) | (stacked >= 1).all(axis=0), dtype=bool)


def odds_text(logit: float) -> str:
    """Return the odds of a logit with two significant digits."""
    odds = math.exp(min(max(logit, -20.0), 20.0))
    return f"{float(f'{odds:.2g}'):,.0f}" if odds >= 100 else f"{odds:.2g}"


@dataclass(frozen=True)
class Cells:
    """One row per setting: `logit`, its `variance`, `ratio`, `samples` behind it and number of `runs`, beside the
    settings."""

    frame: pd.DataFrame
    keys: tuple[str, ...]
    spread: SeedSpread

    def where(self, keep: Callable[[pd.DataFrame], Any]) -> "Cells":
        """The cells that a condition keeps; none where its column is absent."""
        try:
            return Cells(self.frame[keep(self.frame)], self.keys, self.spread)
        except KeyError:
            return Cells(self.frame.iloc[:0], self.keys, self.spread)

    def codes(self, varied: Collection[str]) -> IntArray:
        """The stratum of each cell: cells of one stratum are equal in all settings but the `varied` ones.

        Where a value leaves another setting without meaning (`data.num_labels` without labels), or brings it along
        (the learning rate of a batch size), the callers name both as varied.
        """
        others = [key for key in self.keys if key not in varied and varies(self.frame[key])]
        if not others:
            return np.zeros(len(self.frame), dtype=np.intp)
        groups = self.frame.groupby(others, dropna=False, sort=True).ngroup()
        return np.asarray(groups, dtype=np.intp)

    def strata(self, varied: Collection[str]) -> Iterator[pd.DataFrame]:
        """The strata one by one; see `codes`."""
        codes = self.codes(varied)
        for code in np.unique(codes):
            yield self.frame[codes == code]


def make_cells(runs: pd.DataFrame, spread: SeedSpread | None = None) -> Cells:
    """Average the training seeds of each setting.

    Args:
        runs: a row per finished run, its best evaluation.
        spread: of training seeds; estimated from the runs where not given.
    """
    spread = spread or seed_spread(runs)
    keys = tuple(setting_keys(runs))
    ratio, samples = (runs[name].to_numpy(dtype=float) for name in ("memorization_ratio", "num_samples"))
    logit, variance = empirical_logit(ratio, samples)
    work = runs[list(keys)].assign(logit=logit, variance=variance, ratio=ratio, samples=samples, runs=1)
    if work.empty:
        return Cells(work, keys, spread)
    how = {"logit": "mean", "variance": "mean", "ratio": "mean", "samples": "sum", "runs": "sum"}
    cells = work.groupby(list(keys), dropna=False, sort=True).agg(how).reset_index()
    cells["variance"] = (cells["variance"] + spread.logit**2) / cells["runs"]
    return Cells(cells, keys, spread)


def contrast(
    cells: Cells,
    varied: Collection[str],
    before: Callable[[pd.DataFrame], Any],
    after: Callable[[pd.DataFrame], Any],
    name: str,
) -> Effect | Saturated | None:
    """The change from the runs `before` to those `after`, within strata that differ in `varied` settings only.

    Where a varied setting brings another varied one along (the time embedding of an architecture) and a value was run
    with several of them, only its own counts (`analysis.runs.groups.has_own_dependent`).

    Returns:
        None where no stratum has both; strata at 0% or 100% on both sides are left out and counted.
    """
    for key, dependent in DEPENDENT.items():
        if key in varied:
            own = has_own_dependent(cells.frame, key, [name for name in dependent if name in varied])
            cells = Cells(cells.frame[own], cells.keys, cells.spread)
    try:
        masks = [np.asarray(keep(cells.frame), dtype=bool) for keep in (before, after)]
    except KeyError:
        return None
    if not (masks[0].any() and masks[1].any()):
        return None
    codes = cells.codes(varied)
    first, second = (_means(cells.frame[mask], codes[mask]) for mask in masks)
    both = first.index.intersection(second.index)
    first, second = first.loc[both], second.loc[both]
    if first.empty:
        return None
    saturated = is_saturated(first["ratio"].to_numpy(), second["ratio"].to_numpy())
    if saturated.all():
        return Saturated(name, len(saturated))
    first, second = first[~saturated], second[~saturated]
    change, total = second - first, second + first
    effect = pooled_effect(
        name, change["logit"], total["variance"], change["ratio"], total["ratio_variance"], int(total["runs"].sum())
    )
    return replace(effect, saturated=int(saturated.sum()))


def _means(frame: pd.DataFrame, codes: IntArray) -> pd.DataFrame:
    """Means of some cells by stratum, with the variances of the means and the number of runs."""
    columns = frame[["logit", "variance", "ratio", "runs"]].assign(ratio_variance=cell_ratio_variances(frame))
    strata = columns.astype(float).groupby(codes)
    count = strata.size()
    variances = strata[["variance", "ratio_variance"]].mean().div(count, axis=0)
    return strata[["logit", "ratio"]].mean().join(variances).assign(runs=strata["runs"].sum())


def trend(
    cells: Cells, key: str, x: Callable[[pd.Series], Any], name: str, also_varied: Collection[str] = ()
) -> Effect | Saturated | None:
    """The change over the range of a numeric setting: a weighted straight line of the logit over x(setting).

    One slope, an intercept per stratum of equal other settings; residuals larger than the noise widen the
    interval (Birge's ratio).

    Returns:
        The change from the smallest to the largest x within a stratum (their mean range); None without two values.
        Strata at 0% or 100% throughout are left out and counted.
    """
    if key not in cells.frame:
        return None
    codes = cells.codes({key, *also_varied})
    position = np.asarray(x(cells.frame[key]), dtype=float)
    frame = cells.frame.assign(x=position, stratum=codes)[np.isfinite(position)]
    strata = frame.groupby("stratum")
    low, high = strata["x"].transform("min"), strata["x"].transform("max")
    frame = frame.assign(at_low=frame["x"] == low, at_high=frame["x"] == high)[high > low]
    if frame.empty:
        return None
    ratios = frame.groupby("stratum")["ratio"].agg(["min", "max"])
    saturated = is_saturated(ratios["min"].to_numpy(), ratios["max"].to_numpy())
    if saturated.all():
        return Saturated(name, len(saturated))
    frame = frame[frame["stratum"].isin(ratios.index[~saturated])]
    weights = 1 / frame["variance"]
    weighted = frame[["x", "logit"]].mul(weights, axis=0).groupby(frame["stratum"]).transform("sum")
    centered = frame[["x", "logit"]] - weighted.div(weights.groupby(frame["stratum"]).transform("sum"), axis=0)
    line = weighted_least_squares(
        centered[["x"]].to_numpy(), centered["logit"].to_numpy(), frame["variance"].to_numpy(dtype=float)
    )
    degrees = line.freedom - int((~saturated).sum())
    birge = math.sqrt(max(1.0, line.chi_square / degrees)) if degrees > 0 else 1.0
    length = float(frame.groupby("stratum")["x"].agg(np.ptp).mean())
    first, last = (
        _means(rows, rows["stratum"].to_numpy()) for rows in (frame[frame["at_low"]], frame[frame["at_high"]])
    )
    error = birge * length * math.sqrt(line.covariance[0, 0])
    points, variances = last["ratio"] - first["ratio"], last["ratio_variance"] + first["ratio_variance"]
    effect = _effect(name, float(line.coefficients[0]) * length, error, points, variances, int(frame["runs"].sum()))
    return replace(effect, saturated=int(saturated.sum()))


def ln(column: pd.Series) -> Any:
    """Natural logarithm of a setting; nan where it is no positive number, so that such a cell is left out."""
    numbers = pd.to_numeric(column, errors="coerce")
    return np.log(numbers.where(numbers > 0).astype(float))


def per_unit(effect: Effect, length: float, unit: str) -> Effect:
    """An effect over a range as one per unit of that range."""
    value, low, high = (number / length for number in (effect.value, effect.low, effect.high))
    return Effect(effect.name, value, low, high, unit, effect.comparisons, effect.runs, saturated=effect.saturated)


def cell_ratio_variances(cells: pd.DataFrame) -> FloatArray:
    """Variance of each cell's ratio: that of its logit times (dp / d logit)^2."""
    logit, variance = cells["logit"].to_numpy(dtype=float), cells["variance"].to_numpy(dtype=float)
    slope = 1 / (1 + np.exp(-logit)) / (1 + np.exp(logit))
    return np.asarray(variance * slope**2, dtype=float)


def pooled_effect(
    name: str, differences: Values, variances: Values, points: Values, point_variances: Values, runs: int
) -> Effect:
    """Return the effect behind several differences: of logits, with their variances, and of ratios, with theirs."""
    value, error = mean_effect(differences, variances)
    return _effect(name, value, error, points, point_variances, runs)


def _effect(name: str, value: float, error: float, points: Values, point_variances: Values, runs: int) -> Effect:
    reach = normal_quantile() * error
    mean = 100 * float(np.mean(points))
    # Matched settings differ in their effect in points for real; their spread counts beside the noise.
    noise = float(np.sum(point_variances)) / len(points) ** 2
    between = float(np.var(points, ddof=1)) / len(points) if len(points) > 1 else 0.0
    width = 100 * normal_quantile() * math.sqrt(max(noise, between))
    in_points = (mean, max(mean - width, -100.0), min(mean + width, 100.0))
    return Effect(name, value, value - reach, value + reach, LOGIT, len(points), runs, in_points)
