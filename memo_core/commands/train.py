"""Train one experiment and report its memorization ratio at every evaluation."""

import argparse
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memo_core.command_line import add_threads_argument, parse_device, parse_duration, parse_settings, set_threads
from memo_core.commands.interruption import Interruption
from memo_core.commands.progress import progress_bar
from memo_core.errors import DivergedError, MemosweepError, first_line
from memo_core.experiment import Experiment
from memo_core.experiment.presets import PRESETS, experiment_from
from memo_core.files import check_output_folder, write_atomically
from memo_core.results import RESULT_FILE, Stopwatch, result_lines
from memo_core.terminal import complain

if TYPE_CHECKING:
    from memo_core.training.saving.checkpoints import NewestAndPrevious
    from memo_core.training.trainer import Trainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_experiment_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/experiment"),
        metavar="DIR",
        help="folder of the checkpoint and of result.json (default: %(default)s); the checkpoint before is in "
        "DIR/previous",
    )
    parser.add_argument(
        "--checkpoint-every",
        default="10min",
        metavar="TIME",
        help="save so often between evaluations too, such as 90s or 2h (default: %(default)s)",
    )
    add_threads_argument(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue from the checkpoint in --out, or from the one before where it is damaged",
    )
    parser.add_argument(
        "--auto-resume", action="store_true", help="start, or continue from the checkpoint in --out where there is one"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU when there is one)")


