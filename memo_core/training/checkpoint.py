"""Checkpoints: a folder with `checkpoint.pt` (the trainer's state) and `best.npz` (its best samples)."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memo_core.errors import MemosweepError
from memo_core.files import write_atomically
from memo_core.training.trainer import Trainer

CHECKPOINT_FILE = "checkpoint.pt"
BEST_FILE = "best.npz"


def save_checkpoint(trainer: Trainer, folder: str | Path) -> None:
    """Write a trainer's state into `folder`; each file appears whole or not at all."""
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

    Raises:
        MemosweepError: no such file, or not a checkpoint.
    """
    try:
        content = torch.load(file, map_location=device, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = (str(error).splitlines() or ["empty"])[0]
        raise MemosweepError(f"{file}: not a readable checkpoint ({reason})") from None
    if not isinstance(content, dict) or "experiment" not in content:
        raise MemosweepError(f"{file}: not a checkpoint of this project (it holds no experiment)")
    return content


def load_checkpoint(trainer: Trainer, folder: str | Path) -> None:
    """Continue `trainer` from the checkpoint in `folder`."""
    content = read_checkpoint(Path(folder) / CHECKPOINT_FILE, trainer.device)
    best = Path(folder) / BEST_FILE
    arrays = None
    if best.exists():
        with np.load(best) as stored:
            arrays = dict(stored)
    trainer.load_state_dict(content, arrays)
