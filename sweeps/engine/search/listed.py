"""A list of experiments, one trial each."""

from collections.abc import Mapping, Sequence
from typing import Any

from memo_core.experiment import Experiment
from sweeps.engine.search.base import FINISHED, Suggestion


class ListedTrials:
    """Suggests the experiments one after the other."""

    ended = None

    def __init__(self, trials: Sequence[Experiment]) -> None:
        self._left = iter(trials)

    def suggest(self, key: str, full: bool = False) -> Suggestion:
        """Return the next experiment; FINISHED after the last."""
        trial = next(self._left, None)
        return FINISHED if trial is None else trial.to_flat()

    def complete(self, key: str, result: Mapping[str, Any] | None) -> None:
        """Learn nothing from a trial."""
