"""A checkpoint: a folder with `checkpoint.pt` (the trainer's state), `best.npz` (its best samples), and checksums."""

import hashlib
import io
import logging
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from memo_core.errors import MemosweepError, first_line, quoted, reason_of
from memo_core.experiment import Experiment
from memo_core.files import write_atomically, write_together
from memo_core.memory import memory_errors
from memo_core.training.divergence import check_finite
from memo_core.training.steps.step import TrainedParameters
from memo_core.training.trainer import Trainer

CHECKPOINT_FILE = "checkpoint.pt"
BEST_FILE = "best.npz"
SUMS_FILE = "checkpoint.sha256"
"""In the format of `sha256sum`, which checks it with `-c`."""

_FORM: dict[str, type | tuple[type, ...]] = {
    "experiment": dict,
    "resolution": int,
    "channels": int,
    "num_labels": int,
    "ema": dict,
}
"""What every checkpoint holds: enough to sample from."""

_RESUME_FORM: dict[str, type | tuple[type, ...]] = {
    "model": dict,
    "optimizer": dict,
    "images_seen": int,
    "seconds": (float, int),
    "noise_generator": torch.Tensor,
    "dropout_generator": torch.Tensor,
    "divergence": dict,
    "pixels_sha256": str,
    "rows": list,
    "tallies": list,
    "best_images_seen": int,
    "has_adaptive_samples": bool,
}
"""What training needs beyond it."""

_SUM = re.compile(rf"([0-9a-f]{{64}})  ({re.escape(CHECKPOINT_FILE)}|{re.escape(BEST_FILE)})")

_log = logging.getLogger(__name__)


def save_checkpoint(trainer: Trainer, folder: str | Path) -> None:
    """Write a trainer's state into `folder`, with checksums; what was written is read back.

    All of it is on the disk before the first file is replaced; `checkpoint.sha256` is there only beside the files that
    it belongs to.

    Raises:
        DivergedError: parameters, averages or Adam's moments are NaN or infinite; what is there stays as it is.
        StorageFullError: the disk is full; likewise.
        MemosweepError: the folder cannot be written; likewise.
    """
    check_finite(trainer.state, trainer.images_seen)
    with memory_errors("while a checkpoint is saved", "it is made in memory first; take a machine with more memory"):
        buffer = io.BytesIO()
        torch.save(trainer.state_dict(), buffer)
        files = {CHECKPOINT_FILE: buffer.getvalue()}
        if trainer.best_arrays is not None:
            files[BEST_FILE] = _compressed(trainer.best_arrays)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    write_together(folder, {**files, SUMS_FILE: sums.encode()}, vouching=SUMS_FILE)


def save_samples(arrays: Mapping[str, Any], folder: str | Path) -> None:
    """Write the samples of an evaluation (`Evaluation.arrays`) as `best.npz` into `folder`."""
    write_atomically(Path(folder) / BEST_FILE, _compressed(arrays))


