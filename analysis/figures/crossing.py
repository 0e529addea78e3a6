"""Where curves over |D| cross 1 - zeta: the effective model memorization, as a figure marks it."""

import math

import pandas as pd

CROSSING_COLUMNS = ("value", "zeta", "emm", "emm_low", "emm_high", "kind")


def crossing(sizes: list[float], ratios: list[float], zeta: float) -> dict[str, float | str]:
    """The largest |D| with a ratio of at least 1 - zeta, between two measured sizes (section 2, zeta 0.1).

    Args:
        sizes: |D|, in any order.
        ratios: in 0..1.
        zeta: in (0, 1).

    Returns:
        `emm`, interpolated in ln |D| between the neighbours that the last crossing lies between; `emm_low` and
        `emm_high`, these neighbours; `kind`: `measured`, or `lower_bound` (even the largest size memorizes: the EMM
        lies beyond) or `upper_bound` (not even the smallest does).
    """
    points = sorted(zip(sizes, ratios, strict=True))
    target = 1 - zeta
    passing = [index for index, (_, ratio) in enumerate(points) if ratio >= target]
    if not passing:
        return {"emm": points[0][0], "emm_low": 0.0, "emm_high": points[0][0], "kind": "upper_bound"}
    if passing[-1] == len(points) - 1:
        return {"emm": points[-1][0], "emm_low": points[-1][0], "emm_high": math.inf, "kind": "lower_bound"}
    (low, upper), (high, lower) = points[passing[-1]], points[passing[-1] + 1]
    share = (upper - target) / (upper - lower)
    emm = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return {"emm": emm, "emm_low": low, "emm_high": high, "kind": "measured"}


def crossings(data: pd.DataFrame, key: str, zetas: tuple[float, ...] = (0.1,)) -> pd.DataFrame:
    """The crossings of each curve of `analysis.figures.size.size_data` at each zeta: `CROSSING_COLUMNS`."""
    rows = []
    for value, part in data.groupby(key, dropna=False, sort=True):
        sizes, ratios = part["data.size"].astype(float).tolist(), (part["value"] / 100).tolist()
        rows += [{"value": value, "zeta": zeta, **crossing(sizes, ratios, zeta)} for zeta in zetas]
    return pd.DataFrame(rows, columns=list(CROSSING_COLUMNS))
