"""Where curves over |D| cross 1 - zeta: the effective model memorization, as a figure marks it."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.emm.curves import ValueData
from analysis.emm.isotonic import crossing as falling_crossing
from analysis.emm.isotonic import monotone_ratios

CROSSING_COLUMNS = ("value", "zeta", "emm", "emm_low", "emm_high", "kind")


def crossing(
    sizes: Sequence[float], ratios: Sequence[float], zeta: float, samples: Sequence[float] | None = None
) -> dict[str, float | str]:
    """Where the closest falling curve crosses 1 - zeta (section 2, zeta 0.1): the rule of `analysis.emm.estimate`.

    Args:
        sizes: |D|, in any order.
        ratios: in 0..1.
        zeta: in (0, 1).
        samples: behind each ratio, its weight; equal ones where not given.

    Returns:
        `emm`, interpolated in ln |D| between the neighbours that the crossing lies between; `emm_low` and `emm_high`,
        these neighbours; `kind`: `measured`, or `lower_bound` (even the largest size memorizes: the EMM lies beyond)
        or `upper_bound` (not even the smallest does).
    """
    weights = np.ones(len(sizes)) if samples is None else np.asarray(samples, dtype=float)
    data = ValueData(None, np.asarray(sizes, dtype=float), np.asarray(ratios, dtype=float), weights)
    ordered, falling = monotone_ratios(data)
    target = 1 - zeta
    emm = falling_crossing(ordered, falling, target)
    if emm == 0:
        first = float(ordered[0])
        return {"emm": first, "emm_low": 0.0, "emm_high": first, "kind": "upper_bound"}
    if math.isinf(emm):
        last = float(ordered[-1])
        return {"emm": last, "emm_low": last, "emm_high": math.inf, "kind": "lower_bound"}
    below = int(np.flatnonzero(falling >= target)[-1])
    return {"emm": emm, "emm_low": float(ordered[below]), "emm_high": float(ordered[below + 1]), "kind": "measured"}


def crossings(data: pd.DataFrame, key: str, zetas: tuple[float, ...] = (0.1,)) -> pd.DataFrame:
    """The crossings of each curve of `analysis.figures.size.size_data` at each zeta: `CROSSING_COLUMNS`."""
    rows = []
    for value, part in data.groupby(key, dropna=False, sort=True):
        sizes, ratios = part["data.size"].astype(float).tolist(), (part["value"] / 100).tolist()
        samples = part["samples"].astype(float).tolist() if "samples" in part else None
        rows += [{"value": value, "zeta": zeta, **crossing(sizes, ratios, zeta, samples)} for zeta in zetas]
    return pd.DataFrame(rows, columns=list(CROSSING_COLUMNS))
