"""EMM from a table: the size at which the memorization ratio crosses 1 - zeta (Definition 2.1).

emm(table, factor="labels")                          # both methods, zeta = 0.1
emm(table, factor="width", zeta=[0.1, 0.2])          # Fig. 22 in one call
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from analysis.emm.curves import PAPER_SAMPLES, ValueData, non_monotone, observations, rises, seed_variance
from analysis.emm.isotonic import isotonic_crossings, monotone_ratios
from analysis.emm.kinds import Kind, crossing_kind
from analysis.emm.logistic import LogisticFit, fit_shared_slope
from analysis.stats.binomial import FloatArray

__all__ = ["COLUMNS", "METHODS", "Method", "emm", "fitted_curves", "non_monotone"]

Method = Literal["isotonic", "logistic"]
METHODS: tuple[Method, ...] = ("isotonic", "logistic")
COLUMNS = (
    *("value", "zeta", "method", "kind", "emm", "emm_low", "emm_high", "slope"),
    *("sizes", "trainings", "monotone"),
)
Row = dict[str, object]


def emm(
    table: pd.DataFrame,
    factor: str,
    zeta: npt.ArrayLike = 0.1,
    methods: Sequence[Method] = METHODS,
    *,
    size: str = "size",
    ratio: str = "memorization_ratio",
    num_samples: int = PAPER_SAMPLES,
    seed: str | None = "seed",
    confidence: float = 0.95,
    resamples: int = 200,
) -> pd.DataFrame:
    """Return the EMM of each factor value, for each zeta and method, with an interval.

    The interval covers the counting of samples, the spread of training seeds where trainings are repeated,
    and the misfit of the method: how far observations scatter around the shared-slope line. Isotonic
    interpolation, which has no residual of its own, takes it from there too, and its interval reaches to
    where the logit instead of the ratio, interpolated, would cross: between distant sizes the choice
    matters more than the noise.

    `kind` says what a number may be used for (`analysis.emm.kinds`). For a bound, `emm` is the largest or the smallest
    size run, and the open side of the interval is infinity or 0. An `extrapolated` EMM stands beside a bound, only
    from the logistic method.

    Args:
        table: one row an evaluation, ratios in [0, 1]; see `observations` for columns and pooling.
        factor: column of the factor.
        zeta: one number or several, in (0, 1).
        methods: `isotonic` (interpolation in ln size) and `logistic` (a slope shared by all values).
        size, ratio, num_samples, seed: see `observations`.
        confidence: of the intervals.
        resamples: bootstrap draws of the isotonic interval.

    Returns:
        tidy frame with COLUMNS: value, zeta, method, kind, emm, emm_low, emm_high, slope (NaN for
        isotonic), sizes and trainings behind the row, and whether the value's ratios fall monotonically
        within their noise.

    Raises:
        ValueError: zeta or a method out of range, or a table that `observations` rejects.
    """
    zetas = np.atleast_1d(np.asarray(zeta, float))
    if not np.all((zetas > 0) & (zetas < 1)):
        raise ValueError(f"zeta {zetas[(zetas <= 0) | (zetas >= 1)][0]:g} is not in (0, 1): the paper uses 0.1")
    unknown = [m for m in methods if m not in METHODS]
    if unknown:
        raise ValueError(f"method {unknown[0]!r} is unknown: choose from {', '.join(METHODS)}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not in (0, 1)")
    groups = observations(table, factor, size, ratio, num_samples, seed=seed)
    rising = set(rises(groups)["value"].map(repr))
    fit = fit_shared_slope(groups)
    rows: list[Row] = []
    for index, data in enumerate(groups):
        common: Row = {
            "value": data.value,
            "sizes": len(np.unique(data.sizes)),
            "trainings": len(data.sizes),
            "monotone": repr(data.value) not in rising,
        }
        if "isotonic" in methods:
            rows += [common | row for row in _isotonic(groups, index, zetas, fit, confidence, resamples)]
        if "logistic" in methods:
            rows += [common | row for row in _logistic(data, index, zetas, fit, confidence)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def fitted_curves(
    table: pd.DataFrame,
    factor: str,
    method: Method,
    *,
    size: str = "size",
    seed: str | None = "seed",
    points: int = 80,
) -> pd.DataFrame:
    """Return the curves whose crossings `emm` reports, for a figure.

    Args:
        table, factor, size, seed: as for `emm`.
        method: `isotonic` (the closest falling ratios, to be joined linearly in ln size) or `logistic` (the line of
            logits with its 95% band).
        points: sizes of a logistic curve, evenly in ln size over the sizes run.

    Returns:
        Columns value, size, ratio, ratio_low, ratio_high; no band (NaN) of the isotonic method, no rows of a value
        without a logistic fit.
    """
    groups = observations(table, factor, size, seed=seed)
    fit = fit_shared_slope(groups) if method == "logistic" else None
    parts = []
    for index, data in enumerate(groups):
        if method == "isotonic":
            sizes, ratios = monotone_ratios(data)
            curve = {"ratio": ratios, "ratio_low": np.nan, "ratio_high": np.nan}
        elif fit is not None and fit.has(index):
            sizes = np.geomspace(data.sizes.min(), data.sizes.max(), points)
            logits, deviation = fit.logits(index, sizes)
            reach = fit.regression.t() * deviation
            curve = {
                "ratio": special.expit(logits),
                "ratio_low": special.expit(logits - reach),
                "ratio_high": special.expit(logits + reach),
            }
        else:
            continue
        parts.append(pd.DataFrame({"value": [data.value] * len(sizes), "size": sizes, **curve}))
    columns = ["value", "size", "ratio", "ratio_low", "ratio_high"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _row(method: Method, zeta: float, kind: Kind, emm: float, low: float, high: float, *, slope: float = np.nan) -> Row:
    return {
        **{"method": method, "zeta": zeta, "kind": kind},
        **{"emm": emm, "emm_low": low, "emm_high": high, "slope": slope},
    }


def _bound(method: Method, data: ValueData, zeta: float) -> Row | None:
    """Return the bound where the monotone ratios do not cross 1 - zeta within the sizes run, else None."""
    sizes, ratios = monotone_ratios(data)
    if ratios[-1] >= 1 - zeta:
        return _row(method, zeta, "lower_bound", sizes[-1], sizes[-1], np.inf)
    return _row(method, zeta, "upper_bound", sizes[0], 0.0, sizes[0]) if ratios[0] < 1 - zeta else None


def _isotonic(
    groups: list[ValueData], index: int, zetas: FloatArray, fit: LogisticFit | None, confidence: float, resamples: int
) -> list[Row]:
    data = groups[index]
    seed_sd = np.sqrt(seed_variance(groups))
    # The fit's scatter holds the seeds already; what is beyond them is misfit.
    misfit = np.sqrt(max((fit.regression.misfit if fit else 0.0) ** 2 - seed_sd**2, 0.0))
    rng = np.random.default_rng(0)
    crossings, resampled = isotonic_crossings(
        data, 1 - zetas, seed_sd=float(seed_sd), misfit_sd=float(misfit), resamples=resamples, rng=rng
    )
    tail = (1 - confidence) / 2
    rows = []
    for column, zeta in enumerate(map(float, zetas)):
        row = _bound("isotonic", data, zeta)
        if row is None:
            # Nearest, since interpolating between a size and infinity has no meaning.
            ends = np.quantile(resampled[:, :, column], [tail, 1 - tail], axis=1, method="nearest")
            low, high = ends[0].min(), ends[1].max()
            kind = crossing_kind(low, high, (data.sizes.min(), data.sizes.max()))
            row = _row("isotonic", zeta, kind, crossings[column], low, high)
        rows.append(row)
    return rows


def _logistic(data: ValueData, index: int, zetas: FloatArray, fit: LogisticFit | None, confidence: float) -> list[Row]:
    rows: list[Row] = []
    for zeta in map(float, zetas):
        bound = _bound("logistic", data, zeta)
        rows += [] if bound is None else [bound]
        if fit is None or not fit.has(index):
            continue
        estimate, low, high = fit.crossings(index, 1 - zeta, confidence)[0]
        # A slope that may be zero has no crossing.
        if not (np.isfinite(estimate) and np.isfinite(high)):
            continue
        ends = (data.sizes.min(), data.sizes.max())
        inside = bound is None and ends[0] <= estimate <= ends[1]
        kind: Kind = crossing_kind(low, high, ends) if inside else "extrapolated"
        rows.append(_row("logistic", zeta, kind, estimate, low, high, slope=fit.slope))
    return rows
