"""What all commands share: paths in, skipped results said once."""

import argparse
import sys
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.runs.final import NO_FINAL_RATIO
from analysis.runs.runs import Runs


def add_paths(parser: argparse.ArgumentParser) -> None:
    """The result folders, and whether to keep a cache in them."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a Tune experiment folder, or its URL (s3://...)")
    parser.add_argument("--no-cache", action="store_true", help="write nothing into the result folders")


def read_runs(arguments: argparse.Namespace, metric: str = "memorization_ratio") -> Runs:
    """The runs of `arguments.paths`; what was skipped goes to stderr, a line each.

    Args:
        arguments: of a command with `add_paths`.
        metric: what the command reads; where it is never a number, nothing is left.

    Raises:
        AnalysisError: nothing is left to read.
    """
    runs = Runs.read(arguments.paths, cache=not arguments.no_cache)
    for line in runs.skipped:
        print(f"skipped: {line}", file=sys.stderr)
    if metric == "memorization_ratio" and runs.evaluations[metric].isna().all():
        broken = "; ".join(runs.failed())
        raise AnalysisError("no trial has reported a memorization ratio" + (f": {broken}" if broken else " yet"))
    return runs


def say_excluded(runs: Runs) -> None:
    """Count on stderr the trials that have no final ratio, and those with a lower bound of it.

    Raises:
        AnalysisError: none has a final ratio.
    """
    for line in runs.excluded():
        print(line, file=sys.stderr)
    if runs.counted.evaluations.empty:
        raise AnalysisError(NO_FINAL_RATIO)


def write_text(text: str, out: str | None) -> None:
    """Print a text, or write it into a file.

    Raises:
        AnalysisError: the file cannot be written.
    """
    if out is None:
        print(text)
        return
    try:
        Path(out).write_text(text if text.endswith("\n") else text + "\n")
    except OSError as error:
        raise AnalysisError(f"--out {out} cannot be written ({error.strerror or error})") from None
