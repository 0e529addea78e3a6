"""The function trainable: memo_core's trainer under Ray Tune, which goes on from what its trial's folder holds."""

import contextlib
import json
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from ray import tune

from analysis.emm.stopping.rules import NextBatch, StoppingRules
from analysis.results.store import is_local, local_path
from memo_core.errors import (
    DivergedError,
    ExhaustedError,
    MemoryExhaustedError,
    MemosweepError,
    ProcessLostError,
    SamplesNotFiniteError,
    StorageError,
    first_line,
)
from memo_core.evaluation import evaluate_optimum
from memo_core.experiment import Experiment, FlatExperiment
from memo_core.memory import memory_errors
from memo_core.model.precision import emulation_note
from memo_core.results import ADDED, TIMES, Stopwatch, experiment_id, training_id
from memo_core.training.saving.checkpoint import save_samples
from memo_core.training.saving.checkpoints import Checkpoints, checkpoint_name
from memo_core.training.trainer import Trainer
from sweeps.engine.cluster.data_sets import DataSets, check_text_files
from sweeps.engine.plans.names import CHECKPOINTS_KEPT
from sweeps.engine.plans.trainings import Trainings
from sweeps.engine.tune.scheduling.memory import is_packed
from sweeps.engine.tune.trial.companions import Companions
from sweeps.engine.tune.trial.ranks import device_of, followed, threads_of
from sweeps.engine.tune.trial.tensorboard import tensorboard_log
from sweeps.engine.tune.trial.trial_folder import (
    ERROR_FILE,
    LAST_ERROR_FILE,
    NOTES_FILE,
    TrialFolder,
)


@dataclass(frozen=True)
class TrialOptions:
    """What all trials of a run share."""

    run_path: str
    """Folder or URL of the run."""
    checkpoint_seconds: float
    """Between two checkpoints, at most, beside those of the evaluations."""
    rules: StoppingRules | None = None
    """What stops a trial of an EMM search early; None trains to the end."""
    reporter: Callable[[str], Callable[[int], None]] | None = None
    """From a trial's identity to what takes the images seen after each step."""
    data_sets: DataSets | None = None
    """Of the driver's machine, where trials run on others too."""
    trainings: Trainings = field(default_factory=dict)
    """Trials that one of them trains for all."""
    folder: Callable[[FlatExperiment], str] | None = None
    """From a trial's experiment to the name of its folder; needed where trainings are shared."""


def train_trial(config: dict[str, Any], options: TrialOptions) -> None:
    """Train one experiment, from its newest good checkpoint on, and report each evaluation.

    A training that diverges, and an error of the experiment itself, would end alike if they were tried again: they end
    the trial with a last report without any ratio, `failure` (`diverged` or `failed`) and its `cause` in one line. So
    does any other error that comes twice at the same place. Other errors are raised for Tune to try again.

    Args:
        config: a complete flat experiment (dotted keys).
        options: of the run.
    """
    if is_local(options.run_path) and not Path(local_path(options.run_path)).is_dir():
        here = socket.gethostname()
        raise MemosweepError(f"{options.run_path}: is not on the node {here}; all nodes must share --storage-path")
    # Tune's working folder of a trial lies within Ray's own, which is removed also where this process is killed.
    folder = TrialFolder(options.run_path, Path(tune.get_context().get_trial_dir()).name, config, Path.cwd())
    attempt = _Attempt(folder, options)
    try:
        experiment = Experiment.from_flat(config)
        if options.data_sets is not None:
            options.data_sets.provide(experiment.data)
        check_text_files(experiment.text)
        attempt.run(experiment)
    except SamplesNotFiniteError as error:
        # Of its own average or sampler: those that it takes along go on by themselves.
        attempt.fail({"failure": "diverged", "cause": first_line(error), "images_seen": error.images_seen})
    except DivergedError as error:
        attempt.diverge({"failure": "diverged", "cause": first_line(error), "images_seen": error.images_seen})
    except (ExhaustedError, StorageError, ProcessLostError):
        # Of the machine and not of the trial.
        attempt.leave_traceback()
        raise
    except MemosweepError as error:
        attempt.leave_traceback()
        attempt.fail({"failure": "failed", "cause": first_line(error)})
    except Exception as error:
        attempt.leave_traceback()
        if not attempt.fails_again(f"{type(error).__name__}: {first_line(error)}"):
            raise
        cause = f"{type(error).__name__}: {first_line(error)} (twice at the same place)"
        attempt.fail({"failure": "failed", "cause": cause})
    finally:
        attempt.close()


