"""The samples that trials leave beside their checkpoints (`best.npz`)."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def best_samples(trial_folder: str | Path) -> Mapping[str, NDArray[np.generic]] | None:
    """The samples of a trial's best evaluation, from its newest checkpoint; None where there are none.

    Keys: `memorized`, `nearest_index`, `nearest_distance`, `second_distance` (N,) of all samples; `generated`
    and `nearest` (G, C, H, W) of the first ones.
    """
    for file in sorted(Path(trial_folder).glob("checkpoint_*/best.npz"), reverse=True):
        with np.load(io.BytesIO(file.read_bytes())) as stored:
            return dict(stored)
    return None
