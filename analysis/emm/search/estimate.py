"""The result of a search for one factor value."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.emm.search.fit import Goal, Judgement
from analysis.emm.search.prior import LOG_SLOPES
from analysis.emm.search.state import Scalar, ValueState

Kind = Literal["measured", "uncertain", "lower_bound", "upper_bound", "predicted"]


@dataclass(frozen=True)
class Estimate:
    """EMM of one factor value, with its error and its cost.

    Attributes:
        value: of the factor.
        emm: images; the bound itself where `kind` is a bound.
        low, high: 95% interval; 0 or infinity on the open side of a bound, the nearest size that the noise decides on
            the other.
        kind: `measured` (sizes run enclose the crossing), `uncertain` (they do, but within noise it may lie beyond them
            by more than the tolerance), `lower_bound` (the EMM is at least `emm`), `upper_bound` (it is below `emm`) or
            `predicted` (nothing was run yet).
        method: `model`, `free`, `local` or `bisection`, what the interval rests on (see `Judgement`).
        bracket_low, bracket_high: largest success and smallest failure, or None.
        slope, slope_low, slope_high: logits lost per unit of ln size, with 95% interval.
        predicted, predicted_low, predicted_high: where the fitted line crosses, also beyond the sizes run.
        trials: trainings observed.
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
    predicted: float
    predicted_low: float
    predicted_high: float
    trials: int
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


def summarize(state: ValueState, judgement: Judgement, goal: Goal, finished: bool) -> Estimate:
    """Puts a judgement into words that claim no more than the sizes run can carry."""
    found = judgement.bracket
    slopes = np.cumsum(judgement.posterior.weights.sum(axis=0))
    slope_low, slope_high = np.exp(np.interp([0.025, 0.975], slopes, LOG_SLOPES))
    predicted_low, predicted, predicted_high = np.exp(judgement.posterior.quantile([0.025, 0.5, 0.975]))
    kind, emm, low, high = _claim(judgement, goal)
    return Estimate(
        state.value,
        emm,
        low,
        high,
        kind,
        judgement.method,
        found.low,
        found.high,
        judgement.posterior.slope,
        float(slope_low),
        float(slope_high),
        float(predicted),
        float(predicted_low),
        float(predicted_high),
        len(state.observations),
        float(sum(o.size * o.fraction for o in state.observations)),
        sum(o.num_samples for o in state.observations),
        finished,
        found.non_monotone,
    )


def _claim(judgement: Judgement, goal: Goal) -> tuple[Kind, float, float, float]:
    found = judgement.bracket
    if not found.sizes:
        return "predicted", judgement.emm, judgement.low, judgement.high
    if judgement.bounded is None and found.two_sided:
        smallest, largest = found.sizes[0].size, found.sizes[-1].size
        # Where the line crosses just beyond a size that straddles the target, the size itself is what was run.
        emm = float(np.clip(judgement.emm, smallest, largest))
        low, high = min(judgement.low, emm), max(judgement.high, emm)
        room = 1 + goal.tolerance
        # A bracket has no line that says how far beyond a size in doubt the crossing may lie.
        sure = judgement.method != "bisection" or None not in found.sure
        inside = sure and smallest <= low * room and high <= largest * room
        return "measured" if inside else "uncertain", emm, low, high
    # A limit that only leans to its side bounds no more than the sizes that the noise decides.
    sure_low, sure_high = found.sure
    if judgement.bounded == "upper" or (found.low is None and found.high is not None):
        bound = float(goal.min_size if judgement.bounded == "upper" else found.high or goal.min_size)
        return "upper_bound", bound, 0.0, float("inf") if sure_high is None else float(sure_high)
    successes = [s.size for s in found.sizes if s.decision >= 0]
    bound = float(goal.max_size if judgement.bounded == "lower" else max(successes))
    return "lower_bound", bound, 0.0 if sure_low is None else float(sure_low), float("inf")