class _Attempt:
    """One attempt at a trial."""

    def __init__(self, folder: TrialFolder, options: TrialOptions) -> None:
        self._folder, self._options = folder, options
        self._rows: list[dict[str, Any]] = []
        """What was reported."""
        self._checkpoints = Checkpoints(folder.path, CHECKPOINTS_KEPT)
        self._companions: Companions | None = None
        self._saved = 0
        """The images seen of the newest checkpoint."""

    def run(self, experiment: Experiment) -> None:
        """Train to the end of the trial."""
        bundles = tune.get_context().get_trial_resources().bundles
        torch.set_num_threads(threads_of(bundles[0]))
        device = device_of(bundles[0])
        record = self._folder.record()
        if record.done and record.failure != "failed":
            # As an optimum that a process lost before Tune heard of it, or as a companion of another trial.
            for row in record.rows:
                tune.report(_for_tune(row))
            return
        if experiment.model.architecture == "optimum":
            self._measure_optimum(experiment, device)
            return
        with (
            self._alone_after_memory_error(bundles[0]),
            followed(experiment, bundles, self._options.data_sets, self._note) as ranks,
        ):
            self._companions = self._companions_of(experiment)
            with memory_errors("at its start", "lower model.width, or take a device with more memory"):
                trainer, notes = self._companions.load(
                    self._checkpoints, lambda: Trainer(experiment, device, ranks=ranks)
                )
            for note in notes:
                self._note(note)
            decided = trainer.decide_mode()
            if decided is not None:
                self._note(decided)
            if experiment.training.precision == "auto" and trainer.mode is not None:
                # One that was named is warned of before the sweep starts.
                emulated = emulation_note(trainer.mode.precision, device)
                if emulated is not None:
                    self._note(emulated)
            if ranks is not None:
                trainer.share_state()
            self._train(trainer)

    def _companions_of(self, experiment: Experiment) -> Companions:
        training = self._options.trainings.get(training_id(experiment.to_flat()), ())
        others = [other for other in training if other != experiment]
        return Companions(others, self._options.run_path, self._options.folder, Path.cwd())

    @contextlib.contextmanager
    def _alone_after_memory_error(self, reserved: Mapping[str, float]) -> Iterator[None]:
        """Say that a trial whose GPU was too small for all that share it gets a whole one (`memory.give_whole_gpu`)."""
        try:
            yield
        except MemoryExhaustedError as error:
            if is_packed(reserved):
                share = f"{reserved['GPU']:g} of a GPU"
                note = f"it had {share} and ran {first_line(error)}; the next attempt has a whole one"
                self._note(note)
            raise

    def _note(self, note: str) -> None:
        """Write a line for the user into the trial's folder."""
        self._folder.append(NOTES_FILE, f"{note}\n")

    def _train(self, trainer: Trainer) -> None:
        rules, self._saved = self._options.rules, trainer.images_seen
        assert self._companions is not None
        watch = Stopwatch(trainer.rows)
        with watch.stopped():
            self._companions.evaluate()
        if trainer.rows:
            # What was reported and did not get to the disk, or was lost there.
            self._rows, over = _reported(trainer, rules)
            self._folder.write_results(self._rows, over)
            if over:
                tune.report(_for_tune(self._rows[-1]))
                return
        report = self._options.reporter and self._options.reporter(experiment_id(trainer.experiment.to_flat()))
        due = _Timer(self._options.checkpoint_seconds)
        with tensorboard_log(self._folder) as log:
            for evaluation in trainer.evaluations(report, _sampling(trainer, rules), due, lambda: self._save(trainer)):
                # The checkpoint holds the whole row, so that results that get lost can be written again.
                trainer.rows[-1] |= watch.times()
                self._save(trainer)
                with watch.stopped():
                    self._companions.evaluate()
                due.restart()
                self._rows, over = _reported(trainer, rules)
                self._folder.write_results(self._rows, over)
                log(self._rows[-1], evaluation)
                tune.report(_for_tune(self._rows[-1]))
                if over:
                    return

    def _save(self, trainer: Trainer) -> None:
        self._folder.upload_checkpoint(self._checkpoints.save(trainer))
        if self._companions is not None:
            self._companions.save()
        self._saved = trainer.images_seen

    def _measure_optimum(self, experiment: Experiment, device: str) -> None:
        watch = Stopwatch([])
        evaluation = evaluate_optimum(experiment, device)
        place = self._folder.path / checkpoint_name(0)
        save_samples(evaluation.arrays(), place)
        self._folder.upload(place.name)
        self._rows = [{**evaluation.metrics, **watch.times()}]
        self._folder.write_results(self._rows, done=True)
        tune.report(evaluation.metrics)

    def fail(self, row: dict[str, Any]) -> None:
        """End the trial for good with a report without any ratio."""
        self._folder.write_results([*self._rows, row], done=True)
        tune.report(row)

    def diverge(self, row: dict[str, Any]) -> None:
        """End the trial likewise, and those that its training takes along."""
        if self._companions is not None:
            self._companions.diverge(row)
        self.fail(row)

    def close(self) -> None:
        """Remove local copies of folders."""
        if self._companions is not None:
            self._companions.close()
        self._folder.close()

    def leave_traceback(self) -> None:
        """Write the traceback of the present error into the trial's folder."""
        with contextlib.suppress(MemosweepError):  # where the disk is full
            self._folder.append(ERROR_FILE, traceback.format_exc())

    def fails_again(self, error: str) -> bool:
        """Whether the trial failed with the same error before, and has made no progress since."""
        here = json.dumps({"error": error, "images_seen": self._saved}).encode()
        before = self._folder.read(LAST_ERROR_FILE)
        self._folder.write(LAST_ERROR_FILE, here)
        # As it was written: what is damaged is equal to nothing.
        return before == here


