"""ASHA, which goes on with what the trials of earlier starts reported."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from memo_core.results import experiment_id

Reports = Mapping[str, Sequence[Mapping[str, Any]]]
"""The rows of trials by identity."""


class ContinuedASHA(ASHAScheduler):  # type: ignore[misc] # ray ships no types
    """ASHA with the reports of earlier starts: without them, the first trials of each start would never be stopped.

    Args:
        earlier: what trials reported before this start.
        options: of ASHA.
    """

    def __init__(self, earlier: Reports, **options: Any) -> None:
        super().__init__(**options)
        self._earlier = earlier

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Take the metric, by which earlier reports can be recorded."""
        taken = bool(super().set_search_properties(metric, mode, **spec))
        for trial_id, rows in self._earlier.items():
            self._trial_info[trial_id] = self._brackets[0]
            for row in rows:
                self.on_trial_result(None, SimpleNamespace(trial_id=trial_id), row)
            del self._trial_info[trial_id]
        self._earlier = {}
        return taken

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Add a trial, under whose name in Tune its earlier reports now count."""
        super().on_trial_add(tune_controller, trial)
        before = experiment_id(trial.config)
        for _, recorded in self._trial_info[trial.trial_id]._rungs:
            if before in recorded:
                recorded[trial.trial_id] = recorded.pop(before)
