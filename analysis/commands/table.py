"""`python -m analysis table PATH...`."""

import argparse

from analysis.commands.reading import add_paths, finished_results, load_results, write_text
from analysis.tables.best import best_table, factor_table
from analysis.tables.paper import NUMBERS, paper_table, write_paper_table
from analysis.tables.writers import FORMATS, write


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
    everything = load_results(arguments)
    frame = finished_results(everything)
    if arguments.table in map(str, NUMBERS):
        text = write_paper_table(paper_table(int(arguments.table), frame), arguments.format)
    elif arguments.table == "coverage":
        from analysis.tables.replication import replication_table  # noqa: PLC0415 (reads samples: others need not wait)

        text = write(replication_table(frame), arguments.format)
    else:
        make = factor_table if arguments.table == "factor" else best_table
        text = write(make(frame, everything), arguments.format)
    write_text(text, arguments.out)
    return 0
