"""The samples that trials leave beside their checkpoints (`best.npz`)."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.results.store import open_store, read_file
from memo_core.errors import MemosweepError

SAMPLES_FILE = "best.npz"
PER_SAMPLE = ("memorized", "nearest_index", "nearest_distance", "second_distance")
IMAGES = ("generated", "nearest")
PROMPTS = ("prompts", "prompt_index", "training_names")
"""Of fine-tuned pipelines."""


def best_samples(trial_folder: str | Path) -> Mapping[str, NDArray[np.generic]] | None:
    """The samples of a trial's best evaluation, from its newest checkpoint; None where there are none.

    Args:
        trial_folder: path or URL, the `folder` column of `analysis.load`.

    Returns:
        `memorized`, `nearest_index`, `nearest_distance`, `second_distance` (N,) of all samples; `generated` and
        `nearest` (G, C, H, W) of the first ones, uint8. Of fine-tuned pipelines also `prompts` (P,), the `prompt_index`
        (N,) of each sample, and `training_names` (M,).
    """
    try:
        store = open_store(trial_folder)
    except MemosweepError:
        return None
    checkpoints = [name for name in store.folders() if name.startswith("checkpoint_")]
    # `memo_core train` keeps its newest checkpoint in the folder itself.
    places = [*(f"{name}/{SAMPLES_FILE}" for name in reversed(checkpoints)), SAMPLES_FILE]
    for place in places:
        content = read_file(store, place)
        samples = _parse(content) if isinstance(content, bytes) else None
        # Without it, half-written by a killed trial or damaged: the checkpoint before has samples too.
        if samples is not None:
            return samples
    return None


def prompts_of(samples: Mapping[str, NDArray[np.generic]]) -> list[str]:
    """Return the prompt of each sample; empty where samples have none."""
    if "prompts" not in samples:
        return []
    return [str(samples["prompts"][index]) for index in samples["prompt_index"]]


def _parse(content: bytes) -> Mapping[str, NDArray[np.generic]] | None:
    """Return the arrays of a file; None where they cannot be read or do not fit together."""
    try:
        with np.load(io.BytesIO(content)) as stored:
            samples = {name: stored[name] for name in (*PER_SAMPLE, *IMAGES)}
    # Over damaged bytes, NumPy, zipfile and zlib fail in many ways.
    except Exception:
        return None
    # Of a member whose header is damaged NumPy gives the bytes.
    if not all(isinstance(array, np.ndarray) for array in samples.values()):
        return None
    per_sample, images = ([samples[name] for name in names] for names in (PER_SAMPLE, IMAGES))
    fits = (
        len({array.shape for array in per_sample}) == len({array.shape for array in images}) == 1
        and per_sample[0].ndim == 1
        and images[0].ndim == 4
        and images[0].shape[1] in (1, 3)
        and 0 < len(images[0]) <= len(per_sample[0])
        and all(array.dtype.kind in "biuf" and np.isfinite(array).all() for array in per_sample)
        and samples["nearest_index"].dtype.kind in "iu"
        and (samples["nearest_index"] >= 0).all()
        and all(array.dtype == np.uint8 for array in images)
    )
    if not fits:
        return None
    return {**samples, **_prompts(content, len(per_sample[0]), int(samples["nearest_index"].max()))}


def _prompts(content: bytes, count: int, last_image: int) -> Mapping[str, NDArray[np.generic]]:
    """Return the arrays that name prompts; none where they are missing, damaged or do not fit the samples."""
    try:
        with np.load(io.BytesIO(content)) as stored:
            found = {name: stored[name] for name in PROMPTS}
    # As above.
    except Exception:
        return {}
    prompts, index, names = (found[name] for name in PROMPTS)
    fits = (
        all(isinstance(array, np.ndarray) and array.ndim == 1 for array in (prompts, index, names))
        and prompts.dtype.kind == names.dtype.kind == "U"
        and index.dtype.kind in "iu"
        and len(index) == count
        and bool(((index >= 0) & (index < len(prompts))).all())
        and last_image < len(names)
    )
    return found if fits else {}
