"""Search for the EMM of each factor value: two or three trainings with an error bar, not a grid.

    search = Search(["none", "true"], min_size=100, max_size=50_000)
    while not search.finished:
        for proposal in search.propose(slots=4):
            ratio = train_and_measure(proposal.value, proposal.size, proposal.seed, proposal.num_samples)
            search.observe(proposal, ratio)
    search.estimate("none").emm

Everything it decides follows from its observations and pending proposals, so a search that is saved
as JSON and restored proposes what it would have proposed.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.search.acquisition import Task, candidate_sizes, expected_costs
from analysis.search.estimate import Estimate, summarize
from analysis.search.judgement import Goal, Judgement, judge
from analysis.search.observation import Observation, Verdict, evidence
from analysis.search.posterior import CurvePrior, pooled_slope_prior, slope_log_likelihood
from analysis.search.state import Proposal, Scalar, ValueState, value_key

__all__ = ["CurvePrior", "Estimate", "Observation", "Proposal", "Search"]

FORMAT = 1
LEAP = 2.0
STRIDE = 4.0


class Search:
    """Adaptive search of the size where the memorization ratio crosses `target`, per factor value.

    Args:
        values: the factor's values; strings, numbers, booleans or None, all different.
        min_size, max_size: limits of the sizes proposed, 1 <= min_size <= max_size.
        target: 1 - zeta, in (0, 1).
        tolerance: relative half-width of the 95% interval that ends a value's search, > 0.
        num_samples: generated samples of an ordinary evaluation.
        seed: of the first training at a size; repeats at the same size take the following seeds.
        prior: what is assumed of the curves.
        max_trainings_per_size: trainings at one size before the side it leans to is believed.
        max_failures: failed trainings at one size before that size is given up.
        max_pending_per_value: trainings of one value at a time.

    Raises:
        ValueError: with what is wrong and what would be right.
    """

    def __init__(
        self,
        values: Sequence[Scalar],
        min_size: int,
        max_size: int,
        target: float = 0.9,
        tolerance: float = 0.1,
        num_samples: int = 10_000,
        seed: int = 0,
        prior: CurvePrior | None = None,
        max_trainings_per_size: int = 3,
        max_failures: int = 2,
        max_pending_per_value: int = 4,
    ) -> None:
        _check(values, min_size, max_size, target, tolerance)
        for name, number in {
            "num_samples": num_samples,
            "max_trainings_per_size": max_trainings_per_size,
            "max_failures": max_failures,
            "max_pending_per_value": max_pending_per_value,
        }.items():
            if number < 1:
                raise ValueError(f"{name} {number} is not positive")
        self.goal = Goal(int(min_size), int(max_size), target, tolerance, num_samples, max_trainings_per_size)
        self.prior = prior or CurvePrior()
        self.seed = seed
        self.max_failures = max_failures
        self.max_pending_per_value = max_pending_per_value
        self._states = {value_key(v): ValueState(v) for v in values}
        self._next_id = 0
        self._judgements: dict[str, tuple[tuple[int, ...], Judgement]] = {}
        self._slopes: dict[str, tuple[int, Any]] = {}
        self._plans: dict[str, tuple[Any, tuple[int | None, str]]] = {}

    @property
    def values(self) -> list[Scalar]:
        """The factor's values, as given."""
        return [state.value for state in self._states.values()]

    @property
    def finished(self) -> bool:
        """Whether every value has its interval or its bound, or has been given up."""
        return all(self.value_finished(state.value) for state in self._states.values())

    def value_finished(self, value: Scalar) -> bool:
        """Whether one value needs no further training."""
        state = self._state(value)
        judgement = self._judge(state)
        return judgement.converged or judgement.bounded is not None or self._exhausted(state)

    @property
    def pending(self) -> list[Proposal]:
        """Proposals that were neither observed nor failed."""
        return [p for state in self._states.values() for p in state.pending]

    def observations(self, value: Scalar) -> list[Observation]:
        """The observations of one value in the order they came."""
        return list(self._state(value).observations)

    def judgement(self, value: Scalar) -> Judgement:
        """The present judgement of one value: method, bracket, posterior, interval."""
        return self._judge(self._state(value))

    def propose(self, slots: int = 1) -> list[Proposal]:
        """Up to `slots` trainings to start now; fewer, or none, where waiting tells more.

        Values take turns: the one with the fewest pending and then the fewest trainings comes first.
        """
        if slots < 0:
            raise ValueError(f"slots {slots} is negative")
        proposals: list[Proposal] = []
        open_values = [s for s in self._states.values() if not self.value_finished(s.value)]
        while len(proposals) < slots and open_values:
            state = min(open_values, key=lambda s: (len(s.pending), len(s.observations)))
            proposal = self._propose_for(state)
            if proposal is None:
                open_values.remove(state)
                continue
            state.pending.append(proposal)
            proposals.append(proposal)
            self._next_id += 1
        return proposals

    def observe(
        self,
        proposal: Proposal,
        ratio: float,
        num_samples: int | None = None,
        verdict: Verdict = "full",
        confidence: float = 0.99,
        forecast: tuple[float, float] | None = None,
        fraction: float = 1.0,
    ) -> None:
        """Records a finished or stopped training.

        Args:
            proposal: what was trained; it need not be pending (a repeat of a lost report is ignored).
            ratio: memorization ratio in [0, 1], at the end or where the trial stopped.
            num_samples: samples behind it; those proposed if None.
            verdict: `full`, `reached` or `will_not_reach` (see `Observation`).
            confidence: that an early verdict is right.
            forecast: (logit of the final ratio, its standard deviation) of a stopped trial.
            fraction: share of the training budget spent.

        Raises:
            ValueError: ratio or the others out of range, or a value not searched.
        """
        state = self._state(proposal.value)
        if proposal.id in state.closed:
            return
        mean, sd = forecast if forecast is not None else (None, None)
        observation = Observation(
            proposal.size,
            proposal.seed,
            float(ratio),
            proposal.num_samples if num_samples is None else int(num_samples),
            verdict,
            confidence,
            mean,
            sd,
            fraction,
        )
        state.observations.append(observation)
        state.close(proposal)

    def fail(self, proposal: Proposal) -> None:
        """Records a training that crashed; its size is tried again `max_failures` - 1 times."""
        state = self._state(proposal.value)
        if proposal.id in state.closed:
            return
        state.failures[proposal.size] = state.failures.get(proposal.size, 0) + 1
        state.close(proposal)

    def estimate(self, value: Scalar) -> Estimate:
        """The result of one value so far: EMM, interval or bound, bracket, slope and cost."""
        state = self._state(value)
        return summarize(state, self._judge(state), self.goal, self.value_finished(value))

    def estimates(self) -> list[Estimate]:
        """`estimate` of every value."""
        return [self.estimate(value) for value in self.values]

    def to_json(self) -> str:
        """Everything the search knows, as JSON."""
        goal = self.goal
        return json.dumps(
            {
                "format": FORMAT,
                "arguments": {
                    "values": self.values,
                    "min_size": goal.min_size,
                    "max_size": goal.max_size,
                    "target": goal.target,
                    "tolerance": goal.tolerance,
                    "num_samples": goal.num_samples,
                    "seed": self.seed,
                    "max_trainings_per_size": goal.max_trainings_per_size,
                    "max_failures": self.max_failures,
                    "max_pending_per_value": self.max_pending_per_value,
                },
                "prior": vars(self.prior),
                "next_id": self._next_id,
                "states": [state.to_dict() for state in self._states.values()],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Search":
        """The search that `to_json` wrote.

        Raises:
            ValueError: no JSON of a search, or of another format.
        """
        try:
            saved = json.loads(text)
            if saved["format"] != FORMAT:
                raise ValueError(f"this search was saved in format {saved['format']}, expected {FORMAT}")
            search = cls(**saved["arguments"], prior=CurvePrior(**saved["prior"]))
            search._next_id = saved["next_id"]
            search._states = {value_key(s["value"]): ValueState.from_dict(s) for s in saved["states"]}
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"this is no saved search: {error!r}") from error
        return search

    def _state(self, value: Scalar) -> ValueState:
        try:
            return self._states[value_key(value)]
        except KeyError:
            raise ValueError(f"value {value!r} is not searched: choose from {self.values}") from None

    def _judge(self, state: ValueState) -> Judgement:
        key = value_key(state.value)
        stamp = tuple(len(s.observations) for s in self._states.values())
        cached = self._judgements.get(key)
        if cached is None or cached[0] != stamp:
            others = [
                self._slope_likelihood(other)
                for other in self._states.values()
                if other is not state and other.observations
            ]
            slope_prior = pooled_slope_prior(self.prior, others)
            cached = (stamp, judge(state.observations, self.goal, self.prior, slope_prior))
            self._judgements[key] = cached
        return cached[1]

    def _slope_likelihood(self, state: ValueState) -> Any:
        key, count = value_key(state.value), len(state.observations)
        if self._slopes.get(key, (-1, None))[0] != count:
            told = [evidence(o, self.goal.target_logit) for o in state.observations]
            likelihood = slope_log_likelihood(told, self.goal.limits, self.prior, self.goal.target_logit)
            self._slopes[key] = (count, likelihood)
        return self._slopes[key][1]

    def _exhausted(self, state: ValueState) -> bool:
        """No size is left to train, or far more were trained than a bisection needs: the search ends."""
        cap = self.goal.bisection_steps * (self.goal.max_trainings_per_size + 1)
        if len(state.observations) >= cap or sum(state.failures.values()) >= cap:
            return True
        return not state.pending and self._propose_for(state) is None

    def _propose_for(self, state: ValueState) -> Proposal | None:
        if len(state.pending) >= self.max_pending_per_value or self._worth_waiting(state):
            return None
        size, reason = self._plan(state)
        if size is None:
            return None
        repeats = state.trainings_at(size)
        return Proposal(
            self._next_id, state.value, size, self.seed + repeats, self._num_samples(repeats), reason
        )

    def _worth_waiting(self, state: ValueState) -> bool:
        """Whether the trainings under way will probably settle the value, so that another is a waste."""
        judgement = self._judge(state)
        if not state.pending or judgement.method != "model":
            return False
        low, high = judgement.posterior.quantile([0.025, 0.975])
        return bool(high - low < 8 * self.goal.tolerance)

    def _plan(self, state: ValueState) -> tuple[int | None, str]:
        """Size and reason of the value's next training; kept until something changes."""
        judgement = self._judge(state)
        key = value_key(state.value)
        stamp = (id(judgement), tuple(p.id for p in state.pending), tuple(state.failures.items()))
        if key not in self._plans or self._plans[key][0] != stamp:
            size, reason = None, "model"
            steps_left = len(state.observations) < self.goal.bisection_steps
            if judgement.method == "model" and steps_left:
                size = self._model_size(state, judgement)
            elif judgement.method == "free" and steps_left:
                size, reason = self._secant_size(state, judgement), "secant"
            if size is None and not (judgement.method == "model" and steps_left and state.pending):
                size, reason = self._bracket_size(state, judgement)
            self._plans[key] = (stamp, (size, reason))
        return self._plans[key][1]

    def _num_samples(self, repeats: int) -> int:
        """More samples for a repeat, where counting and not the seed blurs the ratio."""
        goal = self.goal
        counting = 1 / (goal.num_samples * goal.target * (1 - goal.target))
        return goal.num_samples * (4 if repeats and counting > self.prior.seed_spread**2 else 1)

    def _usable(self, state: ValueState, size: int) -> bool:
        """Whether a training of this size may be started: not given up, not asked already."""
        if state.failures.get(size, 0) >= self.max_failures:
            return False
        if state.trainings_at(size) - state.failures.get(size, 0) >= self.goal.max_trainings_per_size:
            return False
        return all(abs(np.log(size / p.size)) > self._apart(state) for p in state.pending)

    def _apart(self, state: ValueState) -> float:
        """ln distance below which two trainings under way ask the same question.

        The less is known of the crossing, the wider: neighbours would answer alike.
        """
        low, high = self._judge(state).posterior.quantile([0.16, 0.84])
        return max(self.goal.tolerance / 2, 0.15 * float(high - low))

    def _new(self, state: ValueState, size: int) -> bool:
        """Whether no training so near has been observed: the same question, up to its noise."""
        apart = self.goal.tolerance / 2
        return all(abs(np.log(size / o.size)) > apart for o in state.observations)

    def _model_size(self, state: ValueState, judgement: Judgement) -> int | None:
        """The size with the least expected cost among those that ask something new."""
        goal, found = self.goal, judgement.bracket
        log_sizes = candidate_sizes(judgement.posterior, _open_range(judgement, goal, len(state.pending)))
        sizes = np.unique(np.clip(np.rint(np.exp(log_sizes)), goal.min_size, goal.max_size).astype(int))
        # A success settles all smaller sizes and a failure all larger ones: what is left lies between.
        floor = found.low if found.low is not None else goal.min_size - 1
        ceiling = found.high if found.high is not None else goal.max_size + 1
        sizes = sizes[(sizes > floor) & (sizes < ceiling)]
        sizes = np.array([s for s in sizes if self._usable(state, s) and self._new(state, s)], dtype=int)
        if not len(sizes):
            return None
        decided = judgement.bracket.sizes
        task = Task(
            goal.limits,
            goal.target_logit,
            goal.tolerance,
            goal.num_samples,
            judgement.posterior.seed_spread,
            self.prior.shape_misfit,
            any(s.decision >= 0 for s in decided),
            any(s.decision <= 0 for s in decided),
            any(abs(s.logit - goal.target_logit) <= judgement.reach for s in decided),
            judgement.reach,
        )
        pending = [float(np.log(p.size)) for p in state.pending]
        costs = expected_costs(np.log(sizes), judgement.posterior, pending, task)
        return int(sizes[int(np.argmin(costs))])

    def _secant_size(self, state: ValueState, judgement: Judgement) -> int | None:
        """Where a line of unusual slope crosses, kept off the bracket's ends so that it must shrink."""
        goal, found = self.goal, judgement.bracket
        if found.low is None or found.high is None or found.undecided:
            return None
        inner = 0.2 * np.log(found.high / found.low)
        crossing = float(judgement.posterior.quantile(0.5))
        log_size = np.clip(crossing, np.log(found.low) + inner, np.log(found.high) - inner)
        size = int(np.rint(np.exp(log_size)))
        return size if found.low < size < found.high and self._usable(state, size) else None

    def _bracket_size(self, state: ValueState, judgement: Judgement) -> tuple[int | None, str]:
        """The next question of the bisection: an undecided size again, or the middle of the bracket."""
        goal, found = self.goal, judgement.bracket
        for size in found.undecided:
            if self._usable(state, size):
                return size, "repeat"
        low = found.low if found.low is not None else goal.min_size
        high = found.high if found.high is not None else goal.max_size
        # An end nobody ran yet, once the bracket has closed onto it.
        if np.log(high / low) <= 2 * np.arcsinh(goal.tolerance) or high - low <= 1:
            for end, known in ((low, found.low), (high, found.high)):
                if known is None and self._usable(state, end):
                    return end, "limit"
        marks = sorted({low, high, *(p.size for p in state.pending if low < p.size < high), *found.undecided})
        gaps = sorted(zip(marks[:-1], marks[1:], strict=True), key=lambda g: g[0] / g[1])
        for left, right in gaps:
            middle = np.sqrt(left * right)
            # A doubling instead of a leap into sizes that nothing bounds, which cost much.
            if right == high and found.high is None and found.low is not None:
                middle = min(middle, 2.0 * left)
            for size in dict.fromkeys(int(round(middle * f)) for f in (1.0, 0.97, 1.03, 0.94, 1.06)):
                if left < size < right and self._usable(state, size) and not state.trainings_at(size):
                    return size, "bisection"
        for end, known in ((low, found.low), (high, found.high)):
            if known is None and self._usable(state, end):
                return end, "limit"
        return None, "none"


def _open_range(judgement: Judgement, goal: Goal, pending: int) -> tuple[float, float]:
    """ln sizes from which the model may choose.

    Upwards no further than `LEAP` times the size that the crossing surely exceeds: while little is
    known, images lost by starting too low are few, those lost by starting too high are many. Trainings
    under way allow further ones to go a little higher.
    """
    low, high = goal.limits
    sure = max(low, float(judgement.posterior.quantile(0.025)))
    leap = sure + float(np.log(LEAP))
    if pending:
        leap += float(np.log(LEAP))
    if judgement.bracket.low is not None:
        low = max(low, float(np.log(judgement.bracket.low)))
        # Beyond a ratio of nearly 1 the slope is only assumed: a cliff may follow.
        leap = min(leap, low + float(np.log(STRIDE)))
    if judgement.bracket.high is not None:
        high = min(high, float(np.log(judgement.bracket.high)))
    return low, max(low, min(high, leap))


def _check(values: Sequence[Scalar], min_size: int, max_size: int, target: float, tolerance: float) -> None:
    if not values:
        raise ValueError("no factor values to search: give at least one")
    if len({value_key(v) for v in values}) != len(values):
        raise ValueError(f"factor values {list(values)} are not all different")
    if min_size != int(min_size) or max_size != int(max_size) or min_size < 1:
        raise ValueError(f"sizes {min_size}..{max_size} must be whole numbers, at least 1")
    if min_size > max_size:
        raise ValueError(f"min_size {min_size} is above max_size {max_size}")
    if not 0 < target < 1:
        raise ValueError(f"target {target} is not in (0, 1): 0.9 means zeta = 0.1")
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise ValueError(f"tolerance {tolerance} must be positive: 0.1 asks for +-10%")
