"""Columns with true types from values as JSON gives them."""

from collections.abc import Mapping, Sequence
from itertools import chain
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from analysis.results.schema import DEFAULTS, FLOAT_COLUMNS, INTEGER_COLUMNS, REPORTED
from analysis.stats.binomial import wilson_interval


def typed(name: str, values: Sequence[Any]) -> pd.Series:
    """A column of the narrowest true type: Int64, boolean, float64 or text; missing values stay missing.

    Args:
        name: of the column; known ones have their type whatever the values.
        values: numbers, text, booleans or None.
    """
    kinds = set(map(type, values)) - {type(None)}
    numeric = all(issubclass(kind, Real) and not issubclass(kind, bool) for kind in kinds)
    whole = all(issubclass(kind, Integral) for kind in kinds)
    if kinds and numeric and (name in FLOAT_COLUMNS or not whole):
        return pd.Series(np.array(values, dtype="float64"), name=name)  # None becomes NaN
    if (kinds and numeric) or (not kinds and name in INTEGER_COLUMNS):
        return pd.Series(values, name=name, dtype="Int64")
    if kinds == {bool}:
        return pd.Series(values, name=name, dtype="boolean")
    if not kinds and name in FLOAT_COLUMNS:
        return pd.Series(values, name=name, dtype="float64")
    return pd.Series([None if value is None else str(value) for value in values], name=name, dtype="str")


def typed_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A frame of rows that need not have the same keys; columns of lists or mappings are left out."""
    names = tuple(rows[0]) if rows else ()
    if all(tuple(row) == names for row in rows):
        # The common case, several times faster.
        found = zip(names, zip(*(row.values() for row in rows), strict=True), strict=True)
    else:
        names = tuple(dict.fromkeys(chain.from_iterable(rows)))
        found = zip(names, (tuple(row.get(name) for row in rows) for name in names), strict=True)
    return pd.DataFrame(
        {name: typed(name, values) for name, values in found if not set(map(type, values)) & {list, dict}}
    )


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames one below the other; a column that has several types becomes the widest of them."""
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return frames[0] if frames else pd.DataFrame()
    if len(filled) == 1:
        return filled[0].reset_index(drop=True)
    names = list(dict.fromkeys(name for frame in filled for name in frame.columns))
    columns = {}
    for name in names:
        kinds = {str(frame[name].dtype) for frame in filled if name in frame.columns}
        if len(kinds) == 1 and all(name in frame.columns for frame in filled):
            columns[name] = pd.concat([frame[name] for frame in filled], ignore_index=True)
            continue
        values: list[Any] = []
        for frame in filled:
            found = frame[name].tolist() if name in frame.columns else [None] * len(frame)
            values += [None if pd.isna(value) else value for value in found]
        columns[name] = typed(name, values)
    return pd.DataFrame(columns)


def completed(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill what an older run did not report: columns of missing values, and what follows from other columns.

    Args:
        frame: one experiment's evaluations; `trial` tells its trials apart.

    Returns:
        The frame with every column of `REPORTED` and `cost_images`, the images that the whole trial has seen.
    """
    absent = {name: typed(name, [None] * len(frame)) for name in REPORTED if name not in frame.columns}
    frame = frame.assign(**absent)
    samples = frame["num_samples"]
    if "evaluation.num_samples" in frame.columns:
        samples = samples.fillna(frame["evaluation.num_samples"])
    samples = samples.fillna(DEFAULTS["evaluation.num_samples"])
    ratio, count = frame["memorization_ratio"], samples.astype("float64")
    low, high = (pd.Series(ends, index=frame.index) for ends in wilson_interval(ratio * count, count))
    by_trial = frame.groupby("trial", sort=False)
    return frame.assign(
        num_samples=samples,
        memorization_ratio_low=frame["memorization_ratio_low"].fillna(low),
        memorization_ratio_high=frame["memorization_ratio_high"].fillna(high),
        best_memorization_ratio=frame["best_memorization_ratio"].fillna(by_trial["memorization_ratio"].cummax()),
        cost_images=by_trial["images_seen"].transform("max").astype("Int64"),
    )


def image_budget(frame: pd.DataFrame) -> pd.Series:
    """Return for each row the images that its trial was to see (`Experiment.total_images`); NaN where not known."""
    images, epochs, size = (
        pd.to_numeric(frame[key]).astype("float64") if key in frame else pd.Series(np.nan, index=frame.index)
        for key in ("training.images", "training.epochs", "data.size")
    )
    return images.fillna((epochs * size).apply(np.ceil))
