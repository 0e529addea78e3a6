"""Optuna: the one place that knows its distributions."""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment, FlatExperiment
from memo_core.results import experiment_id
from sweeps.engine.plans.checks import check_networks
from sweeps.engine.plans.names import METRIC
from sweeps.engine.plans.ranges import Choices, SearchSpace, Span, all_points, drawn_between, random_point, value_of
from sweeps.engine.search.base import FINISHED, Suggestion

Complete = Callable[[Mapping[str, Any]], Experiment]

IDENTITY = "trial"
"""The attribute of a study's trial that holds the identity of the experiment; others made none that was new."""

_MAX_ATTEMPTS = 100
"""Invalid or known points in a row after which a point is drawn at random."""


class OptunaExperimentSearch:
    """Optuna's points, completed to whole experiments.

    Invalid experiments are passed over, and so are those that were suggested before: a training with equal settings
    would repeat its numbers bit for bit. Where Optuna proposes nothing new, points are drawn at random; the search ends
    when every setting of its space has been suggested.

    Args:
        space: the spans that are searched, by dotted key.
        complete: the whole experiment that searched values make; MemosweepError where they make none.
        direction: `max` or `min` of the ratio.
        num_trials: when to stop.
        seed: of Optuna's sampler.
    """

    def __init__(
        self, space: SearchSpace, complete: Complete, direction: Literal["max", "min"], num_trials: int, seed: int = 0
    ) -> None:
        self.space, self._complete, self._left, self._seed = space, complete, num_trials, seed
        self._distributions = {key: _distribution(span) for key, span in space.items()}
        self.study = _study(direction, seed)
        self._live: dict[str, optuna.trial.Trial] = {}
        self._known: list[str] = []
        """Every experiment that was suggested, as JSON with sorted keys."""
        self.ended: str | None = None
        """Why no further trial is suggested although some are left."""

    def suggest(self, key: str, full: bool = False) -> Suggestion:
        """Return a complete experiment, or FINISHED after `num_trials`, or where no valid and new point is found."""
        if self._left <= 0 or self.ended is not None:
            return FINISHED
        for _ in range(_MAX_ATTEMPTS):
            found = self._ask(key)
            if found is not None:
                return found
        point = self._new_point()
        if point is None:
            return FINISHED
        self.study.enqueue_trial(point)
        return self._ask(key)

    def _new_point(self) -> dict[str, Any] | None:
        """Draw a point at random that was not suggested yet; None, and why, where there seems to be none."""
        seed, points = f"{self._seed} {len(self._known)}", all_points(self.space)
        if points is not None:
            new = [point for point in points if self._new_experiment(point) is not None]
            if new:
                return random.Random(seed).choice(new)
            self.ended = f"all {len(self._known)} settings of the search space were tried"
            return None
        for attempt in range(_MAX_ATTEMPTS, 2 * _MAX_ATTEMPTS):
            point = random_point(self.space, random.Random(f"{seed} {attempt}"))
            if self._new_experiment(point) is not None:
                return point
        self.ended = f"no further valid setting of the search space was found in {2 * _MAX_ATTEMPTS} attempts"
        return None

    def _ask(self, key: str) -> FlatExperiment | None:
        """Return the experiment of Optuna's next point; None where it is invalid or known."""
        trial = self.study.ask(self._distributions)
        experiment = self._new_experiment(trial.params)
        if experiment is None:
            # Failed for Optuna, so that it neither counts a known ratio twice nor waits for one.
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        trial.set_user_attr(IDENTITY, experiment_id(experiment))
        self._live[key] = trial
        self._known.append(_as_text(experiment))
        self._left -= 1
        return experiment

    def _new_experiment(self, drawn: Mapping[str, Any]) -> FlatExperiment | None:
        try:
            experiment = self._complete({key: value_of(key, self.space[key], value) for key, value in drawn.items()})
            check_networks([experiment])
        except MemosweepError:
            return None
        flat = experiment.to_flat()
        return None if _as_text(flat) in self._known else flat

    def complete(self, key: str, result: Mapping[str, Any] | None) -> None:
        """Pass the last result on; a trial that failed or diverged has no ratio."""
        trial = self._live.pop(key)
        if result is None:
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, float(result[METRIC]))


def _as_text(experiment: FlatExperiment) -> str:
    return json.dumps(experiment, sort_keys=True)


def _study(direction: Literal["max", "min"], seed: int) -> optuna.Study:
    # The trials are on the screen already.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
    return optuna.create_study(direction=directions[direction], sampler=optuna.samplers.TPESampler(seed=seed))


def _distribution(span: Span) -> BaseDistribution:
    if isinstance(span, Choices):
        # Indices, since a choice may be a list, which Optuna does not store.
        return CategoricalDistribution(list(range(len(span.choices))))
    if span.integer:
        low, high = map(round, drawn_between(span))
        return IntDistribution(low, high, log=span.log)
    return FloatDistribution(*drawn_between(span), log=span.log)
