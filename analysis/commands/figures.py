"""`python -m analysis figures PATH... --out DIR`."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from analysis.commands.reading import add_paths, read_runs, say_excluded
from analysis.errors import AnalysisError
from analysis.figures.catalog import Missing, figures
from analysis.runs.final import METRICS

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
    if not 0 < arguments.zeta < 1:
        raise AnalysisError(f"--zeta {arguments.zeta:g}: between 0 and 1, such as 0.1")
    runs = read_runs(arguments, arguments.metric)
    say_excluded(runs)
    folder = Path(arguments.out)
    written = 0
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for entry in figures(runs, arguments.metric, arguments.zeta):
        if isinstance(entry, Missing):
            print(f"not drawn: {entry.title}: {entry.reason}")
            continue
        file = folder / f"{entry.name}.{arguments.format}"
        with _writing(folder):
            entry.figure.savefig(file, dpi=160)
        written += 1
        print(f"{file}: {entry.title}" + (f" ({entry.paper})" if entry.paper else ""))
    if not written:
        raise AnalysisError("no figure could be drawn from these results")
    return 0


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn an error of writing into one of the option; one of printing, which is an OSError too, stays outside."""
    try:
        yield
    except OSError as error:
        raise AnalysisError(f"--out {folder} cannot be written ({error.strerror or error})") from None
