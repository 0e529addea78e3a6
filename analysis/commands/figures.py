"""`python -m analysis figures PATH... --out DIR`."""

import argparse
from pathlib import Path

from analysis.commands.reading import add_paths, check_zeta, read_final_runs, writing
from analysis.figures.catalog import Missing, figures
from analysis.runs.final import METRICS
from memo_core.errors import MemosweepError

FORMATS = ("png", "pdf", "svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `figures`."""
    add_paths(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the figures; made where missing")
    parser.add_argument("--format", choices=FORMATS, default="png", help="default: png")
    parser.add_argument("--metric", choices=METRICS, default="memorization_ratio", help="default: memorization_ratio")
    parser.add_argument("--zeta", type=float, default=0.1, help="of the line 1 - zeta; default: 0.1")


def run(arguments: argparse.Namespace) -> int:
    """Write every figure that the results allow, and say which could not be drawn and why."""
    check_zeta(arguments.zeta)
    runs = read_final_runs(arguments, arguments.metric)
    folder = Path(arguments.out)
    written = 0
    with writing(f"--out {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    for entry in figures(runs, arguments.metric, arguments.zeta):
        if isinstance(entry, Missing):
            print(f"not drawn: {entry.title}: {entry.reason}")
            continue
        file = folder / f"{entry.name}.{arguments.format}"
        with writing(f"--out {folder}"):
            entry.figure.savefig(file, dpi=160)
        written += 1
        print(f"{file}: {entry.title}" + (f" ({entry.paper})" if entry.paper else ""))
    if not written:
        raise MemosweepError("no figure could be drawn from these results")
    return 0