class _Timer:
    """True once at least `seconds` have gone since it was true, or restarted."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._next = time.monotonic() + self._seconds

    def __call__(self) -> bool:
        """Return whether the time has come; restart where it has."""
        if time.monotonic() < self._next:
            return False
        self.restart()
        return True


def _sampling(trainer: Trainer, rules: StoppingRules | None) -> NextBatch | None:
    if rules is None:
        return None
    budget, samples = trainer.experiment.total_images, trainer.experiment.evaluation.num_samples
    return rules.sampling(lambda: (trainer.history, trainer.images_seen), budget, samples)


def _reported(trainer: Trainer, rules: StoppingRules | None) -> tuple[list[dict[str, Any]], bool]:
    """Return the reports of all evaluations so far, and whether the last one ends the trial.

    In an EMM search each holds the training as the search learns of it, and the column by which tables know a lower
    bound; they follow from the rows, and no checkpoint needs to hold them.
    """
    experiment, history = trainer.experiment, trainer.history
    rows: list[dict[str, Any]] = [dict(row) for row in trainer.rows]
    for number, row in enumerate(rows, 1):
        if rules is not None:
            size, samples = experiment.data.size, experiment.evaluation.num_samples
            record = rules.training(history[:number], size, experiment.seed, experiment.total_images, samples)
            row |= {"stopped_early": record.stopped_early, "training": asdict(record)}
    # Not the trainer's own position: a checkpoint may have been saved just before the last evaluation.
    over = rows[-1].get("stopped_early", False) or rows[-1]["images_seen"] >= experiment.evaluation_points[-1]
    return rows, over


def _for_tune(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a trial itself reported of a line in `result.json`; Tune adds the rest, and its own times."""
    return {name: value for name, value in row.items() if name not in (*TIMES, *ADDED)}
