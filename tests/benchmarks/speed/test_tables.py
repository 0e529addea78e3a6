"""The numbers as text."""

import io

import pytest
from rich.console import Console

from benchmarks.speed.comparison import Part, Row, Spread
from benchmarks.speed.tables import from_json, seconds_text, show, spread_text, to_json, to_markdown

PART = Part(
    "Search",
    "ours",
    [
        Row("small", "ours", Spread(0.5, 0.4, 0.6), Spread(1, 1, 1), Spread(0.5, 0.45, 0.55), {"gflop": 2.0}),
        Row("small", "matrix product, float32", Spread(0.02, 0.02, 0.02), numbers={"gflop_per_second": 95.2}),
        Row("small", "faiss flat", note="pip install 'memosweep[faiss-cpu]'"),
    ],
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(12.345, "12.3 s"), (1.0, "1.00 s"), (0.0448, "44.8 ms"), (123.4, "123 s"), (2e-5, "0.0200 ms")],
)
def test_times_have_three_digits_and_a_unit(seconds, text):
    assert seconds_text(seconds) == text


def test_a_range_stands_beside_its_median_where_there_is_one():
    assert spread_text(Spread(1.25, 1.02, 1.44)) == "1.25 (1.02 to 1.44)"
    assert spread_text(Spread(0.5, 0.5, 0.5), percent=True) == "50.0%"
    assert spread_text(None) == ""


def test_json_brings_a_part_back():
    assert from_json({**to_json(PART), "load": [1.0]}) == PART


def test_tables_hold_every_number_and_note():
    shown = io.StringIO()
    show(PART, Console(file=shown, width=120))
    machine = {"device": "processor", "cores": 2, "torch": "2", "threads": 1}
    entry = {"repeats": 5, "load": [0.5, 0, 0], "seconds": 3, **to_json(PART)}
    page = to_markdown({"machine": machine, "parts": {"neighbors": entry}})
    for text in (shown.getvalue(), page):
        for part in ("500 ms", "1.00", "50.0% (45.0% to 55.0%)", "95 GFLOP/s", "memosweep[faiss-cpu]"):
            assert part in text
    assert "load 0.5" in page and "| ours | 500 ms | 1.00 |" in page
