"""Which size to train next, by the model where it holds and by bisection where it does not."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.emm.search.acquisition import Task, candidate_sizes, expected_costs
from analysis.emm.search.constants import APART, FIRST_SIZE, INNER, LEAP, SATURATED, SETTLED, STEP, STRIDE
from analysis.emm.search.fit import CurveFit
from analysis.emm.search.prior import CurvePrior
from analysis.emm.search.trainings import Goal, ValueTrainings

Plan = tuple[int | None, str]


@dataclass(frozen=True)
class Planner:
    """The choice of the next training of one value.

    Attributes:
        state: finished, pending and failed trainings of the value.
        fit: of its trainings.
        goal: of the search.
        prior: of the curves.
        max_failures: failed trainings after which a size is given up.
    """

    state: ValueTrainings
    fit: CurveFit
    goal: Goal
    prior: CurvePrior
    max_failures: int

    def next(self) -> Plan:
        """Size and reason of the next training; (None, ...) where waiting, or nothing, is left.

        The model chooses as long as fewer trainings were made than a bisection would need, so that a model
        that misleads cannot cost more than that.
        """
        if not self.state.trainings and not self.state.pending and self._usable(self._first_size()):
            return self._first_size(), "model"
        steps_left = len(self.state.trainings) < self.goal.bisection_steps
        if self.fit.method == "model" and steps_left and not self.fit.cliff_possible:
            if self._worth_waiting():
                return None, "waiting"
            size = self._model_size()
            if size is not None or self.state.pending:
                return size, "model"
        elif self.fit.method == "free" and steps_left:
            size = self._secant_size()
            if size is not None:
                return size, "secant"
        return self._bracket_size()

    def _worth_waiting(self) -> bool:
        """Whether the trainings under way will probably settle the value, so that another is a waste."""
        low, high = self.fit.posterior.quantile([0.025, 0.975])
        return bool(self.state.pending) and bool(high - low < SETTLED * self.goal.tolerance)

    def _usable(self, size: int) -> bool:
        """Whether a training of this size may be started: not given up, not requested already."""
        failed = self.state.failures.get(size, 0)
        if failed >= self.max_failures:
            return False
        if self.state.trainings_at(size) - failed >= self.goal.max_trainings_per_size:
            return False
        return all(abs(np.log(size / p.size)) > self._apart() for p in self.state.pending)

    def _apart(self) -> float:
        """ln distance below which two trainings under way would say the same.

        The less is known of the crossing, the wider.
        """
        low, high = self.fit.posterior.quantile([0.16, 0.84])
        return max(self.goal.tolerance / 2, APART * float(high - low))

    def _new(self, size: int) -> bool:
        """Whether no training so near is finished, which would say the same up to its noise."""
        apart = self.goal.tolerance / 2
        return all(abs(np.log(size / t.size)) > apart for t in self.state.trainings)

    def _model_size(self) -> int | None:
        """The size with the least expected cost among those that are informative."""
        goal, found = self.goal, self.fit.bracket
        log_sizes = candidate_sizes(self.fit.posterior, self._open_range())
        sizes = np.unique(np.clip(np.rint(np.exp(log_sizes)), goal.min_size, goal.max_size).astype(int))
        # A success settles all smaller sizes and a failure all larger ones: what is left lies between.
        floor = found.low if found.low is not None else goal.min_size - 1
        ceiling = found.high if found.high is not None else goal.max_size + 1
        sizes = sizes[(sizes > floor) & (sizes < ceiling)]
        sizes = np.array([s for s in sizes if self._usable(s) and self._new(s)], dtype=int)
        if not len(sizes):
            return None
        results = found.sizes
        # A size that straddles the target encloses the crossing only if the crossing may lie beyond it.
        sure_low, sure_high = self.fit.posterior.quantile([0.025, 0.975])
        task = Task(
            *(goal.limits, goal.target_logit, goal.tolerance, goal.num_samples),
            *(self.fit.posterior.seed_spread, self.prior.shape_misfit),
            any(s.decision >= 0 and np.log(s.size) <= sure_high for s in results),
            any(s.decision <= 0 and np.log(s.size) >= sure_low for s in results),
            any(abs(s.logit - goal.target_logit) <= self.fit.reach for s in results),
            self.fit.reach,
        )
        pending = [float(np.log(p.size)) for p in self.state.pending]
        costs = expected_costs(np.log(sizes), self.fit.posterior, pending, task)
        return int(sizes[int(np.argmin(costs))])

    def _secant_size(self) -> int | None:
        """Where a line of unusual slope crosses, kept off the bracket's ends so that it must shrink."""
        found = self.fit.bracket
        if found.low is None or found.high is None or found.undecided:
            return None
        inner = INNER * np.log(found.high / found.low)
        crossing = float(self.fit.posterior.quantile(0.5))
        log_size = np.clip(crossing, np.log(found.low) + inner, np.log(found.high) - inner)
        size = int(np.rint(np.exp(log_size)))
        return size if found.low < size < found.high and self._usable(size) else None

    def _bracket_size(self) -> Plan:
        """The next size of the bisection: an undecided size again, or the middle of the bracket."""
        goal, found = self.goal, self.fit.bracket
        for size in found.undecided:
            if self._usable(size):
                return size, "repeat"
        low = found.low if found.low is not None else goal.min_size
        high = found.high if found.high is not None else goal.max_size
        # An end nobody ran yet, once the bracket has closed onto it, or nothing else is left.
        open_ends = [
            end for end, known in ((low, found.low), (high, found.high)) if known is None and self._usable(end)
        ]
        if open_ends and (np.log(high / low) <= 2 * np.arcsinh(goal.tolerance) or high - low <= 1):
            return open_ends[0], "limit"
        marks = sorted({low, high, *(p.size for p in self.state.pending), *found.undecided})
        marks = [m for m in marks if low <= m <= high]
        gaps = sorted(pairwise(marks), key=lambda g: g[0] / g[1])
        for left, right in gaps:
            middle = np.sqrt(left * right)
            # A step instead of a leap into sizes that nothing bounds, which cost much.
            if right == high and found.high is None and found.low is not None:
                middle = min(middle, self._step_up(left))
            for size in dict.fromkeys(round(middle * f) for f in (1.0, 0.97, 1.03, 0.94, 1.06)):
                if left < size < right and self._usable(size) and not self.state.trainings_at(size):
                    return size, "bisection"
        return (open_ends[0], "limit") if open_ends else (None, "none")

    def _first_size(self) -> int:
        """The first training: a size of the bisection's grid, large enough that its ratio is informative."""
        low, high = self.goal.limits
        return int(np.rint(np.exp(low + FIRST_SIZE * (high - low))))

    def _step_up(self, low: float) -> float:
        """The size after the success `low` while none has failed; further where a model of unusual slope says so.

        Steps go to sizes that a bisection of the whole range may train, so that a cliff costs about as much as a
        bisection wherever it lies.
        """
        steps = [self._grid_step(np.log(low), 0.5)]
        if self.fit.method == "free":
            # Half way to where the model surely does not cross yet.
            steps.append(self._grid_step((np.log(low) + self.fit.posterior.quantile(0.025)) / 2, -1))
        return float(np.exp(max(steps)))

    def _grid_step(self, log_size: float, steps: float) -> float:
        """ln of the first point of the bisection's grid that is at least so many steps above `log_size`.

        The grid halves the range in ln(size) until its steps would be factors below `STEP`.
        """
        low, high = self.goal.limits
        span = high - low
        if span <= 0:
            return high
        step = span / 2 ** max(0, int(np.log2(span / np.log(STEP))))
        return float(min(high, low + step * np.ceil((log_size - low) / step + steps - 1e-9)))

    def _cliff_step(self, low: float) -> float:
        """ln of the largest size that the model may choose above the success ln `low`.

        A ratio of nearly 1 says little of where the curve falls: the model goes no further than bisection would.
        """
        known = max(s.logit for s in self.fit.bracket.sizes if s.size == self.fit.bracket.low)
        return self._grid_step(low, 0.5) if known - self.goal.target_logit >= SATURATED else self.goal.limits[1]

    def _open_range(self) -> tuple[float, float]:
        """ln sizes from which the model may choose.

        Upwards no further than `LEAP` times the size that the crossing surely exceeds: while little is
        known, images lost by starting too low are few, those lost by starting too high are many. Trainings
        under way allow further ones to go a little higher.
        """
        low, high = self.goal.limits
        sure = max(low, float(self.fit.posterior.quantile(0.025)))
        leap = sure + float(np.log(LEAP))
        if self.state.pending:
            leap += float(np.log(STRIDE))
        if self.fit.bracket.low is not None:
            low = max(low, float(np.log(self.fit.bracket.low)))
            # Beyond a ratio of nearly 1 the slope is only assumed: a cliff may follow.
            leap = min(leap, low + float(np.log(STRIDE)))
            leap = min(leap, self._cliff_step(low))
        if self.fit.bracket.high is not None:
            high = min(high, float(np.log(self.fit.bracket.high)))
        return low, max(low, min(high, leap))
