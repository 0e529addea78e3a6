"""A table as text, Markdown, LaTeX, CSV or HTML."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Literal, get_args

from markupsafe import Markup

from analysis.tables.table import Marked, Table, number_of

Format = Literal["text", "markdown", "latex", "csv", "html"]


def write(table: Table, form: Format = "text") -> str:
    """Return a table in one of `FORMATS`.

    CSV has the values themselves, for machines: a number without thousands' separators, and the mark of a bound in a
    column of its own. All others have the texts that the columns' formats make of the values.
    """
    return _WRITERS[form](table)


def _text(table: Table) -> str:
    lines = [table.header, *table.texts]
    widths = [max(len(line[index]) for line in lines) for index in range(len(table.columns))]
    filled = [[entry.ljust(width) for entry, width in zip(line, widths, strict=True)] for line in lines]
    padded = ["  ".join(line).rstrip() for line in filled]
    rule = "-" * max(map(len, padded))
    return "\n".join([table.title, padded[0], rule, *padded[1:], *table.notes])


def _markdown(table: Table) -> str:
    def line(entries: Sequence[str]) -> str:
        return "| " + " | ".join(entry.replace("|", "\\|") for entry in entries) + " |"

    rule = "|" + "---|" * len(table.columns)
    notes = [f"*{note}*" for note in table.notes]
    return "\n".join([f"**{table.title}**", "", line(table.header), rule, *map(line, table.texts), "", *notes])


_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "|": r"$|$", "~": r"$\sim$", "<": r"$<$",
    ">": r"$>$", "$": r"\$", "{": r"\{", "}": r"\}", "^": r"\textasciicircum{}",
})  # fmt: skip


def _latex(table: Table) -> str:
    def line(entries: Sequence[str]) -> str:
        return "    " + " & ".join(entry.translate(_LATEX) for entry in entries) + r" \\"

    caption = ". ".join(part.rstrip(".") for part in (table.title, *table.notes)).translate(_LATEX)
    return "\n".join([
        r"\begin{table}[t]", r"  \centering", rf"  \caption{{{caption}.}}",
        rf"  \begin{{tabular}}{{{'l' * len(table.columns)}}}", r"    \toprule", line(table.header), r"    \midrule",
        *map(line, table.texts), r"    \bottomrule", r"  \end{tabular}", r"\end{table}",
    ])  # fmt: skip


def _csv(table: Table) -> str:
    marked = [any(isinstance(row[index], Marked) for row in table.rows) for index in range(len(table.columns))]

    def line(entries: Sequence[Any], marks: Sequence[str]) -> list[Any]:
        pairs = zip(entries, marks, marked, strict=True)
        return [part for entry, mark, has_mark in pairs for part in ((entry, mark) if has_mark else (entry,))]

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(line(table.header, [f"{title} mark" for title in table.header]))
    for row, texts in zip(table.rows, table.texts, strict=True):
        marks = [value.mark.strip() if isinstance(value, Marked) else "" for value in row]
        amounts = map(number_of, row)
        values = [text if amount is None else f"{amount:.10g}" for amount, text in zip(amounts, texts, strict=True)]
        writer.writerow(line(values, marks))
    return stream.getvalue().rstrip("\n")


def _html(table: Table) -> str:
    def opened(tag: str, index: int, attributes: str = "") -> Markup:
        names = [name for name, holds in (("n", table.is_numeric(index)), ("screen", table.columns[index].screen_only))
                 if holds]  # fmt: skip
        kind = f' class="{" ".join(names)}"' if names else ""
        return Markup(f"<{tag}{attributes}{kind}")

    heads = [opened("th", index, ' scope="col" data-sort') for index in range(len(table.columns))]
    cells = [opened("td", index) for index in range(len(table.columns))]
    head = Markup("").join(start + Markup(">{}</th>").format(title) for start, title in
                           zip(heads, table.header, strict=True))  # fmt: skip
    lines = [Markup('<table id="{}-table" class="sortable">').format(table.name),
             Markup("<thead><tr>{}</tr></thead>").format(head), Markup("<tbody>")]  # fmt: skip
    for row, texts in zip(table.rows, table.texts, strict=True):
        line = Markup("").join(
            start + _sort_value(value) + Markup(">{}</td>").format(text)
            for start, value, text in zip(cells, row, texts, strict=True)
        )
        lines.append(Markup("<tr>{}</tr>").format(line))
    return Markup("\n").join([*lines, Markup("</tbody>"), Markup("</table>")])


def _sort_value(value: Any) -> Markup:
    """What a page sorts a cell by, as JavaScript reads numbers."""
    amount = number_of(value)
    if amount is None:
        return Markup("")
    return Markup(' data-value="{}"').format(f"{amount:.10g}".replace("inf", "Infinity"))


_WRITERS = {"text": _text, "markdown": _markdown, "latex": _latex, "csv": _csv, "html": _html}
FORMATS: tuple[Format, ...] = get_args(Format)
