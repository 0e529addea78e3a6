"""Search for the EMM of each factor value: a few trainings with an error bar, not a grid.

    search = Search(["none", "true"], min_size=100, max_size=50_000)
    while not search.finished:
        for proposal in search.propose(slots=4):
            search.observe(proposal, train_and_measure(proposal.value, proposal.size, proposal.seed))
    search.estimate("none").emm

Everything it decides follows from its arguments and the calls so far, so that a search which gets the same calls again
proposes what it proposed.
"""

from collections.abc import Sequence
from typing import Any

from analysis.emm.search.estimate import Estimate, summarize
from analysis.emm.search.fit import CurveFit, fit_curve
from analysis.emm.search.planner import Planner
from analysis.emm.search.posterior import evidence, slope_log_likelihood
from analysis.emm.search.prior import CurvePrior, pooled_slope_prior
from analysis.emm.search.trainings import Goal, Proposal, Scalar, Training, ValueTrainings, plain, value_key

__all__ = ["CurvePrior", "Estimate", "Proposal", "Search", "Training"]


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
        max_trainings_per_size: trainings at one size before the side it leans to is taken.
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
        *,
        tolerance: float = 0.1,
        num_samples: int = 10_000,
        seed: int = 0,
        prior: CurvePrior | None = None,
        max_trainings_per_size: int = 2,
        max_failures: int = 2,
        max_pending_per_value: int = 2,
    ) -> None:
        if not values:
            raise ValueError("no factor values to search: give at least one")
        if len({value_key(v) for v in values}) != len(values):
            raise ValueError(f"factor values {list(values)} are not all different")
        for name, number in (("max_failures", max_failures), ("max_pending_per_value", max_pending_per_value)):
            if number < 1:
                raise ValueError(f"{name} {number} is not positive")
        self.goal = Goal(min_size, max_size, target, tolerance, num_samples, max_trainings_per_size)
        self.prior = prior or CurvePrior()
        self.seed = seed
        self.max_failures = max_failures
        self.max_pending_per_value = max_pending_per_value
        self._states = {value_key(v): ValueTrainings(plain(v)) for v in values}
        self._next_id = 0
        self._fits: dict[str, tuple[tuple[int, ...], CurveFit]] = {}
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
        fit = self._fit(state)
        return fit.converged or fit.bounded is not None or self._exhausted(state)

    @property
    def pending(self) -> list[Proposal]:
        """Proposals that were neither observed nor failed."""
        return [p for state in self._states.values() for p in state.pending]

    def trainings(self, value: Scalar) -> list[Training]:
        """The finished trainings of one value in the order they came."""
        return list(self._state(value).trainings)

    def fit(self, value: Scalar) -> CurveFit:
        """The present fit of one value: method, bracket, posterior, interval."""
        return self._fit(self._state(value))

    def propose(self, slots: int = 1, *, only_idle: bool = False) -> list[Proposal]:
        """Up to `slots` trainings to start now; fewer, or none, where waiting is worth more.

        Values take turns: the one with the fewest pending and then the fewest trainings comes first.

        Args:
            slots: at most so many.
            only_idle: only of values of which nothing is under way.

        Raises:
            ValueError: a negative number of slots.
        """
        if slots < 0:
            raise ValueError(f"slots {slots} is negative")
        proposals: list[Proposal] = []
        open_values = [
            s for s in self._states.values() if not (only_idle and s.pending) and not self.value_finished(s.value)
        ]
        while len(proposals) < slots and open_values:
            state = min(open_values, key=lambda s: (len(s.pending), len(s.trainings)))
            proposal = self._propose_for(state)
            if proposal is None:
                open_values.remove(state)
                continue
            state.pending.append(proposal)
            proposals.append(proposal)
            self._next_id += 1
            if only_idle:
                open_values.remove(state)
        return proposals

    def observe(self, proposal: Proposal, training: Training | float) -> None:
        """Record a finished or stopped training.

        Args:
            proposal: what was trained; it need not be pending (a repeat of a lost report is ignored).
            training: its record, or only the ratio of a training to the end of its budget, from as many samples as
                were proposed.

        Raises:
            ValueError: a ratio out of range, a training of another size, or a value not searched.
        """
        state = self._state(proposal.value)
        if proposal.id in state.closed:
            return
        if not isinstance(training, Training):
            training = Training(proposal.size, proposal.seed, float(training), proposal.num_samples)
        if training.size != proposal.size:
            raise ValueError(f"a training of {training.size} images is not what was proposed, {proposal.size} images")
        state.trainings.append(training)
        state.close(proposal)

    def fail(self, proposal: Proposal) -> None:
        """Record a training that crashed; its size is tried again `max_failures` - 1 times."""
        state = self._state(proposal.value)
        if proposal.id in state.closed:
            return
        state.failures[proposal.size] = state.failures.get(proposal.size, 0) + 1
        state.close(proposal)

    def estimate(self, value: Scalar) -> Estimate:
        """The result of one value so far: EMM, interval or bound, bracket, slope and cost."""
        state = self._state(value)
        return summarize(state, self._fit(state), self.goal, self.value_finished(value))

    def estimates(self) -> list[Estimate]:
        """`estimate` of every value."""
        return [self.estimate(value) for value in self.values]

    def _state(self, value: Scalar) -> ValueTrainings:
        try:
            return self._states[value_key(value)]
        except KeyError:
            raise ValueError(f"value {value!r} is not searched: choose from {self.values}") from None

    def _fit(self, state: ValueTrainings) -> CurveFit:
        key = value_key(state.value)
        stamp = tuple(len(s.trainings) for s in self._states.values())
        cached = self._fits.get(key)
        if cached is None or cached[0] != stamp:
            others = [
                self._slope_likelihood(other)
                for other in self._states.values()
                if other is not state and other.trainings
            ]
            slope_prior = pooled_slope_prior(self.prior, others)
            cached = (stamp, fit_curve(state.trainings, self.goal, self.prior, slope_prior))
            self._fits[key] = cached
        return cached[1]

    def _slope_likelihood(self, state: ValueTrainings) -> Any:
        key, count = value_key(state.value), len(state.trainings)
        if self._slopes.get(key, (-1, None))[0] != count:
            evidences = [evidence(t) for t in state.trainings]
            likelihood = slope_log_likelihood(evidences, self.goal.limits, self.prior, self.goal.target_logit)
            self._slopes[key] = (count, likelihood)
        return self._slopes[key][1]

    def _exhausted(self, state: ValueTrainings) -> bool:
        """No size is left to train, or far more were trained than a bisection needs: the search ends."""
        cap = self.goal.bisection_steps * (self.goal.max_trainings_per_size + 1)
        if len(state.trainings) >= cap or sum(state.failures.values()) >= cap:
            return True
        return not state.pending and self._propose_for(state) is None

    def _propose_for(self, state: ValueTrainings) -> Proposal | None:
        if len(state.pending) >= self.max_pending_per_value:
            return None
        size, reason = self._plan(state)
        if size is None:
            return None
        repeats = state.trainings_at(size)
        return Proposal(self._next_id, state.value, size, self.seed + repeats, self._num_samples(repeats), reason)

    def _plan(self, state: ValueTrainings) -> tuple[int | None, str]:
        """Size and reason of the value's next training; kept until something changes."""
        fit = self._fit(state)
        key = value_key(state.value)
        stamp = (self._fits[key][0], tuple(p.id for p in state.pending), tuple(state.failures.items()))
        if key not in self._plans or self._plans[key][0] != stamp:
            size, reason = Planner(state, fit, self.goal, self.prior, self.max_failures).next()
            self._plans[key] = (stamp, (size, reason))
        return self._plans[key][1]

    def _num_samples(self, repeats: int) -> int:
        """More samples for a repeat, where counting and not the seed blurs the ratio."""
        goal = self.goal
        counting = 1 / (goal.num_samples * goal.target * (1 - goal.target))
        return goal.num_samples * (4 if repeats and counting > self.prior.seed_spread**2 else 1)
