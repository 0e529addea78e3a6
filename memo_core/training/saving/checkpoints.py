"""Several checkpoints of one training, so that a damaged one does not lose it."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from memo_core.errors import ExhaustedError, MemosweepError, OtherTrainingError, first_line
from memo_core.files import sync_folder, write_errors
from memo_core.training.saving.checkpoint import (
    BEST_FILE,
    CHECKPOINT_FILE,
    SUMS_FILE,
    apply_checkpoint,
    check_sums,
    read_whole,
    save_checkpoint,
)
from memo_core.training.saving.record import NotContinuedError
from memo_core.training.trainer import Trainer

MakeTrainer = Callable[[], Trainer]
"""Makes a trainer of the experiment that goes on; called again where a damaged checkpoint spoiled the last one."""

_NAME = re.compile(r"checkpoint_([0-9]{12,18})")
_PREVIOUS = re.compile("previous")
_UNFINISHED, _REPLACED = ".part", ".old"
"""Endings of hidden folders: one being written, and one whose place another just takes."""


def checkpoint_name(images_seen: int) -> str:
    """Return the name of a numbered checkpoint, such as `checkpoint_000000016000`."""
    return f"checkpoint_{images_seen:012d}"


def images_seen_of(path: Path) -> int:
    """Return the position of a numbered checkpoint."""
    return int(path.name.rpartition("_")[2])


class Checkpoints:
    """Numbered checkpoints in a folder of their own, `checkpoint_000000016000/` after 16,000 images seen.

    One process at a time writes there.

    Args:
        folder: is made with the first checkpoint.
        keep: how many; older ones are removed after a newer one was written.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep = {keep}: at least 1")
        self._folder, self._keep = folder, keep

    def paths(self) -> list[Path]:
        """Return the checkpoints, the newest first."""
        if not self._folder.is_dir():
            return []
        found = [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
        return sorted(found, key=images_seen_of, reverse=True)

    def tidy(self) -> None:
        """Bring back, or remove, what a killed process left half done."""
        _tidy(self._folder, _NAME)

    def save(self, trainer: Trainer) -> Path:
        """Write a checkpoint, whole or not at all; then remove older ones beyond `keep`.

        Checkpoints of later positions are removed too: `load_newest` passed over them.

        Raises:
            DivergedError, StorageFullError or MemosweepError: as `save_checkpoint`; all others stay as they were.
        """
        path = self._folder / checkpoint_name(trainer.images_seen)
        with write_errors(path, 0):
            self.tidy()
            with _replacing(path) as unfinished:
                save_checkpoint(trainer, unfinished)
            paths = self.paths()
            at = paths.index(path)
            for other in [*paths[:at], *paths[at + self._keep :]]:
                shutil.rmtree(other, ignore_errors=True)
        return path

    def load_newest(self, make_trainer: MakeTrainer, newest: int | None = None) -> tuple[Trainer, list[str]]:
        """Continue from the newest checkpoint that is whole, and from which the rows come out as if asked for at once.

        Args:
            make_trainer: makes the trainer, whose budget and evaluations may differ from those of the checkpoints.
            newest: the images seen of the newest one that is wanted; None takes any.

        Returns:
            The trainer, at its start where no checkpoint is of use; and a line for each that was passed over.

        Raises:
            OtherTrainingError: a checkpoint has other settings or other images.
            ExhaustedError: memory does not suffice.
        """
        self.tidy()
        paths = [path for path in self.paths() if newest is None or images_seen_of(path) <= newest]
        trainer, used, errors = _first_usable(paths, make_trainer, as_at_once=True)
        onward = "starting anew" if used is None else f"going on from {used.name}"
        return trainer or make_trainer(), _notes(errors, onward)


class NewestAndPrevious:
    """A training's checkpoint in a folder itself, and the one before in `previous/` within it.

    Args:
        folder: of the newest one, which may hold other files; it is made with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._previous = folder, folder / "previous"

    @property
    def paths(self) -> list[Path]:
        """The checkpoints, the newest first."""
        return [path for path in (self._folder, self._previous) if (path / CHECKPOINT_FILE).exists()]

    def save(self, trainer: Trainer) -> None:
        """Write the newest checkpoint; the one so far becomes the previous one, unless it is damaged.

        Raises:
            DivergedError, StorageFullError or MemosweepError: as `save_checkpoint`; a whole checkpoint is there still.
        """
        with write_errors(self._previous, 0):
            _tidy(self._folder, _PREVIOUS)
            if self._newest_is_whole():
                with _replacing(self._previous) as unfinished:
                    unfinished.mkdir()
                    for name in (CHECKPOINT_FILE, BEST_FILE, SUMS_FILE):
                        if (self._folder / name).exists():
                            _link(self._folder / name, unfinished / name)
        save_checkpoint(trainer, self._folder)

    def load(self, make_trainer: MakeTrainer) -> tuple[Trainer, list[str]]:
        """Continue from the newest checkpoint that is whole, as `load_checkpoint` does.

        Returns:
            The trainer, and a line for a newer one that was passed over.

        Raises:
            OtherTrainingError: a checkpoint has other settings or other images.
            MemosweepError: both are damaged, or the only one is.
        """
        _tidy(self._folder, _PREVIOUS)
        trainer, used, errors = _first_usable(self.paths, make_trainer, as_at_once=False)
        if trainer is None:
            raise next(iter(errors.values()), MemosweepError(f"{self._folder} holds no checkpoint to resume"))
        return trainer, _notes(errors, f"going on from {used}")

    def _newest_is_whole(self) -> bool:
        try:
            return check_sums(self._folder) is not None
        except MemosweepError:
            return False


def _first_usable(
    paths: Iterable[Path], make_trainer: MakeTrainer, as_at_once: bool
) -> tuple[Trainer | None, Path | None, dict[Path, MemosweepError]]:
    """Return a trainer that goes on from the first usable checkpoint, which one it is, and the errors of the others."""
    errors: dict[Path, MemosweepError] = {}
    trainer: Trainer | None = None
    for path in paths:
        trainer = trainer or make_trainer()
        try:
            # Most damage shows before the trainer is changed.
            content, best_arrays = read_whole(path, trainer.device)
        except MemosweepError as error:
            errors[path] = _without_frames(error)
            continue
        try:
            apply_checkpoint(trainer, content, best_arrays, path, as_at_once)
        except (OtherTrainingError, ExhaustedError):
            raise
        except MemosweepError as error:
            errors[path] = _without_frames(error)
            if not isinstance(error, NotContinuedError):
                trainer = None
        else:
            return trainer, path, errors
    return None, None, errors


def _without_frames(error: MemosweepError) -> MemosweepError:
    """Return an error to be kept: its frames would keep a whole training in memory."""
    error.__context__ = None
    return error.with_traceback(None)


def _notes(errors: dict[Path, MemosweepError], onward: str) -> list[str]:
    notes = []
    for path, error in errors.items():
        reason = first_line(error).removeprefix(f"{path}{os.sep}")
        what = "not used" if isinstance(error, NotContinuedError) else "damaged"
        notes.append(f"{path.name}: {what} ({reason}), {onward}")
    return notes


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Name a hidden folder to be filled, which then takes the place of `path`; nothing of it stays after an error."""
    unfinished, replaced = (path.with_name(f".{path.name}{ending}") for ending in (_UNFINISHED, _REPLACED))
    try:
        yield unfinished
        sync_folder(unfinished)
        if path.exists():
            path.rename(replaced)
        unfinished.rename(path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _tidy(folder: Path, names: re.Pattern[str]) -> None:
    """Remove what a killed process left behind; what it was just replacing comes back where nothing is in its place."""
    # A place that cannot be written is an error where something is to be written.
    with contextlib.suppress(OSError):
        for hidden in list(folder.glob(".*")):
            name = hidden.stem.removeprefix(".")
            if hidden.suffix not in (_UNFINISHED, _REPLACED) or not names.fullmatch(name) or not hidden.is_dir():
                continue
            if hidden.suffix == _REPLACED and not (folder / name).exists():
                hidden.rename(folder / name)
            else:
                shutil.rmtree(hidden, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        # A file system without links.
        shutil.copyfile(source, target)