def _compressed(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def check_sums(folder: str | Path) -> frozenset[str] | None:
    """Compare the files of a checkpoint with `checkpoint.sha256`.

    Returns:
        The names of the files that belong to the checkpoint; None where there are no checksums.

    Raises:
        MemosweepError: a file is missing or damaged, or the checksums are.
    """
    sums = Path(folder) / SUMS_FILE
    try:
        lines = sums.read_text("ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MemosweepError(f"{sums}: cannot be read ({error.strerror or error})") from None
    expected = {}
    for line in lines:
        match = _SUM.fullmatch(line)
        if match is None:
            raise MemosweepError(f"{sums}: damaged, {quoted(line)} is not a SHA-256 and a file of a checkpoint")
        expected[match[2]] = match[1]
    if CHECKPOINT_FILE not in expected:
        raise MemosweepError(f"{sums}: damaged, it does not name {CHECKPOINT_FILE}")
    for name, digest in expected.items():
        file = Path(folder) / name
        try:
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise MemosweepError(f"{file}: cannot be read ({error.strerror or error})") from None
        if found != digest:
            raise MemosweepError(f"{file}: damaged, its SHA-256 is not the one in {SUMS_FILE}")
    return frozenset(expected)


def read_checkpoint(file: str | Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read `checkpoint.pt`; only tensors and plain containers are admitted, never code.

    Returns:
        The checkpoint, with `experiment` validated and complete.

    Raises:
        MemosweepError: no such file, a damaged one, or not a checkpoint.
    """
    try:
        # PyTorch does not look at the checksums: a flipped bit would pass as a weight.
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} is damaged")
        content = torch.load(file, map_location=device, weights_only=True)
    # Over a damaged file, zipfile and PyTorch's unpickler fail in whatever way the damage takes them.
    except Exception as error:
        reason = reason_of(error, file) if isinstance(error, OSError) else first_line(error)
        if isinstance(error, UnpicklingError):
            # PyTorch's own words advise to load the file all the same.
            foreign = re.search(r"GLOBAL ([\w.]{1,80}) was not an allowed global", str(error))
            reason = (
                f"it refers to code, {foreign[1]}, and only tensors and plain values are read"
                if foreign
                else "its contents are damaged"
            )
        raise MemosweepError(f"{file}: not a readable checkpoint ({reason})") from None
    if not isinstance(content, dict) or "experiment" not in content:
        raise MemosweepError(f"{file}: not a checkpoint of this project (it holds no experiment)")
    _check_form(content, _FORM, file)
    if any(not isinstance(key, str) for key in content["experiment"]):
        raise MemosweepError(f"{file}: not a checkpoint of this project (its experiment has keys that are not text)")
    try:
        content["experiment"] = Experiment.from_flat(content["experiment"]).to_flat()
    except MemosweepError as error:
        # The value that is quoted may be a tensor, which takes many lines.
        raise MemosweepError(f"{file}: {' '.join(str(error).split())[:300]}") from None
    return content


def load_checkpoint(trainer: Trainer, folder: str | Path) -> None:
    """Continue `trainer` from the checkpoint in `folder`; a longer budget or other evaluations are allowed.

    Raises:
        OtherTrainingError: the checkpoint has other settings or other images; the trainer stays as it was.
        DivergedError: parameters, averages or Adam's moments are NaN or infinite; the trainer is of no more use.
        MemosweepError: a damaged checkpoint; where `trainer.is_between_steps` is still true, it stays as it was.
    """
    content, best_arrays = read_whole(folder, trainer.device)
    apply_checkpoint(trainer, content, best_arrays, folder)


def read_whole(folder: str | Path, device: torch.device | str = "cpu") -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Read a checkpoint for a training that goes on from it, and check it as far as this needs no trainer.

    Returns:
        The trainer's state, and its best samples.

    Raises:
        MemosweepError: no checkpoint, or a damaged one.
    """
    folder = Path(folder)
    file, best = folder / CHECKPOINT_FILE, folder / BEST_FILE
    names = check_sums(folder)
    content = read_checkpoint(file, device)
    _check_form(content, _RESUME_FORM, file)
    return content, _read_samples(best) if names is None or BEST_FILE in names else None


def apply_checkpoint(
    trainer: Trainer,
    content: dict[str, Any],
    best_arrays: dict[str, Any] | None,
    folder: str | Path,
    as_at_once: bool = False,
) -> None:
    """Continue `trainer` from what `read_whole` returned; errors and `as_at_once` as in `Trainer.load_state_dict`."""
    file = Path(folder) / CHECKPOINT_FILE
    try:
        trainer.load_state_dict(content, best_arrays, as_at_once)
        if trainer.images_seen:
            _check_moments(trainer.state, file)
        check_finite(trainer.state, trainer.images_seen)
    except MemosweepError:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise MemosweepError(f"{file}: cannot be resumed ({type(error).__name__}: {first_line(error)})") from None


def _check_form(content: Mapping[str, Any], form: Mapping[str, type | tuple[type, ...]], file: str | Path) -> None:
    for key, kind in form.items():
        if key not in content:
            raise MemosweepError(f"{file}: an incomplete checkpoint, it has no {key!r}")
        if not isinstance(content[key], kind):
            found, wanted = type(content[key]).__name__, kind[0] if isinstance(kind, tuple) else kind
            raise MemosweepError(f"{file}: a damaged checkpoint, {key!r} is a {found}, not a {wanted.__name__}")


def _check_moments(state: TrainedParameters, file: Path) -> None:
    """Refuse Adam moments that are missing or of another shape, which PyTorch finds only at the next step, or never."""
    values = state.parameters.values
    moments = state.optimizer.state.get(values, {})
    for name in ("exp_avg", "exp_avg_sq"):
        if getattr(moments.get(name), "shape", None) != values.shape:
            raise MemosweepError(f"{file}: a damaged checkpoint, the optimizer's {name!r} does not fit the model")


def _read_samples(file: Path) -> dict[str, Any] | None:
    """Read the best samples; None where there are none, or where the file is damaged: they are only shown."""
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    # NumPy, zipfile and zlib fail in many ways over damaged bytes.
    except Exception as error:
        _log.warning("%s: damaged (%s); the best samples so far are lost, training goes on", file, first_line(error))
        return None
