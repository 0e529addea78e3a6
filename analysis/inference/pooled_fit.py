"""What memorization ratio to expect at a setting that nobody ran: a pooled fit over all factors.

logit(ratio) is linear in ln(size), in each numeric factor (in its logarithm where all values are positive)
and in an intercept for each category. A prediction states how far the setting lies from the data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from analysis.emm.curves import PAPER_SAMPLES, column_of
from analysis.stats.binomial import FloatArray, empirical_logit
from analysis.stats.regression import LogitFit, fit_with_misfit


@dataclass(frozen=True)
class Feature:
    """One column of the table as the fit sees it.

    Attributes:
        name: of the column.
        categories: for a categorical column; the first is the reference. Empty for a numeric one.
        log: whether a numeric column enters by its logarithm.
        low, high: range of a numeric column in the data.
    """

    name: str
    categories: tuple[object, ...]
    log: bool
    low: float
    high: float

    def columns(self, values: pd.Series) -> FloatArray:
        """(N, 1) for a number, (N, categories - 1) for a category."""
        if self.categories:
            return np.stack([(values == c).to_numpy(float) for c in self.categories[1:]], axis=1)
        numbers = values.to_numpy(float)
        return np.log(numbers)[:, None] if self.log else numbers[:, None]

    def checked(self, setting: Mapping[str, object]) -> object:
        """Return its value in a setting, a float or a category; raises ValueError where there is none."""
        if self.name not in setting:
            raise ValueError(f"set {self.name} too: it varies in the data")
        value = setting[self.name]
        if self.categories:
            if value not in self.categories:
                known = ", ".join(map(str, self.categories))
                raise ValueError(f"{self.name}={value} was never run: choose from {known}")
            return value
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ValueError(f"{self.name}={value!r} is not a number") from None
        if not np.isfinite(number):
            raise ValueError(f"{self.name}={value!r} is not a finite number")
        if self.log and number <= 0:
            raise ValueError(f"{self.name}={value} must be positive")
        return number


@dataclass(frozen=True)
class Prediction:
    """The expected ratio at a setting.

    Attributes:
        ratio, low, high: expected ratio and 95% interval for a single training there, in [0, 1].
        extrapolation: largest distance outside the range of the data, as a factor (log columns) or a share of
            the range (others); 0 for an interpolation.
        statement: one sentence that says which of the two it is.
    """

    ratio: float
    low: float
    high: float
    extrapolation: float
    statement: str


@dataclass(frozen=True)
class PooledFit:
    """A fit over all factors.

    Attributes:
        features: the varying columns, the size among them.
        regression: of the intercept and the features' columns, in logits; its misfit is the scatter of trainings beyond
            counting.
    """

    features: tuple[Feature, ...]
    regression: LogitFit

    def predict(self, setting: Mapping[str, object]) -> Prediction:
        """Return the ratio to expect at a setting, which has a value for each feature.

        Raises:
            ValueError: a feature missing, a category never run, or no number where one is needed.
        """
        values = {feature.name: feature.checked(setting) for feature in self.features}
        columns = [feature.columns(pd.Series([values[feature.name]])).ravel() for feature in self.features]
        row = np.concatenate([np.ones(1), *columns])
        logit = float(row @ self.regression.coefficients)
        half = self.regression.t() * float(np.sqrt(row @ self.regression.covariance @ row + self.regression.extra))
        distance, statement = self._distance(values)
        low, ratio, high = (float(special.expit(v)) for v in (logit - half, logit, logit + half))
        return Prediction(ratio, low, high, distance, statement)

    def _distance(self, values: Mapping[str, Any]) -> tuple[float, str]:
        beyond, words = 0.0, []
        for f in self.features:
            if f.categories:
                continue
            value = values[f.name]
            if f.low <= value <= f.high:
                continue
            end, side, most = (f.high, "above", "largest") if value > f.high else (f.low, "below", "smallest")
            if f.log:
                factor = max(value / end, end / value)
                beyond = max(beyond, factor)
                words.append(f"{f.name}={value:g} is {factor:.2g} times {side} the {most} value run ({end:g})")
            else:
                share = abs(value - end) / max(f.high - f.low, 1e-12)
                beyond = max(beyond, share)
                words.append(f"{f.name}={value:g} lies {share:.0%} of the range {side} the {most} value run ({end:g})")
        if words:
            return beyond, "extrapolation: " + "; ".join(words)
        return 0.0, "interpolation: every number lies within the range that was run"


def fit_pooled(
    table: pd.DataFrame,
    factors: list[str],
    size: str = "size",
    ratio: str = "memorization_ratio",
    num_samples: int = PAPER_SAMPLES,
    *,
    reference: pd.DataFrame | None = None,
) -> PooledFit:
    """Fit all rows of a table.

    Args:
        table: one row a training, ratios in [0, 1].
        factors: columns that may matter beside the size; constant ones are left out.
        size, ratio: columns of size and ratio. Dotted columns may be called by their last part.
        num_samples: samples where the table has no column `num_samples`.
        reference: the table that decides how columns enter (number, logarithm, category); `table` if None.

    Raises:
        ValueError: missing columns, ratios out of range, or fewer usable rows than coefficients. Ratios of
            0 or 1 enter with half a sample added, and little weight.
    """
    factors, size = [column_of(table, name) for name in factors], column_of(table, size)
    missing = [c for c in (*factors, size, ratio) if c not in table.columns]
    if missing:
        raise ValueError(f"the table lacks the column(s) {', '.join(missing)}")
    ratios = pd.to_numeric(table[ratio], errors="coerce").to_numpy(float)
    if not np.all((ratios >= 0) & (ratios <= 1)):
        raise ValueError(f"{ratio} must hold fractions in [0, 1] only")
    n = table["num_samples"].to_numpy(float) if "num_samples" in table else np.full(len(table), float(num_samples))
    whole = table if reference is None else reference
    varying = [c for c in dict.fromkeys([size, *factors]) if len(whole[c].unique()) > 1]
    features = [_feature(whole[c], table[c]) for c in varying]
    design = np.concatenate([np.ones((len(table), 1)), *(f.columns(table[f.name]) for f in features)], axis=1)
    if len(table) <= design.shape[1]:
        raise ValueError(f"{len(table)} rows are too few for {design.shape[1]} coefficients: run more settings")
    # Two factors that always varied together share their effect.
    return PooledFit(tuple(features), fit_with_misfit(design, *empirical_logit(ratios, n), ridge=1e-8))


def _feature(whole: pd.Series, used: pd.Series) -> Feature:
    name = str(whole.name)
    numbers = pd.to_numeric(whole, errors="coerce")
    if pd.api.types.is_bool_dtype(whole) or numbers.isna().any():
        return Feature(name, tuple(whole.unique()), False, np.nan, np.nan)
    seen = pd.to_numeric(used)
    return Feature(name, (), bool((numbers > 0).all()), float(seen.min()), float(seen.max()))


def leave_one_value_out(
    table: pd.DataFrame, factor: str, size: str = "size", ratio: str = "memorization_ratio"
) -> pd.DataFrame:
    """Return how wrong predictions for an unseen factor value are, by leaving each value out in turn.

    A numeric factor's value is predicted from the others alone. A category has no place between others, so
    one training of the left-out value, its smallest size, is kept and only the larger sizes are predicted.

    Returns:
        frame with value, size, ratio, predicted, low, high, covered, error (predicted - true, as a ratio),
        statement.

    Raises:
        ValueError: from `fit_pooled`; or a factor with a single value.
    """
    factor, size = column_of(table, factor), column_of(table, size)
    values = list(table[factor].unique())
    if len(values) < 2:
        raise ValueError(f"{factor} has one value only: nothing is left to predict from")
    categorical = bool(_feature(table[factor], table[factor]).categories)
    rows = []
    for value in values:
        here = table[factor] == value
        kept = here & (table[size] == table.loc[here, size].min()) if categorical else here & False
        fit = fit_pooled(table[~here | kept], [factor], size, ratio, reference=table)
        for _, row in table[here & ~kept].iterrows():
            answer = fit.predict({factor: value, size: row[size]})
            truth = float(row[ratio])
            rows.append(
                {
                    **{"value": value, "size": row[size], "ratio": truth, "predicted": answer.ratio},
                    **{"low": answer.low, "high": answer.high, "covered": answer.low <= truth <= answer.high},
                    **{"error": answer.ratio - truth, "statement": answer.statement},
                }
            )
    return pd.DataFrame(rows)
