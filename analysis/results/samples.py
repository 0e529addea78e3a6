"""The samples that trials leave beside their checkpoints (`best.npz`)."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.results.store import open_store, read_file

SAMPLES_FILE = "best.npz"


def best_samples(trial_folder: str | Path) -> Mapping[str, NDArray[np.generic]] | None:
    """The samples of a trial's best evaluation, from its newest checkpoint; None where there are none.

    Args:
        trial_folder: path or URL, the `folder` column of `analysis.load`.

    Returns:
        `memorized`, `nearest_index`, `nearest_distance`, `second_distance` (N,) of all samples; `generated` and
        `nearest` (G, C, H, W) of the first ones, uint8.
    """
    try:
        store = open_store(trial_folder)
    except AnalysisError:
        return None
    checkpoints = [name for name in store.folders() if name.startswith("checkpoint_")]
    for name in reversed(checkpoints):
        content = read_file(store, f"{name}/{SAMPLES_FILE}")
        if isinstance(content, bytes):
            try:
                with np.load(io.BytesIO(content)) as stored:
                    return dict(stored)
            except (ValueError, zipfile.BadZipFile, OSError):
                continue  # half-written by a killed trial: the checkpoint before has them too
    return None
