"""What tells two experiments apart: the settings that may change a ratio, without repeats and without bookkeeping.

One list for tables, figures, verdicts and comparisons, so that all of them match the same runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

REPEATS = ("seed", "data.seed")
"""Keys that repeat an experiment; results are averaged over them."""

MEASURING = (
    "evaluation.every_epochs",
    "evaluation.every_images",
    "evaluation.count",
    "evaluation.num_samples",
    "evaluation.batch_size",
    "evaluation.fid",
)
"""How often and with how many samples an experiment is looked at, and what is reported beside the ratio. Two runs that
differ in these alone are the same experiment; the sampler, its steps and the threshold do change the ratio."""

DEFAULTS: Mapping[str, Any] = {
    "data.blend_ratio": 0.0,
    "data.labels": "none",
    "data.num_labels": 10,
    "data.seed": 0,
    "model.architecture": "ddpmpp",
    "model.preconditioning": "vp",
    "model.width": 128,
    "model.depth": 2,
    "model.time_embedding": "positional",
    "model.dropout": 0.13,
    "model.channel_multipliers": "2,2,2",
    "training.batch_size": 512,
    "training.learning_rate": 2e-4,
    "training.weight_decay": 0.0,
    "training.ema_decay": 0.99929,
    "training.warmup_epochs": 200.0,
    "training.precision": "float32",
    "training.compile": "auto",
    "training.order": "cyclic",
    "evaluation.num_samples": 10_000,
    "evaluation.steps": 18,
    "evaluation.sampler": "ode",
    "evaluation.threshold": 1 / 3,
    "evaluation.batch_size": 500,
    "evaluation.neighbors": "exact",
    "evaluation.fid": False,
}
"""The defaults of settings. Those whose default is missing (such as `data.resolution`) need no entry."""

_UNNAMED: Mapping[str, Any] = {**DEFAULTS, "training.order": "reshuffled"}
"""What a run was trained with that is older than a setting and does not name it."""


CONDITIONAL: Mapping[str, tuple[str, Any]] = {"data.num_labels": ("data.labels", "random")}
"""Settings that mean something only where another one has a value; elsewhere they are missing."""

OPTIMUM = "optimum"
"""The architecture of the closed-form optimal denoiser, which is not trained."""


def experiment_keys(frame: pd.DataFrame) -> list[str]:
    """The columns that describe an experiment: dotted keys and `seed`."""
    return [column for column in frame.columns if "." in column or column == "seed"]


def setting_keys(frame: pd.DataFrame) -> list[str]:
    """The columns that tell experiments apart: those of `experiment_keys` without `REPEATS` and `MEASURING`."""
    return [key for key in experiment_keys(frame) if key not in REPEATS and key not in MEASURING]


def with_defaults(frame: pd.DataFrame, keys: Iterable[str] | None = None) -> pd.DataFrame:
    """Fill settings that some runs do not name with what they were trained with; see `_UNNAMED`.

    What a run names though it means nothing to it becomes missing; see `CONDITIONAL`.

    Args:
        frame: of `analysis.load`.
        keys: settings that are wanted as columns, such as those of another frame; those of the frame where not given.

    Returns:
        The frame, with a column for each of `keys` that has a default.
    """
    wanted = [key for key in (frame.columns if keys is None else keys) if key in DEFAULTS]
    filled: dict[str, Any] = {}
    for key in wanted:
        if key not in frame.columns or frame[key].isna().all():
            filled[key] = _UNNAMED[key]
        elif frame[key].isna().any():
            filled[key] = frame[key].fillna(_UNNAMED[key])
    return _without_meaningless(frame.assign(**filled) if filled else frame)


def varies(column: pd.Series) -> bool:
    """Whether a setting differs among some rows; rows to which it means nothing do not count."""
    values = column.dropna() if column.name in CONDITIONAL else column
    return len(values.unique()) > 1


def varied_keys(frame: pd.DataFrame, known: Sequence[str] | None = None) -> list[str]:
    """The dotted keys that differ among the trials of a frame."""
    keys = experiment_keys(frame) if known is None else known
    return [key for key in keys if varies(frame[key])]


def for_fits(runs: pd.DataFrame) -> pd.DataFrame:
    """Settings that mean nothing to a run with their defaults, for fits that need a number in every row."""
    found = [key for key in CONDITIONAL if key in runs.columns]
    return runs.assign(**{key: runs[key].fillna(DEFAULTS[key]) for key in found})


def _without_meaningless(frame: pd.DataFrame) -> pd.DataFrame:
    if "model.skip_connections" in frame.columns:
        # Beside runs without a mask, one that keeps all is none; among masks it stays what it is called.
        masks = frame["model.skip_connections"]
        whole = masks.astype("str").str.fullmatch("1(,1)*").fillna(False).astype(bool)
        if whole.any() and masks.isna().any():
            frame = frame.assign(**{"model.skip_connections": masks.mask(whole)})
    for key, (other, value) in CONDITIONAL.items():
        if {key, other} <= set(frame.columns):
            frame = frame.assign(**{key: frame[key].where((frame[other] == value).fillna(False).astype(bool))})
    return frame


def networks(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of trained networks; all where there is none.

    The closed-form optimum replicates whatever it is given. Pooled with networks it would pass for runs on which no
    setting has an effect.
    """
    if "model.architecture" not in runs.columns:
        return runs
    trained = runs["model.architecture"] != OPTIMUM
    return runs[trained].reset_index(drop=True) if trained.any() else runs
