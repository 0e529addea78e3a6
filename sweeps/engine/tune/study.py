"""Keeps the file of an Optuna search up to date while its trials run."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback

from analysis.results.store import is_local, join_url, local_path, open_location
from sweeps.engine.plans.manifest import name_of
from sweeps.engine.search.optuna import OptunaExperimentSearch
from sweeps.engine.search.study_file import STUDY_FILE, StudyFile

_SECONDS = 1.0
_REMOTE_SECONDS = 30.0
"""Object stores get the whole file each time."""


class StudyView(Callback):  # type: ignore[misc] # ray ships no types
    """Writes `optuna.journal` into a run's folder, for `optuna-dashboard`.

    What cannot be written is left out: the study is a view, and no reason for a sweep to end.

    Args:
        search: of the run.
        run_path: folder or URL of the run.
        scratch: a local folder for the file of a run behind a URL.
        clock: seconds.
    """

    def __init__(
        self,
        search: OptunaExperimentSearch,
        run_path: str,
        scratch: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._is_local = clock, is_local(run_path)
        self._location = join_url(run_path, STUDY_FILE)
        self._file = Path(local_path(self._location) if self._is_local else f"{scratch}/{STUDY_FILE}")
        self._search, self._name = search, name_of(run_path)
        self._study: StudyFile | None = None
        self._next = -float("inf")
        self._behind = False

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Write what is new, where it is time."""
        if self._clock() >= self._next:
            self._next = self._clock() + (_SECONDS if self._is_local else _REMOTE_SECONDS)
            self.write()

    def on_experiment_end(self, trials: list[Any], **_: Any) -> None:
        """Write what is new."""
        self.write()

    def write(self) -> None:
        """Write what is new since the last time."""
        with contextlib.suppress(OSError, ValueError):
            self._study = self._study or StudyFile(self._file, self._name, self._search)
            self._behind |= self._study.update()
            if self._behind and not self._is_local:
                filesystem, path = open_location(self._location)
                filesystem.put_file(str(self._file), path)
            self._behind = False
