"""The trials that a trial's training takes along, each with a folder, rows and checkpoints of its own."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memo_core.errors import DivergedError, ProcessLostError, StorageError, first_line
from memo_core.experiment import Experiment, FlatExperiment
from memo_core.results import Stopwatch
from memo_core.training.companion import Companion, load_with_companions
from memo_core.training.saving.checkpoints import Checkpoints, MakeTrainer
from memo_core.training.trainer import Trainer
from sweeps.engine.plans.names import CHECKPOINTS_KEPT
from sweeps.engine.tune.trial.tensorboard import Log, tensorboard_log
from sweeps.engine.tune.trial.trial_folder import TrialFolder


@dataclass
class _Place:
    """Where a companion leaves its results."""

    folder: TrialFolder
    checkpoints: Checkpoints


class Companions(contextlib.ExitStack):
    """The companions of one trial; used as a context manager, which removes local copies of their folders.

    Args:
        experiments: of the trials that share the training, without the one that trains. Those that are done stay as
            they are.
        run_path: folder or URL of the run.
        folder_of: from an experiment to the name of its folder; None where there are no experiments.
        copies: where local copies of folders behind a URL are made.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        run_path: str,
        folder_of: Callable[[FlatExperiment], str] | None,
        copies: Path,
    ) -> None:
        super().__init__()
        self._places: dict[Experiment, _Place] = {}
        self._logs: dict[Experiment, Log] = {}
        self._live: dict[Experiment, Companion] = {}
        for experiment in experiments:
            assert folder_of is not None
            flat = experiment.to_flat()
            folder = TrialFolder(run_path, folder_of(flat), flat, copies)
            self.callback(folder.close)
            if not folder.record().done:
                self._places[experiment] = _Place(folder, Checkpoints(folder.path, CHECKPOINTS_KEPT))

    def load(self, checkpoints: Checkpoints, make_trainer: MakeTrainer) -> tuple[Trainer, list[str]]:
        """Continue the training and those that can go along; see `load_with_companions`."""
        others = {experiment: place.checkpoints for experiment, place in self._places.items()}
        trainer, self._live, notes = load_with_companions(checkpoints, make_trainer, others)
        for experiment in self._live:
            self._logs[experiment] = self.enter_context(tensorboard_log(self._places[experiment].folder))
        return trainer, notes

    def save(self) -> None:
        """Write a checkpoint of each."""
        for experiment in self._live:
            self._save(experiment)

    def evaluate(self) -> None:
        """Evaluate those that are due, and write their results."""
        for experiment, companion in list(self._live.items()):
            # Of its own are these seconds alone.
            watch = Stopwatch(companion.rows)
            try:
                evaluation = companion.evaluate_if_due()
            except DivergedError as error:
                self._end(
                    experiment, {"failure": "diverged", "cause": first_line(error), "images_seen": error.images_seen}
                )
                continue
            except (StorageError, ProcessLostError):
                raise
            # Its own attempt will meet it again, and say so; the others are not to end by it.
            except Exception:
                self._live.pop(experiment).leave()
                continue
            if evaluation is not None:
                companion.rows[-1] |= watch.times()
                self._save(experiment)
                self._logs[experiment](companion.rows[-1], evaluation)
            if companion.rows:
                over = companion.rows[-1]["images_seen"] >= experiment.evaluation_points[-1]
                self._places[experiment].folder.write_results(companion.rows, over)

    def diverge(self, row: dict[str, Any]) -> None:
        """End all of them with the training's last report, which is without any ratio."""
        for experiment in list(self._live):
            self._end(experiment, row)

    def _save(self, experiment: Experiment) -> None:
        place = self._places[experiment]
        place.folder.upload_checkpoint(place.checkpoints.save(self._live[experiment]))

    def _end(self, experiment: Experiment, row: dict[str, Any]) -> None:
        companion = self._live.pop(experiment)
        companion.leave()
        self._places[experiment].folder.write_results([*companion.rows, row], done=True)
