"""Each sample beside its nearest training image: how sure a replica is, and the pairs as a table."""

import csv
import io
import math
from collections.abc import Iterable, Sequence

from jaxtyping import Float64, Int64
from torch import Tensor

from memo_core.errors import escaped
from memo_core.measure.memorization import Memorization

PAIR_COLUMNS = (
    "sample",
    "nearest_image",
    "nearest_distance",
    "second_distance",
    "distance_ratio",
    "calibrated_distance",
    "memorized",
)
"""The columns of `pairs_csv`."""


def distance_ratio(result: Memorization) -> Float64[Tensor, " n"]:
    """Return the distance to the nearest training image over that to the second nearest.

    A sample is memorized when this is below the threshold of the criterion. The decision itself is made without
    rounding (`is_memorized`).

    Returns:
        In [0, 1]; NaN where both distances are 0, i.e. the sample equals two equal training images.
    """
    # 0 / 0 is NaN: two equal training images at distance 0 say neither that the sample is a replica nor the opposite.
    return result.nearest_distance / result.second_distance


def most_certain(result: Memorization) -> Int64[Tensor, " n"]:
    """Order the samples by `distance_ratio`, smallest first; ties by position, undefined ratios last."""
    return distance_ratio(result).nan_to_num(nan=math.inf).argsort(stable=True)


def pairs_csv(
    result: Memorization, sample_names: Sequence[str], training_names: Sequence[str], prompts: Sequence[str] = ()
) -> str:
    """Write the pairs as CSV: a header (`PAIR_COLUMNS`) and a row for each sample, in the order of the samples.

    Distances have the unit of `knn_distance` (pixel values 0..255 per value) and all their digits; an undefined
    ratio is an empty cell; `memorized` is `true` or `false`. What cannot be printed in a name is escaped.

    Args:
        result: of n samples and m training images.
        sample_names: n names.
        training_names: m names.
        prompts: n prompts, for a last column `prompt`; none where samples have none.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*PAIR_COLUMNS, "prompt") if prompts else PAIR_COLUMNS)
    columns: list[Iterable[object]] = [
        map(escaped, sample_names),
        (escaped(training_names[index]) for index in result.nearest_index.tolist()),
        result.nearest_distance.tolist(),
        result.second_distance.tolist(),
        ("" if math.isnan(ratio) else ratio for ratio in distance_ratio(result).tolist()),
        result.calibrated.tolist(),
        (str(memorized).lower() for memorized in result.memorized.tolist()),
    ]
    if prompts:
        columns.append(map(escaped, prompts))
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue()


def short_names(names: Sequence[str]) -> list[str]:
    """Remove the beginning that all names share, up to its last separator, and replace what cannot be printed.

    `set.zip: 00000/a.png` and `set.zip: 00000/b.png` become `a.png` and `b.png`. Names that differ remain different
    as long as they differ in printable characters.
    """
    shared = _shared_beginning(names)
    separators = (": ", ", ", "/", "\\")
    end = max((shared.rfind(separator) + len(separator) for separator in separators if separator in shared), default=0)
    return ["".join(letter if letter.isprintable() else "?" for letter in name[end:] or name) for name in names]


def _shared_beginning(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    length = next((i for i, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return first[:length]
