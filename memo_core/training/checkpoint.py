"""Checkpoints: a folder with `checkpoint.pt` (the trainer's state) and `best.npz` (its best samples)."""

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

from memo_core.errors import MemosweepError, first_line
from memo_core.experiment import Experiment
from memo_core.files import write_atomically
from memo_core.training.divergence import check_finite
from memo_core.training.step import TrainingState
from memo_core.training.trainer import Trainer

CHECKPOINT_FILE = "checkpoint.pt"
BEST_FILE = "best.npz"

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
    "noise_generator": torch.Tensor,
    "dropout_generator": torch.Tensor,
    "best_memorization_ratio": (float, int),
    "history": list,
}
"""What training needs beyond it."""

_log = logging.getLogger(__name__)


def save_checkpoint(trainer: Trainer, folder: str | Path) -> None:
    """Write a trainer's state into `folder`; each file appears whole or not at all.

    Raises:
        DivergedError: parameters, averages or Adam's moments are NaN or infinite; what is there stays as it is.
        MemosweepError: the folder cannot be written.
    """
    check_finite(trainer.state, trainer.images_seen)
    buffer = io.BytesIO()
    torch.save(trainer.state_dict(), buffer)
    write_atomically(Path(folder) / CHECKPOINT_FILE, buffer.getvalue())
    if trainer.best_arrays is not None:
        save_samples(trainer.best_arrays, folder)


def save_samples(arrays: Mapping[str, Any], folder: str | Path) -> None:
    """Write the samples of an evaluation (`Evaluation.arrays`) as `best.npz` into `folder`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(Path(folder) / BEST_FILE, buffer.getvalue())


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
        reason = (isinstance(error, OSError) and error.strerror) or first_line(error)
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
    """Continue `trainer` from the checkpoint in `folder`.

    Raises:
        MemosweepError: a damaged checkpoint, or that of another experiment; then the trainer is of no more use.
        DivergedError: parameters, averages or Adam's moments are NaN or infinite.
    """
    file = Path(folder) / CHECKPOINT_FILE
    content = read_checkpoint(file, trainer.device)
    _check_form(content, _RESUME_FORM, file)
    try:
        trainer.load_state_dict(content, _read_samples(Path(folder) / BEST_FILE))
    except MemosweepError:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise MemosweepError(f"{file}: cannot be resumed ({type(error).__name__}: {first_line(error)})") from None
    if trainer.images_seen:
        _check_moments(trainer.state, file)
    check_finite(trainer.state, trainer.images_seen)


def _check_form(content: Mapping[str, Any], form: Mapping[str, type | tuple[type, ...]], file: str | Path) -> None:
    for key, kind in form.items():
        if key not in content:
            raise MemosweepError(f"{file}: an incomplete checkpoint, it has no {key!r}")
        if not isinstance(content[key], kind):
            found, wanted = type(content[key]).__name__, kind[0] if isinstance(kind, tuple) else kind
            raise MemosweepError(f"{file}: a damaged checkpoint, {key!r} is a {found}, not a {wanted.__name__}")


def _check_moments(state: TrainingState, file: Path) -> None:
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
