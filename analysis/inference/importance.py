"""How much of the ratio's variation each factor explains: fANOVA (Hutter et al. 2014) from Optuna, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.runs.labels import covarying_keys
from analysis.runs.runs import Runs
from analysis.runs.settings import REPEATS, for_fits, setting_keys, varies
from memo_core.errors import MemosweepError

MINIMUM_RUNS = 8
WIDE = 10.0
"""A positive setting whose values span this factor is taken on a logarithmic scale."""
MIN_RESAMPLES_FOR_QUANTILES = 100
"""Resamples below which no 95% interval is read off: the ends are then the range of all of them."""
RESAMPLES = 20
TREES = 16
DEPTH = 16


@dataclass(frozen=True)
class Importance:
    """The share of the ratio's variance over the studied space that one factor explains by itself."""

    factor: str
    """Its dotted key; keys that always vary together are one factor, joined by ` + `."""
    importance: float
    low: float
    high: float
    """Ends over resampled runs, see `Ranking.interval`; widened to hold `importance`, for resampling biases small
    shares."""
    values: int
    scale: str
    """category, linear, log or rank (a wide scale with zero: the place among the values)."""


@dataclass(frozen=True)
class Ranking:
    """Importances, the highest first; they sum to at most 1."""

    factors: tuple[Importance, ...]
    runs: int
    resamples: int
    note: str = ""
    """What limits the answer."""

    @property
    def interval(self) -> str:
        """What `low` and `high` of the factors are, such as `95%` or `range of 20 resamples`."""
        return "95%" if self.resamples >= MIN_RESAMPLES_FOR_QUANTILES else f"range of {self.resamples} resamples"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "interval": self.interval}


@dataclass(frozen=True)
class _Axis:
    """A factor as fANOVA sees it: a value per run, and the space that the values lie in."""

    name: str
    scale: str
    encoded: list[float]
    choices: int
    bounds: tuple[float, float]


def rank(runs: Runs, resamples: int = RESAMPLES, seed: int = 0) -> Ranking:
    """Rank the factors of some sweeps by their effect on the best ratio of a run.

    Args:
        runs: of sweeps whose settings may be pooled.
        resamples: bootstrap samples of the runs; 2 at least.
        seed: of forests and resampling.

    Raises:
        MemosweepError: fewer than 8 finished runs, or no setting varies.
    """
    if resamples < 2:
        raise MemosweepError(f"--resamples {resamples}: an interval needs 2 at least")
    ended = runs.evidence
    best = ended.networks.best
    if len(best) < MINIMUM_RUNS:
        learning = len(runs.finished.networks.best) - len(best)
        but = f", {learning} others had not begun to memorize" if learning > 0 else ""
        raise MemosweepError(f"{len(best)} finished runs{but}: importances need {MINIMUM_RUNS} at least")
    axes = _axes(best)
    if not axes:
        raise MemosweepError("all runs have the same settings: nothing to rank")
    values = best["memorization_ratio"].to_numpy(dtype=float)
    notes = []
    if len(best) < len(ended.best):
        notes.append(
            f"{len(ended.best) - len(best)} runs of the closed-form optimum, which is not trained, are left out"
        )
    if float(np.ptp(values)) == 0:
        raise MemosweepError(f"all runs have the same memorization_ratio, {values[0]:g}: nothing to explain")
    if len(axes) == 1:
        notes.append(f"only {axes[0].name} varies, so that its share says nothing: compare its values instead")
    if len(best) < 10 * len(axes):
        notes.append(f"{len(best)} runs for {len(axes)} factors are few: the intervals are wide, the order uncertain")
    central = _fanova(axes, values, np.arange(len(best)), seed)
    generator = np.random.default_rng(seed)
    drawn: list[Mapping[str, float]] = []
    while len(drawn) < resamples:
        picked = generator.integers(0, len(best), len(best))
        if np.ptp(values[picked]) > 0:
            drawn.append(_fanova(axes, values, picked, seed + 1 + len(drawn)))
    factors = []
    ends = [0.025, 0.975] if resamples >= MIN_RESAMPLES_FOR_QUANTILES else [0.0, 1.0]
    for axis in axes:
        middle = central[axis.name]
        low, high = (float(end) for end in np.quantile([draw[axis.name] for draw in drawn], ends))
        factors.append(Importance(axis.name, middle, min(low, middle), max(high, middle), axis.choices, axis.scale))
    ordered = sorted(factors, key=lambda factor: -factor.importance)
    return Ranking(tuple(ordered), len(best), resamples, "; ".join(notes))


def _axes(runs: pd.DataFrame) -> list[_Axis]:
    keys = [key for key in [*setting_keys(runs), *REPEATS] if key in runs and varies(runs[key])]
    # The learning rate that depends on the batch size is not a factor of its own.
    filled = for_fits(runs)
    return [_axis(" + ".join(names), filled[names[0]]) for names in covarying_keys(runs[keys])]


def _axis(name: str, column: pd.Series) -> _Axis:
    count = int(column.nunique(dropna=False))
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if not numeric or column.isna().any() or name in REPEATS:
        return _coded(name, "category", ["none" if pd.isna(value) else str(value) for value in column], count)
    numbers = column.astype(float)
    positive = numbers[numbers > 0]
    wide = len(positive) > 0 and positive.max() >= WIDE * positive.min()
    if numbers.min() > 0 and wide:
        # Optuna's fANOVA integrates over the raw values even of a logarithmic distribution: give it the logarithms.
        numbers = numbers.map(math.log)
    elif numbers.min() == 0 and wide:
        return _coded(name, "rank", list(numbers), count)
    scale = "log" if wide and column.min() > 0 else "linear"
    return _Axis(name, scale, list(numbers), count, (float(numbers.min()), float(numbers.max())))


def _coded(name: str, scale: str, values: list[Any], count: int) -> _Axis:
    """Places among the sorted values, in a space that gives each the same share.

    Optuna's categorical distribution would do, but its fANOVA takes time exponential in the number of choices.
    """
    places = {value: float(place) for place, value in enumerate(sorted(set(values)))}
    return _Axis(name, scale, [places[value] for value in values], count, (-0.5, len(places) - 0.5))


def _fanova(axes: Sequence[_Axis], values: Any, picked: Any, seed: int) -> Mapping[str, float]:
    """Importances on the picked runs; a factor that does not vary among them has none."""
    import optuna  # noqa: PLC0415 (a second to import)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        axis.name: optuna.distributions.FloatDistribution(*axis.bounds) for axis in axes
    }
    study = optuna.create_study(direction="maximize")
    for index in picked:
        params = {axis.name: axis.encoded[index] for axis in axes}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=float(values[index])))
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=seed)
    return {name: float(value) for name, value in evaluator.evaluate(study).items()}
