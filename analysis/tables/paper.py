"""Cells of the paper's tables: ours, published, difference."""

from dataclasses import dataclass

import pandas as pd

from analysis.errors import AnalysisError
from analysis.runs.groups import summary
from analysis.runs.runs import Runs
from analysis.tables.published import BLOCKS, CAPTIONS, Block, published

NUMBERS = tuple(BLOCKS)


@dataclass(frozen=True)
class PaperTable:
    """One of Tables 1 to 8."""

    number: int
    caption: str
    blocks: tuple[tuple[Block, pd.DataFrame], ...]
    """Each block with its cells: the row's dotted keys, `dataset`, `data.size`, `ours`, `low`, `high`, `trials`,
    `published`, `difference` (ours - published), `reached` (trials behind `ours` that were stopped on reaching their
    target, which makes it a lower bound); ratios in percent."""

    @property
    def has_ours(self) -> bool:
        """Whether any of our runs fill a cell."""
        return any(cells["ours"].notna().any() for _, cells in self.blocks)

    @property
    def data(self) -> pd.DataFrame:
        """All cells, one a row, with `table` and `source`."""
        parts = [cells.assign(table=self.number, source=block.source) for block, cells in self.blocks]
        names = dict.fromkeys(["table", "source", *(name for part in parts for name in part)])
        return pd.concat([part.reindex(columns=list(names)) for part in parts], ignore_index=True)


def paper_table(number: int, runs: Runs | None = None) -> PaperTable:
    """One of the paper's tables.

    Args:
        number: 1 to 8.
        runs: none shows the published numbers alone. Ours are the trials that vary the
            table's factor with all else equal; where several such groups are pooled, the largest. Cells of
            another data set than the paper's stand beside the published ones, and get no difference.

    Raises:
        AnalysisError: there is no such table.
    """
    if number not in BLOCKS:
        raise AnalysisError(f"the paper has no Table {number}: 1 to 8 are known")
    blocks = tuple((block, _cells(block, runs)) for block in BLOCKS[number])
    return PaperTable(number, CAPTIONS[number], blocks)


def paper_tables(runs: Runs) -> list[PaperTable]:
    """Those tables of the paper that our runs fill at least in part."""
    return [table for table in (paper_table(number, runs) for number in NUMBERS) if table.has_ours]


def _cells(block: Block, runs: Runs | None) -> pd.DataFrame:
    theirs = published(block).assign(dataset=block.dataset)
    ours = _ours(block, runs) if runs is not None else None
    index = [*block.keys, "dataset", "data.size"]
    if ours is None:
        cells = theirs.assign(ours=float("nan"), low=float("nan"), high=float("nan"), trials=0, reached=0)
    else:
        for key in block.keys:
            if pd.api.types.is_numeric_dtype(theirs[key]):
                ours = ours.assign(**{key: ours[key].astype("float64")})
                theirs = theirs.assign(**{key: theirs[key].astype("float64")})
        ours = ours.assign(**{"data.size": ours["data.size"].astype("int64")})
        # The published order first: it is the paper's layout.
        cells = theirs.merge(ours, how="outer", on=index, sort=False)
    difference = cells["ours"] - cells["published"]
    counts = {name: cells[name].fillna(0).astype("int64") for name in ("trials", "reached")}
    cells = cells.assign(**counts, difference=difference)
    return cells[[*index, "ours", "low", "high", "trials", "published", "difference", "reached"]]


def _ours(block: Block, runs: Runs) -> pd.DataFrame | None:
    rows = runs.evaluations
    if block.metric not in rows or any(key not in rows for key in block.keys):
        return None
    found = runs.where(rows[block.metric].notna()).groups(block.keys[0], within=("data.size", *block.keys[1:]))
    if not found:
        return None
    chosen = found[0].runs
    data = summary(chosen, [*block.keys, "data.size"], block.metric)
    dataset = _dataset_name(str(chosen.evaluations["data.dataset"].iloc[0])) if "data.dataset" in rows else "ours"
    if "reached" not in data:
        data = data.assign(reached=0)
    return data.rename(columns={"value": "ours"}).assign(dataset=dataset)


def _dataset_name(dataset: str) -> str:
    """`cifar10` for the embedded one and for archives of it; a path's last part for others."""
    return "cifar10" if "cifar10" in dataset.lower().replace("-", "") else dataset.rpartition("/")[2]
