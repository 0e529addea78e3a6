"""The result of a search for one factor value."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from analysis.emm.kinds import Kind, crossing_kind
from analysis.emm.search.fit import CurveFit
from analysis.emm.search.prior import LOG_SLOPES
from analysis.emm.search.trainings import Goal, Scalar, ValueTrainings

if TYPE_CHECKING:
    import pandas as pd

PAPER_GRID = (500, 1000, 2000, 3000, 4000, 5000)
"""Sizes trained for one value in the paper's Fig. 3a: 15.5k images."""


@dataclass(frozen=True)
class Estimate:
    """EMM of one factor value, with its error and its cost.

    Attributes:
        value: of the factor.
        emm: images; the bound itself where `kind` is a bound.
        low, high: 95% interval; 0 or infinity on the open side of a bound, the nearest size that the noise decides on
            the other.
        kind: of `analysis.emm.kinds`; `extrapolated` before anything was run.
        method: `model`, `free`, `local` or `bisection`, what the interval rests on (see `CurveFit`).
        bracket_low, bracket_high: largest success and smallest failure, or None.
        slope, slope_low, slope_high: logits lost per unit of ln size, with 95% interval.
        fitted, fitted_low, fitted_high: where the fitted curve crosses, also beyond the sizes run.
        trainings: that were finished.
        images_trained: sum of their sizes, each times the share of the budget that was spent.
        images_sampled: samples generated.
        finished: whether the search has ended for this value.
        non_monotone: sizes that failed below a success.
    """

    value: Scalar
    emm: float
    low: float
    high: float
    kind: Kind
    method: str
    bracket_low: int | None
    bracket_high: int | None
    slope: float
    slope_low: float
    slope_high: float
    fitted: float
    fitted_low: float
    fitted_high: float
    trainings: int
    images_trained: float
    images_sampled: int
    finished: bool
    non_monotone: tuple[int, ...]

    @property
    def half_width(self) -> float:
        """Relative half-width of the interval; infinite for a bound."""
        return (self.high - self.low) / 2 / self.emm if self.kind in ("measured", "uncertain") else float("inf")

    @property
    def cost_in_emms(self) -> float:
        """Images trained, in units of the EMM (or of the bound) found."""
        return self.images_trained / self.emm


def summarize(state: ValueTrainings, fit: CurveFit, goal: Goal, finished: bool) -> Estimate:
    """Return an estimate that claims no more than the sizes run support."""
    found = fit.bracket
    slopes = np.cumsum(fit.posterior.weights.sum(axis=0))
    slope_low, slope_high = np.exp(np.interp([0.025, 0.975], slopes, LOG_SLOPES))
    fitted_low, fitted, fitted_high = np.exp(fit.posterior.quantile([0.025, 0.5, 0.975]))
    kind, emm, low, high = _claim(fit, goal)
    return Estimate(
        *(state.value, emm, low, high, kind, fit.method, found.low, found.high),
        *(fit.posterior.slope, float(slope_low), float(slope_high)),
        *(float(fitted), float(fitted_low), float(fitted_high)),
        trainings=len(state.trainings),
        images_trained=float(sum(t.size * t.fraction for t in state.trainings)),
        images_sampled=sum(t.num_samples for t in state.trainings),
        finished=finished,
        non_monotone=found.non_monotone,
    )


def _claim(fit: CurveFit, goal: Goal) -> tuple[Kind, float, float, float]:
    found = fit.bracket
    if not found.sizes:
        return "extrapolated", fit.emm, fit.low, fit.high
    if fit.bounded is None and found.two_sided:
        smallest, largest = found.sizes[0].size, found.sizes[-1].size
        # Where the line crosses just beyond a size that straddles the target, the size itself is what was run.
        emm = float(np.clip(fit.emm, smallest, largest))
        low, high = min(fit.low, emm), max(fit.high, emm)
        # A bracket has no line that says how far beyond a size in doubt the crossing may lie.
        sure = fit.method != "bisection" or None not in found.sure
        kind = crossing_kind(low, high, (smallest, largest), goal.tolerance) if sure else "uncertain"
        return kind, emm, low, high
    # A limit that only leans to its side bounds no more than the sizes that the noise decides.
    sure_low, sure_high = found.sure
    if fit.bounded == "upper" or (found.low is None and found.high is not None):
        bound = float(goal.min_size if fit.bounded == "upper" else found.high or goal.min_size)
        return "upper_bound", bound, 0.0, float("inf") if sure_high is None else float(sure_high)
    successes = [s.size for s in found.sizes if s.decision >= 0]
    bound = float(goal.max_size if fit.bounded == "lower" else max(successes))
    return "lower_bound", bound, 0.0 if sure_low is None else float(sure_low), float("inf")


def emm_table(estimates: Sequence[Estimate], grid: Sequence[int] = PAPER_GRID) -> "pd.DataFrame":
    """Return one row for each estimate of a search: `emm.csv`.

    Args:
        estimates: of `Search.estimates`.
        grid: sizes that a grid would have trained for every value; empty where there is no such grid.

    Returns:
        The attributes of `Estimate` as columns; NaN for a bracket's end that was not found. `cost_in_emms` is in units
        of the EMM (or bound) found, as is `grid_cost_in_emms`; `non_monotone` is text.
    """
    import pandas as pd  # noqa: PLC0415 (a second, which a search without a table need not wait for)

    rows = [
        {
            **vars(found),
            "non_monotone": ", ".join(map(str, found.non_monotone)),
            "cost_in_emms": found.cost_in_emms,
            "grid_images": float(sum(grid)) if grid else np.nan,
            "grid_cost_in_emms": sum(grid) / found.emm if grid else np.nan,
        }
        for found in estimates
    ]
    columns = [field.name for field in fields(Estimate)] + ["cost_in_emms", "grid_images", "grid_cost_in_emms"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"bracket_low": float, "bracket_high": float}).rename(
        columns={"low": "emm_low", "high": "emm_high"}
    )
