"""The outcome of a search as a table: one row a factor value, with what it cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.emm.curves import PAPER_SAMPLES, observations
from analysis.emm.search.search import CurvePrior, Proposal, Search

# Sizes trained for one value in the paper's Fig. 3a: 15.5k images.
PAPER_GRID = (500, 1000, 2000, 3000, 4000, 5000)
COLUMNS = (
    "value",
    "emm",
    "emm_low",
    "emm_high",
    "kind",
    "method",
    "bracket_low",
    "bracket_high",
    "slope",
    "slope_low",
    "slope_high",
    "predicted",
    "predicted_low",
    "predicted_high",
    "trials",
    "images_trained",
    "images_sampled",
    "cost_in_emms",
    "grid_images",
    "grid_cost_in_emms",
    "finished",
    "non_monotone",
)


def emm_table(search: Search, grid: Sequence[int] = PAPER_GRID) -> pd.DataFrame:
    """One row for each factor value, in the search's order.

    Args:
        search: finished or not.
        grid: sizes that a grid would have trained for every value; none where there is no such grid.

    Returns:
        frame with COLUMNS: sizes in images; `bracket_low` and `bracket_high` are the largest success and
        the smallest failure (NaN where there is none); `images_trained` counts each training by the share
        of its budget that was spent; costs are in units of the EMM (or bound) found; `non_monotone` lists
        sizes that failed below a success.
    """
    rows = []
    for found in search.estimates():
        rows.append(
            {
                "value": found.value,
                "emm": found.emm,
                "emm_low": found.low,
                "emm_high": found.high,
                "kind": found.kind,
                "method": found.method,
                "bracket_low": np.nan if found.bracket_low is None else float(found.bracket_low),
                "bracket_high": np.nan if found.bracket_high is None else float(found.bracket_high),
                "slope": found.slope,
                "slope_low": found.slope_low,
                "slope_high": found.slope_high,
                "predicted": found.predicted,
                "predicted_low": found.predicted_low,
                "predicted_high": found.predicted_high,
                "trials": found.trials,
                "images_trained": found.images_trained,
                "images_sampled": found.images_sampled,
                "cost_in_emms": found.cost_in_emms,
                "grid_images": float(sum(grid)) if grid else np.nan,
                "grid_cost_in_emms": sum(grid) / found.emm if grid else np.nan,
                "finished": found.finished,
                "non_monotone": ", ".join(map(str, found.non_monotone)),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def search_of(
    table: pd.DataFrame,
    factor: str,
    target: float = 0.9,
    tolerance: float = 0.1,
    *,
    size: str = "size",
    ratio: str = "memorization_ratio",
    num_samples: int = PAPER_SAMPLES,
    seed: str | None = "seed",
    min_size: int | None = None,
    max_size: int | None = None,
    prior: CurvePrior | None = None,
) -> Search:
    """A search that has already seen a table: its estimates, its figure, or a grid to go on from.

    Args:
        table, factor, size, ratio, num_samples, seed: see `observations`.
        target, tolerance, prior: see `Search`.
        min_size, max_size: limits; the sizes in the table if None.

    Raises:
        ValueError: from `observations` and `Search`.
    """
    groups = observations(table, factor, size, ratio, num_samples, seed=seed)
    low = min(int(g.sizes.min()) for g in groups) if min_size is None else min_size
    high = max(int(g.sizes.max()) for g in groups) if max_size is None else max_size
    values = [g.value.item() if isinstance(g.value, np.generic) else g.value for g in groups]
    search = Search(values, low, high, target, tolerance=tolerance, prior=prior)  # type: ignore[arg-type]
    number = -1
    for value, data in zip(values, groups, strict=True):
        seen: dict[int, int] = {}
        for n, r, count in zip(data.sizes, data.ratios, data.num_samples, strict=True):
            seed_index = seen.get(int(n), 0)
            seen[int(n)] = seed_index + 1
            proposal = Proposal(number, value, int(n), seed_index, int(count), "given")  # type: ignore[arg-type]
            search.observe(proposal, float(r))
            number -= 1
    return search
