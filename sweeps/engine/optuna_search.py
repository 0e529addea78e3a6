"""Optuna under Tune: the one place that knows its distributions."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from memo_core.errors import MemosweepError
from memo_core.experiment import FlatExperiment
from sweeps.engine.data_check import check_networks
from sweeps.engine.ranges import SearchSpace, drawn_between, value_of
from sweeps.engine.space import METRIC

Complete = Callable[[Mapping[str, Any]], FlatExperiment]

_MOST_ATTEMPTS = 100
"""Invalid points in a row after which a space is taken to hold no other."""


class OptunaExperimentSearch(Searcher):  # type: ignore[misc] # ray ships no types
    """Ray's Optuna searcher, whose suggestions are completed to whole experiments; invalid ones are passed over.

    Args:
        space: the spans that are searched, by dotted key.
        complete: the whole experiment that searched values make; MemosweepError where they make none.
        direction: `max` or `min` of the ratio.
        num_trials: when to stop.
        seed: of Optuna's sampler.
    """

    def __init__(self, space: SearchSpace, complete: Complete, direction: str, num_trials: int, seed: int = 0) -> None:
        super().__init__(metric=METRIC, mode=direction)
        self._space, self._complete, self._left = space, complete, num_trials
        self._inner = _ray_searcher(space, direction, seed)
        self._inner_ids: dict[str, str] = {}

    def suggest(self, trial_id: str) -> FlatExperiment | str | None:
        """A complete experiment, or FINISHED after `num_trials`, or where no valid point is found."""
        if self._left <= 0:
            return str(Searcher.FINISHED)
        for attempt in range(_MOST_ATTEMPTS):
            # Optuna knows each point that it drew by a name of its own.
            inner_id = f"{trial_id}/{attempt}"
            drawn = self._inner.suggest(inner_id)
            if not isinstance(drawn, dict):
                return drawn  # type: ignore[no-any-return]
            values = {key: value_of(key, self._space[key], value) for key, value in drawn.items()}
            try:
                experiment = self._complete(values)
                check_networks([experiment])
            except MemosweepError:
                self._inner.on_trial_complete(inner_id, error=True)
                continue
            self._inner_ids[trial_id] = inner_id
            self._left -= 1
            return experiment
        return str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass an intermediate result on."""
        self._inner.on_trial_result(self._inner_ids[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass the last result on."""
        self._inner.on_trial_complete(self._inner_ids[trial_id], result, error)

    def save(self, checkpoint_path: str) -> None:
        """Write Optuna's state, how many trials are left and their names, as one file: Tune moves no other."""
        with tempfile.TemporaryDirectory() as folder:
            self._inner.save(f"{folder}/state")
            inner = (Path(folder) / "state").read_bytes()
        own = json.dumps({"left": self._left, "inner_ids": self._inner_ids}).encode()
        Path(checkpoint_path).write_bytes(own + b"\n" + inner)

    def restore(self, checkpoint_path: str) -> None:
        """Read it back."""
        own, _, inner = Path(checkpoint_path).read_bytes().partition(b"\n")
        state = json.loads(own)
        self._left, self._inner_ids = state["left"], state["inner_ids"]
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "state").write_bytes(inner)
            self._inner.restore(f"{folder}/state")


def _ray_searcher(space: SearchSpace, direction: str, seed: int) -> Any:
    try:
        import optuna  # noqa: PLC0415
        from optuna.distributions import (  # noqa: PLC0415 - optional
            BaseDistribution,
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )
        from ray.tune.search.optuna import OptunaSearch  # noqa: PLC0415
    except ImportError as error:
        raise MemosweepError(f"--search optuna needs Optuna ({error}): pip install optuna") from None
    # The trials are on the screen already.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, BaseDistribution] = {}
    for key, span in space.items():
        if "choices" in span:
            # Indices, since a choice may be a list, which Optuna does not store.
            distributions[key] = CategoricalDistribution(list(range(len(span["choices"]))))
            continue
        low, high = drawn_between(span)
        if span["integer"]:
            distributions[key] = IntDistribution(round(low), round(high), log=span["log"])
        else:
            distributions[key] = FloatDistribution(low, high, log=span["log"])
    return OptunaSearch(space=distributions, metric=METRIC, mode=direction, seed=seed)
