"""Failures of trials under Tune: counted since the last progress, and left where users look for them."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from analysis.results.store import join_url, last_part, open_location
from memo_core.errors import StorageFullError
from sweeps.engine.tune.trial.trial_folder import CHECKPOINTS, ERROR_FILE

_FULL = StorageFullError.__name__
_TUNE_ERROR_FILE = "error.txt"
_LOOK_SECONDS = 10.0


class Failures(Callback):  # type: ignore[misc] # ray ships no types
    """Takes a trial's failures off its account when it has made progress, and stops the run when its disk is full.

    Args:
        run_path: folder or URL of the run.
        folder: from a trial's experiment to the name of its folder.
    """

    def __init__(
        self, run_path: str, folder: Callable[[dict[str, Any]], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run_path, self._folder, self._clock = run_path, folder, clock
        self._newest: dict[str, str] = {}
        """By Tune's id of a trial, its newest checkpoint at its last failure."""
        self._looked = clock()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Count from a report on."""
        trial.run_metadata.num_failures = 0

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Count from a checkpoint on: before the next failure, of which Tune decides before it says anything."""
        if self._clock() - self._looked < _LOOK_SECONDS:
            return
        self._looked = self._clock()
        for trial in trials:
            failed = trial.status == Trial.RUNNING and trial.run_metadata.num_failures > 0
            with contextlib.suppress(OSError):  # a store that is out of reach at present
                if failed and self._newest_checkpoint(trial) != self._newest.get(trial.trial_id, ""):
                    trial.run_metadata.num_failures = 0

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Count from the newest checkpoint on, where the failure before it was earlier."""
        self._see(trial)
        newest = self._newest_checkpoint(trial)
        if newest != self._newest.get(trial.trial_id, ""):
            self._newest[trial.trial_id] = newest
            trial.run_metadata.num_failures = 1

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Keep the error of a trial that is given up, where its process could not."""
        self._see(trial)

    def _see(self, trial: Trial) -> None:
        """Copy the error of a process that died, and stop the run where the error is that the disk is full."""
        file = Path(trial.local_path) / _TUNE_ERROR_FILE
        error = file.read_text(errors="replace") if file.exists() else ""
        full = error.rfind(f"{_FULL}: ")
        if full >= 0:
            raise StorageFullError(error[full:].partition(": ")[2].splitlines()[0])
        location = join_url(self._run_path, self._folder(trial.config))
        filesystem, path = open_location(location)
        # A worker that lives to see its error has written it itself.
        if not filesystem.exists(f"{path}/{ERROR_FILE}"):
            filesystem.makedirs(path, exist_ok=True)
            filesystem.pipe_file(f"{path}/{ERROR_FILE}", error.encode())

    def _newest_checkpoint(self, trial: Trial) -> str:
        filesystem, path = open_location(join_url(self._run_path, self._folder(trial.config)))
        names = map(last_part, filesystem.ls(path, detail=False))
        return max((name for name in names if name.startswith(CHECKPOINTS)), default="")
