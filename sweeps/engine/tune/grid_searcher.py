"""A list of experiments, one trial each, for studies that are a union of panels and no product."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from memo_core.experiment import FlatExperiment
from sweeps.engine.plans.names import METRIC
from sweeps.engine.tune.searcher_state import ListState, parsed


class ListedTrials(Searcher):  # type: ignore[misc] # ray ships no types
    """Suggests the experiments one after the other.

    `BasicVariantGenerator(points_to_evaluate=...)` would do, but it takes lists apart, such as skip masks, and fails.

    Args:
        trials: complete flat experiments.
    """

    def __init__(self, trials: Sequence[FlatExperiment]) -> None:
        super().__init__(metric=METRIC, mode="max")
        self._trials = list(trials)
        self._next = 0

    def suggest(self, trial_id: str) -> FlatExperiment | str:
        """The next experiment; FINISHED after the last."""
        if self._next >= len(self._trials):
            return str(Searcher.FINISHED)
        self._next += 1
        return dict(self._trials[self._next - 1])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing is learned from a trial."""

    def save(self, checkpoint_path: str) -> None:
        """Write the place in the list."""
        Path(checkpoint_path).write_text(json.dumps({"next": self._next}))

    def restore(self, checkpoint_path: str) -> None:
        """Read it back."""
        self._next = parsed(ListState, Path(checkpoint_path).read_bytes(), checkpoint_path).next
