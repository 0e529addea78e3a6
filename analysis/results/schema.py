"""The settings of an experiment as columns: types and defaults, from `memo_core.experiment`, and what has a meaning."""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from memo_core.experiment import Experiment


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, entry in model.model_fields.items():
        if isinstance(entry.annotation, type) and issubclass(entry.annotation, BaseModel):
            yield from _fields(entry.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", entry


def _kinds(annotation: Any) -> set[Any]:
    """The alternatives of a type, without what constrains them."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _kinds(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return set().union(*map(_kinds, typing.get_args(annotation)))
    return {origin or annotation}


def _plain(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


_FIELDS: Mapping[str, FieldInfo] = dict(_fields(Experiment))

INTEGER_SETTINGS = frozenset(key for key, entry in _FIELDS.items() if _kinds(entry.annotation) - {type(None)} == {int})
FLOAT_SETTINGS = frozenset(key for key, entry in _FIELDS.items() if _kinds(entry.annotation) - {type(None)} == {float})

DEFAULTS: Mapping[str, Any] = {
    key: _plain(entry.default) for key, entry in _FIELDS.items() if entry.default is not None and key != "data.size"
}
"""The defaults of settings. Those whose default is missing (such as `data.resolution`) need no entry; a run without
`data.size` is not read."""

CONDITIONAL: Mapping[str, tuple[str, Any]] = {"data.num_labels": ("data.labels", "random")}
"""Settings that mean something only where another one has a value; elsewhere they are missing."""

OPTIMUM = "optimum"
"""The architecture of the closed-form optimal denoiser, which is not trained."""


def experiment_keys(frame: pd.DataFrame) -> list[str]:
    """The columns that describe an experiment: dotted keys and `seed`."""
    return [column for column in frame.columns if "." in column or column == "seed"]


def with_defaults(frame: pd.DataFrame, keys: Iterable[str] | None = None) -> pd.DataFrame:
    """Fill settings that some runs do not name with the defaults of `Experiment`.

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
            filled[key] = DEFAULTS[key]
        elif frame[key].isna().any():
            filled[key] = frame[key].fillna(DEFAULTS[key])
    return _without_meaningless(frame.assign(**filled) if filled else frame)


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
