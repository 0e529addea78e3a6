import csv
import io

import pytest

from analysis.tables.table import HIGH, Column, Marked, Table
from analysis.tables.writers import FORMATS, write

TABLE = Table(
    "example",
    "Ratio <by> width_a",
    [Column.setting("data.size"), Column.ratio(), Column.numbers("Images"), Column("What", screen_only=True)],
    [(1000, 93.456, 12_000, "a|b & <c>"), (2000, Marked(50.0, ">="), float("nan"), None)],
    ["first note", "second note."],
)


def test_text_is_aligned_under_its_header() -> None:
    assert write(TABLE).splitlines() == [
        "Ratio <by> width_a",
        "|D|  Ratio (%)  Images  What",
        "---------------------------------",
        "1k   93.46      12,000  a|b & <c>",
        "2k   >=50.00",
        "first note",
        "second note.",
    ]


def test_csv_has_the_values_and_the_marks_beside_them() -> None:
    assert list(csv.reader(io.StringIO(write(TABLE, "csv")))) == [
        ["|D|", "Ratio (%)", "Ratio (%) mark", "Images", "What"],
        ["1000", "93.456", "", "12000", "a|b & <c>"],
        ["2000", "50", ">=", "", ""],
    ]


def test_markdown_escapes_bars() -> None:
    lines = write(TABLE, "markdown").splitlines()
    assert lines[2:5] == [r"| \|D\| | Ratio (%) | Images | What |", "|---|---|---|---|",
                          r"| 1k | 93.46 | 12,000 | a\|b & <c> |"]  # fmt: skip


def test_latex_escapes_what_latex_would_read() -> None:
    text = write(TABLE, "latex")
    assert r"\caption{Ratio $<$by$>$ width\_a. first note. second note.}" in text
    assert r"1k & 93.46 & 12,000 & a$|$b \& $<$c$>$ \\" in text


def test_html_escapes_and_sorts_by_the_value() -> None:
    text = write(TABLE, "html")
    assert '<th scope="col" data-sort class="n">Ratio (%)</th>' in text
    assert '<th scope="col" data-sort class="screen">What</th>' in text
    assert '<td class="n" data-value="50">&gt;=50.00</td>' in text
    assert '<td class="screen">a|b &amp; &lt;c&gt;</td>' in text


def test_an_open_end_sorts_as_infinity() -> None:
    table = Table("ends", "Ends", [Column.ratio(HIGH)], [[float("inf")]])
    assert 'data-value="Infinity">open<' in write(table, "html")


@pytest.mark.parametrize("form", FORMATS)
def test_a_table_without_rows_has_its_header(form: str) -> None:
    assert "Trials" in write(Table("none", "None", [Column("Trials")], []), form)  # type: ignore[arg-type]


def test_a_row_has_a_value_for_each_column() -> None:
    with pytest.raises(ValueError, match="a row of 2 values for 1 columns"):
        Table("wrong", "Wrong", [Column("One")], [(1, 2)])


def test_settings_of_any_type_are_numbers_or_text() -> None:
    table = Table("t", "T", [Column.setting("data.labels"), Column.setting("seed")], [("none", 0), ("true", 1)])
    assert [table.is_numeric(index) for index in (0, 1)] == [False, True]
    assert table.texts == [["unconditional", "0"], ["true labels", "1"]]