def add_experiment_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--preset` and `--set`, which together describe one experiment."""
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default="laptop", help="settings to start from (default: %(default)s)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="change a setting of the preset, for example --set data.size=64")  # fmt: skip


def experiment_of(options: argparse.Namespace) -> Experiment:
    """Return the experiment that `--preset` and `--set` describe."""
    return experiment_from(options.preset, parse_settings(options.set))


def run(options: argparse.Namespace) -> None:
    """Train to the end of the budget, keeping the newest checkpoint and the one before."""
    interruption = Interruption()
    with interruption.listening():
        try:
            _run(options, interruption)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(str(error) or "interrupted before it trained: start it again") from None


def _run(options: argparse.Namespace, interruption: Interruption) -> None:
    from memo_core.data import load_training_set  # noqa: PLC0415
    from memo_core.model.precision import emulation_note  # noqa: PLC0415
    from memo_core.training.saving.checkpoints import NewestAndPrevious  # noqa: PLC0415
    from memo_core.training.trainer import Trainer  # noqa: PLC0415

    every = parse_duration(options.checkpoint_every, "--checkpoint-every")
    check_output_folder(options.out, "--out")
    checkpoints = NewestAndPrevious(options.out)
    resumes = options.resume or (options.auto_resume and bool(checkpoints.paths))
    if checkpoints.paths and not resumes:
        ways = "--resume continues it, --auto-resume does so where there is one, --out names another folder"
        raise MemosweepError(f"{options.out} holds a checkpoint: {ways}")
    if options.resume and not checkpoints.paths:
        raise MemosweepError(f"{options.out} holds no checkpoint to resume")
    experiment, device = experiment_of(options), parse_device(options.device)
    data = load_training_set(experiment.data)

    def make_trainer() -> Trainer:
        return Trainer(experiment, device, data)

    trainer, notes = checkpoints.load(make_trainer) if resumes else (make_trainer(), [])
    for note in notes:
        complain(f"note: {note}")
    set_threads(options.threads, trainer.state.parameters.values.numel())
    decided = trainer.decide_mode()
    assert trainer.mode is not None
    if decided is None and experiment.training.precision == "auto":
        decided = f"training.precision = auto: {trainer.mode.precision}, as this training began"
    for line in filter(None, (decided, emulation_note(trainer.mode.precision, device))):
        complain(f"note: {line}")
    results = _Results(trainer, options.out)
    again = "the same command" if options.auto_resume else "the same command with --resume"
    try:
        _train(trainer, _Saving(trainer, checkpoints, every, interruption, again), results, interruption)
    except DivergedError as error:
        results.write({"failure": "diverged", "cause": first_line(error), "images_seen": error.images_seen})
        raise
    print(f"best memorization ratio {trainer.best_memorization_ratio:.4f}; checkpoint in {options.out}")


class _Saving:
    """Saves a trainer every so many seconds, at its evaluations, and when it is interrupted."""

    def __init__(
        self,
        trainer: "Trainer",
        checkpoints: "NewestAndPrevious",
        seconds: float,
        interruption: Interruption,
        again: str,
    ) -> None:
        self._trainer, self._checkpoints, self._seconds = trainer, checkpoints, seconds
        self._interruption, self._again = interruption, again
        self._last, self._is_saving, self._is_given_up = time.monotonic(), False, False
        self._saved = self._position()
        interruption.is_deferred = lambda: self._is_saving or not trainer.is_between_steps

    def _position(self) -> tuple[int, int]:
        return self._trainer.images_seen, len(self._trainer.rows)

    def is_due(self) -> bool:
        """Return whether it is time to save, or to stop."""
        return self._interruption.is_requested or time.monotonic() - self._last >= self._seconds

    def save(self) -> None:
        """Save, and then stop where that was requested."""
        self._is_saving, self._is_given_up = True, True
        self._interruption.wait()
        try:
            self._checkpoints.save(self._trainer)
        finally:
            self._is_saving = False
        self._saved, self._last, self._is_given_up = self._position(), time.monotonic(), False
        self._interruption.check()

    def at_the_end(self) -> str:
        """Save what is not saved yet, where the trainer is between two steps; return how to go on."""
        if self._trainer.is_between_steps and self._position() != self._saved and not self._is_given_up:
            with contextlib.suppress(KeyboardInterrupt):
                self.save()
        seen = self._saved[0]
        if not seen:
            return "interrupted before anything was saved: start it again"
        return f"interrupted: saved at {seen:,} images seen, {self._again} goes on"


class _Results:
    """Keeps `result.json` of a training: a line for each evaluation, as in the folder of a sweep's trial.

    Args:
        trainer: may come from a checkpoint, whose rows are written again: they may be lost, or be more than it has.
        folder: of the file.
    """

    def __init__(self, trainer: "Trainer", folder: Path) -> None:
        self._trainer, self._folder = trainer, folder
        self._watch = Stopwatch(trainer.rows)
        if trainer.rows:
            self.write()

    def stamp(self) -> None:
        """Add to the last row when it was reported, before a checkpoint takes it."""
        self._trainer.rows[-1] |= self._watch.times()

    def write(self, failure: Mapping[str, Any] | None = None) -> None:
        """Write the file whole.

        Args:
            failure: the last report of a training that broke off for good.
        """
        experiment, rows = self._trainer.experiment, [*self._trainer.rows, *([failure] if failure else [])]
        done = failure is not None or rows[-1]["images_seen"] >= experiment.evaluation_points[-1]
        lines = result_lines(rows, experiment.to_flat(), done)
        write_atomically(self._folder / RESULT_FILE, "".join(lines).encode())


def _train(trainer: "Trainer", saving: _Saving, results: _Results, interruption: Interruption) -> None:
    from rich.console import Console  # noqa: PLC0415

    console = Console()
    try:
        with progress_bar() as progress:
            task = progress.add_task("training", total=trainer.experiment.total_images, completed=trainer.images_seen)
            for evaluation in trainer.evaluations(
                lambda seen: progress.update(task, completed=seen), save_due=saving.is_due, save=saving.save
            ):
                results.stamp()
                saving.save()
                results.write()
                numbers = evaluation.metrics
                console.print(
                    f"epoch {numbers['epoch']:,.0f}  images {numbers['images_seen']:,}  loss {numbers['loss']:.4f}  "
                    f"memorization ratio {numbers['memorization_ratio']:.4f} "
                    f"[{numbers['memorization_ratio_low']:.4f}, {numbers['memorization_ratio_high']:.4f}]  "
                    f"kNN distance {numbers['knn_distance']:.2f}",
                    highlight=False,
                    soft_wrap=True,
                )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(saving.at_the_end()) from None
