"""Optuna under Tune: the one place that knows its distributions."""

import json
import random
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, Field
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from memo_core.errors import MemosweepError, first_line
from memo_core.experiment import Experiment, FlatExperiment
from sweeps.engine.plans.checks import check_networks
from sweeps.engine.plans.names import METRIC
from sweeps.engine.plans.ranges import STRICT, Choices, SearchSpace, all_points, drawn_between, random_point, value_of
from sweeps.engine.tune.state import parsed, restore_bytes

Complete = Callable[[Mapping[str, Any]], Experiment]

_MAX_ATTEMPTS = 100
"""Invalid or known points in a row after which a point is drawn at random."""


class OptunaState(BaseModel):
    """The part of a saved search that is its own; Optuna's follows in the same file, pickled."""

    model_config = STRICT

    left: Annotated[int, Field(ge=0, le=10**12)]
    inner_ids: dict[str, str]
    known: list[str]
    """Every experiment that was suggested, as JSON with sorted keys."""
    ended: str | None
    """Why no further trial is suggested although some are left."""


class OptunaExperimentSearch(Searcher):  # type: ignore[misc] # ray ships no types
    """Ray's Optuna searcher, whose suggestions are completed to whole experiments.

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

    def __init__(self, space: SearchSpace, complete: Complete, direction: str, num_trials: int, seed: int = 0) -> None:
        super().__init__(metric=METRIC, mode=direction)
        self._space, self._complete, self._left, self._seed = space, complete, num_trials, seed
        self._inner = _ray_searcher(space, direction, seed)
        self._inner_ids: dict[str, str] = {}
        self._known: list[str] = []
        self._ended: str | None = None

    def suggest(self, trial_id: str) -> FlatExperiment | str | None:
        """Return a complete experiment, or FINISHED after `num_trials`, or where no valid and new point is found."""
        if self._left <= 0 or self._ended is not None:
            return str(Searcher.FINISHED)
        for attempt in range(_MAX_ATTEMPTS):
            found = self._ask(f"{trial_id}/{attempt}", trial_id)
            if found is not None:
                return found
        point = self._new_point()
        if point is None:
            return str(Searcher.FINISHED)
        self._inner._ot_study.enqueue_trial(point)
        return self._ask(f"{trial_id}/{_MAX_ATTEMPTS}", trial_id)

    def _new_point(self) -> dict[str, Any] | None:
        """Draw a point at random that was not suggested yet; None, and why, where there seems to be none."""
        seed, points = f"{self._seed} {len(self._known)}", all_points(self._space)
        if points is not None:
            new = [point for point in points if self._new_experiment(point) is not None]
            if new:
                return random.Random(seed).choice(new)
            self._ended = f"all {len(self._known)} settings of the search space were tried"
            return None
        for attempt in range(_MAX_ATTEMPTS, 2 * _MAX_ATTEMPTS):
            point = random_point(self._space, random.Random(f"{seed} {attempt}"))
            if self._new_experiment(point) is not None:
                return point
        self._ended = f"no further valid setting of the search space was found in {2 * _MAX_ATTEMPTS} attempts"
        return None

    def _ask(self, inner_id: str, trial_id: str) -> FlatExperiment | None:
        """Return the experiment of Optuna's next point; None where it is invalid or known."""
        # Optuna has a name of its own for each point that it drew.
        experiment = self._new_experiment(self._inner.suggest(inner_id))
        if experiment is None:
            # Failed for Optuna, so that it neither counts a known ratio twice nor waits for one.
            self._inner.on_trial_complete(inner_id, error=True)
            return None
        self._inner_ids[trial_id] = inner_id
        self._known.append(_as_text(experiment))
        self._left -= 1
        return experiment

    def _new_experiment(self, drawn: Mapping[str, Any]) -> FlatExperiment | None:
        try:
            experiment = self._complete({key: value_of(key, self._space[key], value) for key, value in drawn.items()})
            check_networks([experiment])
        except MemosweepError:
            return None
        flat = experiment.to_flat()
        return None if _as_text(flat) in self._known else flat

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass an intermediate result on; a failure has none."""
        if METRIC in result:
            self._inner.on_trial_result(self._inner_ids[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass the last result on; a trial that diverged has failed, and has no ratio."""
        failed = error or (result is not None and "failure" in result)
        self._inner.on_trial_complete(self._inner_ids[trial_id], None if failed else result, failed)

    def save(self, checkpoint_path: str) -> None:
        """Write this searcher's state and, behind it, Optuna's, as one file: Tune copies no other."""
        with tempfile.TemporaryDirectory() as folder:
            self._inner.save(f"{folder}/state")
            inner = (Path(folder) / "state").read_bytes()
        own = OptunaState(left=self._left, inner_ids=self._inner_ids, known=self._known, ended=self._ended)
        Path(checkpoint_path).write_bytes(own.model_dump_json().encode() + b"\n" + inner)

    def restore(self, checkpoint_path: str) -> None:
        """Read it back; MemosweepError where it is damaged."""
        content = Path(checkpoint_path).read_bytes()
        state = own_state(content, checkpoint_path)
        self._left, self._inner_ids = state.left, dict(state.inner_ids)
        self._known, self._ended = list(state.known), state.ended
        try:
            restore_bytes(self._inner, content.partition(b"\n")[2])
        # Over damaged bytes, pickle fails in many ways.
        except Exception as error:
            raise MemosweepError(f"{checkpoint_path}: Optuna's state is damaged ({first_line(error)})") from None


def own_state(content: bytes, where: str) -> OptunaState:
    """Return what `OptunaExperimentSearch.save` wrote of itself; MemosweepError where it is damaged."""
    return parsed(OptunaState, content.partition(b"\n")[0], where)


def _as_text(experiment: FlatExperiment) -> str:
    return json.dumps(experiment, sort_keys=True)


def _ray_searcher(space: SearchSpace, direction: str, seed: int) -> Any:
    # The trials are on the screen already.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, BaseDistribution] = {}
    for key, span in space.items():
        if isinstance(span, Choices):
            # Indices, since a choice may be a list, which Optuna does not store.
            distributions[key] = CategoricalDistribution(list(range(len(span.choices))))
        elif span.integer:
            low, high = map(round, drawn_between(span))
            distributions[key] = IntDistribution(low, high, log=span.log)
        else:
            distributions[key] = FloatDistribution(*drawn_between(span), log=span.log)
    return OptunaSearch(space=distributions, metric=METRIC, mode=direction, seed=seed)
