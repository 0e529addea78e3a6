"""A table as text, Markdown, LaTeX or CSV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from analysis.runs.factors import factor, ratio_text, size_text, value_text
from analysis.tables.paper import PaperTable
from analysis.tables.published import Block

Format = Literal["text", "markdown", "latex", "csv"]


@dataclass(frozen=True)
class Grid:
    """What every format shows: a caption, a header, rows of text, notes."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def render(table: PaperTable, form: Format = "text") -> str:
    """A table of the paper in one of `FORMATS`; CSV has one cell a row, the others the paper's layout."""
    if form == "csv":
        return table.data.to_csv(index=False)
    return "\n\n".join(render_grid(grid, form) for grid in grids(table))


def render_grid(grid: Grid, form: Format) -> str:
    """Any grid in one of `FORMATS`."""
    return _WRITERS[form](grid)


def grids(table: PaperTable) -> list[Grid]:
    """The blocks of a table in the paper's layout; a cell reads `ours (published, difference)`."""
    found = []
    for block, cells in table.blocks:
        columns = list(dict.fromkeys(zip(cells["dataset"], cells["data.size"], strict=True)))
        columns.sort(key=lambda column: (column[0] != block.dataset, column[0], column[1]))
        header = [*(factor(key).title for key in block.keys), *(_column(block, *column) for column in columns)]
        rows = []
        # `merge` sorts nothing, but values that only we have come last: numbers belong in order.
        for values, part in cells.groupby(list(block.keys), sort=False, dropna=False):
            by_column = {(row["dataset"], row["data.size"]): row for _, row in part.iterrows()}
            texts = [_cell(by_column.get(column), block.metric) for column in columns]
            rows.append([*(_row_text(key, value) for key, value in zip(block.keys, values, strict=True)), *texts])
        found.append(Grid(f"{block.source}: {table.caption}", header, rows, _notes(block, cells)))
    return [_transposed(grid) if block.file == "batch_size" else grid
            for grid, (block, _) in zip(found, table.blocks, strict=True)]  # fmt: skip


def _notes(block: Block, cells: pd.DataFrame) -> list[str]:
    notes = [f"ours (published, difference); published: Gu et al., TMLR 2025, {block.source}"]
    if cells["ours"].isna().all():
        notes = [f"(published) only: no run varies it; published: Gu et al., TMLR 2025, {block.source}"]
    elif cells["reached"].any():
        notes.append(">= marks a lower bound: a trial was stopped on reaching its target")
    if cells["ours"].notna().any() and cells["difference"].isna().all():
        notes.append("no run shares data set and size with the published ones, so there is no difference")
    return notes


def _column(block: Block, dataset: str, size: int) -> str:
    return ("" if dataset == block.dataset else f"{dataset} ") + f"|D| = {size_text(int(size))}"


def _row_text(key: str, value: Any) -> str:
    return "-" if pd.isna(value) else value_text(key, value)


def _cell(row: pd.Series | None, metric: str) -> str:
    if row is None or (pd.isna(row["ours"]) and pd.isna(row["published"])):
        return ""
    digits = 2
    if pd.isna(row["ours"]):
        return f"({row['published']:.{digits}f})"
    ours = ratio_text(row["ours"], bool(row["reached"]), digits)
    if pd.isna(row["published"]):
        return ours
    return f"{ours} ({row['published']:.{digits}f}, {row['difference']:+.{digits}f})"


def _transposed(grid: Grid) -> Grid:
    """Row labels become the header, as the paper prints its batch sizes."""
    lines = [list(column) for column in zip(grid.header, *grid.rows, strict=True)]
    header, *rows = lines
    return Grid(grid.caption, header, rows, grid.notes)


def _text(grid: Grid) -> str:
    lines = [list(map(str, grid.header)), *[list(map(str, row)) for row in grid.rows]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(grid.header))]
    filled = [[entry.ljust(width) for entry, width in zip(line, widths, strict=True)] for line in lines]
    padded = ["  ".join(line).rstrip() for line in filled]
    rule = "-" * max(map(len, padded))
    return "\n".join([grid.caption, padded[0], rule, *padded[1:], *grid.notes])


def _markdown(grid: Grid) -> str:
    def line(entries: Sequence[str]) -> str:
        return "| " + " | ".join(entry.replace("|", "\\|") for entry in entries) + " |"

    rule = "|" + "---|" * len(grid.header)
    notes = [f"*{note}*" for note in grid.notes]
    return "\n".join([f"**{grid.caption}**", "", line(grid.header), rule, *map(line, grid.rows), "", *notes])


_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "|": r"$|$"}


def _latex(grid: Grid) -> str:
    def escape(text: str) -> str:
        return "".join(_LATEX.get(character, character) for character in text)

    def line(entries: Sequence[str]) -> str:
        return "    " + " & ".join(map(escape, entries)) + r" \\"

    caption = escape(". ".join([grid.caption, *grid.notes]))
    return "\n".join([
        r"\begin{table}[t]", r"  \centering", rf"  \caption{{{caption}.}}",
        rf"  \begin{{tabular}}{{{'l' * len(grid.header)}}}", r"    \toprule", line(grid.header), r"    \midrule",
        *map(line, grid.rows), r"    \bottomrule", r"  \end{tabular}", r"\end{table}",
    ])  # fmt: skip


def _csv(grid: Grid) -> str:
    return pd.DataFrame(list(grid.rows), columns=list(grid.header)).to_csv(index=False)


_WRITERS: dict[str, Callable[[Grid], str]] = {"text": _text, "markdown": _markdown, "latex": _latex, "csv": _csv}
FORMATS: tuple[Format, ...] = ("text", "markdown", "latex", "csv")
