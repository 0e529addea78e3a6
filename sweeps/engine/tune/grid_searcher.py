"""A list of experiments, one trial each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field
from ray.tune.search import Searcher

from memo_core.experiment import Experiment, FlatExperiment
from sweeps.engine.plans.names import METRIC
from sweeps.engine.plans.ranges import STRICT
from sweeps.engine.tune.state import parsed


class _State(BaseModel):
    model_config = STRICT

    next: Annotated[int, Field(ge=0)]


class ListedTrials(Searcher):  # type: ignore[misc] # ray ships no types
    """Suggests the experiments one after the other.

    `BasicVariantGenerator(points_to_evaluate=...)` takes lists apart, such as skip masks, and fails.
    """

    def __init__(self, trials: Sequence[Experiment]) -> None:
        super().__init__(metric=METRIC, mode="max")
        self._trials = tuple(trials)
        self._next = 0

    def suggest(self, trial_id: str) -> FlatExperiment | str:
        """Return the next experiment; FINISHED after the last."""
        if self._next >= len(self._trials):
            return str(Searcher.FINISHED)
        self._next += 1
        return self._trials[self._next - 1].to_flat()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Learn nothing from a trial."""

    def save(self, checkpoint_path: str) -> None:
        """Write the place in the list."""
        Path(checkpoint_path).write_text(json.dumps({"next": self._next}))

    def restore(self, checkpoint_path: str) -> None:
        """Read it back."""
        self._next = parsed(_State, Path(checkpoint_path).read_bytes(), checkpoint_path).next
