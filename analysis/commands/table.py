"""`python -m analysis table PATH...`."""

import argparse

from analysis.commands.reading import add_paths, read_runs, say_excluded, write_text
from analysis.paper_tables import FORMATS, NUMBERS, paper_table, render
from analysis.tables.best import best_grid, factor_grid
from analysis.tables.render import render_grid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `table`."""
    add_paths(parser)
    parser.add_argument("--table", choices=[*map(str, NUMBERS), "factor", "coverage"], metavar="1..8|factor|coverage",
                        help="a table of the paper, ours (published, difference); or factor: every experiment with "
                        "its interval; or coverage: which share of the training set each trial replicates, and how "
                        "unevenly; without: best ratios by what moves")  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--out", metavar="FILE", help="write there instead of printing")


def run(arguments: argparse.Namespace) -> int:
    """Print or write one table."""
    runs = read_runs(arguments)
    say_excluded(runs)
    marked = arguments.format != "csv"
    if arguments.table is None:
        text = render_grid(best_grid(runs, marked), arguments.format)
    elif arguments.table == "factor":
        text = render_grid(factor_grid(runs, marked), arguments.format)
    elif arguments.table == "coverage":
        from analysis.inference.replication import replication_grid  # noqa: PLC0415 (reads samples: others need not wait)

        text = render_grid(replication_grid(runs.counted.evaluations), arguments.format)
    else:
        text = render(paper_table(int(arguments.table), runs), arguments.format)
    write_text(text, arguments.out)
    return 0
