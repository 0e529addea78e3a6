"""The numbers as tables on the terminal and in Markdown, and as JSON."""

import dataclasses
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.speed.comparison import Part, Row, Spread
from memo_core.errors import plural


def seconds_text(seconds: float) -> str:
    """Return a time with its unit, three digits of it."""
    unit, factor = ("s", 1.0) if seconds >= 1 else ("ms", 1e3)
    return f"{seconds * factor:#.3g}".rstrip(".") + f" {unit}"


def spread_text(spread: Spread | None, percent: bool = False) -> str:
    """Return a median with its range, where it has one: `1.25 (1.02 to 1.44)`."""
    if spread is None:
        return ""

    def text(value: float) -> str:
        return f"{value:.1%}" if percent else f"{value:.2f}"

    if spread.low == spread.high:
        return text(spread.median)
    return f"{text(spread.median)} ({text(spread.low)} to {text(spread.high)})"


def cells(row: Row) -> tuple[str, str, str, str, str]:
    """Return a row's name, time, ratio, share of the peak, and note."""
    speed = row.numbers.get("gflop_per_second")
    is_peak = row.seconds is not None and row.ratio is None and row.share_of_peak is None
    return (
        row.name,
        "" if row.seconds is None else seconds_text(row.seconds.median),
        spread_text(row.ratio),
        f"{speed:,.0f} GFLOP/s" if is_peak and speed else spread_text(row.share_of_peak, percent=True),
        row.note,
    )


def show(part: Part, console: Console) -> None:
    """Print a part, a table for each group."""
    spread = ", median (smallest to largest)" if part.is_repeated else ""
    console.print(f"\n[bold]{escape(part.title)}[/]{spread}")
    for group, rows in groupby(part.rows, lambda row: row.group):
        table = Table(box=SIMPLE_HEAD, title=escape(group), title_justify="left", title_style="italic", pad_edge=False)
        table.add_column("", no_wrap=True)
        for column in ("time", f"in units of {part.unit}", "share of peak"):
            table.add_column(column, justify="right")
        notes = []
        for row in rows:
            name, *others, note = map(escape, cells(row))
            if row.seconds is not None:
                table.add_row(name, *others)
            if note:
                notes.append(f"  {name}: {note}")
        console.print(table)
        for note in notes:
            console.print(note, style="dim", highlight=False)


def to_markdown(report: Mapping[str, Any]) -> str:
    """Return the tables of a report (see `to_json`), with the machine and its load."""
    machine = report["machine"]
    lines = [
        f"{machine['device']}, {machine['cores']} cores, torch {machine['torch']}, {machine['threads']} thread(s)."
    ]
    for entry in report["parts"].values():
        part = from_json(entry)
        rounds = f"median and range of {plural(entry['repeats'], 'round')}, " if part.is_repeated else ""
        lines += [
            "",
            f"**{part.title}** ({rounds}load {entry['load'][0]}, {entry['seconds']:.0f} s)",
            "",
            f"| | time | in units of {part.unit} | share of peak | |",
            "|---|---|---|---|---|",
        ]
        for group, rows in groupby(part.rows, lambda row: row.group):
            lines.append(f"| *{group}* | | | | |")
            lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def to_json(part: Part) -> dict[str, Any]:
    """Return a part as JSON holds it."""
    return dataclasses.asdict(part)


def from_json(entry: Mapping[str, Any]) -> Part:
    """Return the part that `to_json` wrote; what else the entry holds is passed over."""

    def spread(value: Mapping[str, float] | None) -> Spread | None:
        return None if value is None else Spread(**value)

    rows = [
        Row(**{**row, **{key: spread(row[key]) for key in ("seconds", "ratio", "share_of_peak")}})
        for row in entry["rows"]
    ]
    return Part(entry["title"], entry["unit"], rows, entry["is_repeated"])
