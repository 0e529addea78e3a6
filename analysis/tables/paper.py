"""The paper's tables: ours, published, difference."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.runs.factors import ratio_text, size_text, value_text
from analysis.runs.groups import summary
from analysis.runs.runs import Runs
from analysis.tables.published import BLOCKS, CAPTIONS, Block, published
from analysis.tables.table import Column, Table
from analysis.tables.writers import Format, write
from memo_core.errors import MemosweepError

NUMBERS = tuple(BLOCKS)
LOWER_BOUND = ">= marks a lower bound: a trial was stopped on reaching its target"


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
    """Return one of the paper's tables.

    Args:
        number: 1 to 8.
        runs: none shows the published numbers alone. Ours are the largest group of trials that differ in the table's
            factor alone. Cells of another data set than the paper's get no difference.

    Raises:
        MemosweepError: there is no such table.
    """
    if number not in BLOCKS:
        raise MemosweepError(f"the paper has no Table {number}: 1 to 8 are known")
    blocks = tuple((block, _cells(block, runs)) for block in BLOCKS[number])
    return PaperTable(number, CAPTIONS[number], blocks)


def paper_tables(runs: Runs) -> list[PaperTable]:
    """Return those tables of the paper that our runs fill at least in part."""
    return [table for table in (paper_table(number, runs) for number in NUMBERS) if table.has_ours]


def write_paper_table(table: PaperTable, form: Format = "text") -> str:
    """Return a table of the paper in one of `FORMATS`; CSV has a cell a row, the others the paper's layout."""
    if form == "csv":
        return table.data.to_csv(index=False).rstrip("\n")
    return "\n\n".join(write(_layout(table, index, *block), form) for index, block in enumerate(table.blocks))


def tables_beside(table: PaperTable) -> list[Table]:
    """Return the blocks in which ours stand beside published numbers, in the paper's layout; rows without ours not."""
    found = []
    for index, (block, cells) in enumerate(table.blocks):
        keys = list(block.keys)
        has = cells.groupby(keys, dropna=False)[["ours", "published"]].transform(lambda column: column.notna().any())
        kept = cells[has["ours"]]
        if has["published"][has["ours"]].any():
            found.append(_layout(table, index, block, kept))
    return found


def _layout(table: PaperTable, index: int, block: Block, cells: pd.DataFrame) -> Table:
    """Return a block in the paper's layout; a cell reads `ours (published, difference)`."""
    places = list(dict.fromkeys(zip(cells["dataset"], cells["data.size"], strict=True)))
    places.sort(key=lambda place: (place[0] != block.dataset, place[0], place[1]))
    titles = [("" if data == block.dataset else f"{data} ") + f"|D| = {size_text(int(size))}" for data, size in places]
    header = [*(Column.setting(key).title for key in block.keys), *titles]
    rows = []
    # `merge` sorts nothing, but values that only we have come last: numbers belong in order.
    for values, part in cells.groupby(list(block.keys), sort=False, dropna=False):
        by_place = {(row["dataset"], row["data.size"]): row for _, row in part.iterrows()}
        names = [_row_text(key, value) for key, value in zip(block.keys, values, strict=True)]
        rows.append([*names, *(_cell(by_place.get(place)) for place in places)])
    if block.file == "batch_size":  # the paper prints batch sizes side by side
        header, *rows = (list(line) for line in zip(header, *rows, strict=True))
    kinds = [Column(title) for title in header]
    return Table(f"paper{table.number}-{index}", f"{block.source}: {table.caption}", kinds, rows, _notes(block, cells))


def _notes(block: Block, cells: pd.DataFrame) -> list[str]:
    source = f"published: Gu et al., TMLR 2025, {block.source}"
    if cells["ours"].isna().all():
        return [f"(published) only: no run varies it; {source}"]
    notes = [f"ours (published, difference); {source}"]
    if cells["reached"].any():
        notes.append(LOWER_BOUND)
    if cells["difference"].isna().all():
        notes.append("no run shares data set and size with the published ones, so there is no difference")
    return notes


def _row_text(key: str, value: Any) -> str:
    return "-" if pd.isna(value) else value_text(key, value)


def _cell(row: pd.Series | None) -> str:
    if row is None or (pd.isna(row["ours"]) and pd.isna(row["published"])):
        return ""
    if pd.isna(row["ours"]):
        return f"({row['published']:.2f})"
    ours = ratio_text(row["ours"], bool(row["reached"]))
    if pd.isna(row["published"]):
        return ours
    # The difference of a lower bound would pass for that of a final ratio.
    difference = "" if row["reached"] or pd.isna(row["difference"]) else f", {row['difference']:+.2f}"
    return f"{ours} ({row['published']:.2f}{difference})"


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
    """`cifar10` and `imagenette` for these and archives or folders of them; a path's last part for others."""
    plain = dataset.lower().replace("-", "")
    known = next((name for name in ("cifar10", "imagenette") if name in plain), None)
    return known or dataset.rpartition("/")[2]
