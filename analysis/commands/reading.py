"""What all commands share: paths in, skipped results said once."""

import argparse
import sys
import warnings
from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError, SkippedResultsWarning
from analysis.results.load import load
from analysis.runs.final import NO_FINAL_RATIO, failed, finished, left_out


def add_paths(parser: argparse.ArgumentParser) -> None:
    """The result folders, and whether to keep a cache in them."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a Tune experiment folder, or its URL (s3://...)")
    parser.add_argument("--no-cache", action="store_true", help="write nothing into the result folders")


def load_results(arguments: argparse.Namespace, metric: str = "memorization_ratio") -> pd.DataFrame:
    """The table of `arguments.paths`; what was skipped goes to stderr, a line each.

    Args:
        arguments: of a command with `add_paths`.
        metric: what the command reads; where it is never a number, nothing is left.

    Raises:
        AnalysisError: nothing is left to read.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SkippedResultsWarning)
        frame = load(arguments.paths, cache=not arguments.no_cache)
    for warning in caught:
        if issubclass(warning.category, SkippedResultsWarning):
            print(f"skipped: {warning.message}", file=sys.stderr)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if metric == "memorization_ratio" and frame[metric].isna().all():
        broken = "; ".join(failed(frame))
        raise AnalysisError("no trial has reported a memorization ratio" + (f": {broken}" if broken else " yet"))
    return frame


def finished_results(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials with a final ratio, or a lower bound of it; those left out are counted on stderr.

    Raises:
        AnalysisError: none is left.
    """
    say_left_out(frame)
    ended = finished(frame)
    if ended.empty:
        raise AnalysisError(NO_FINAL_RATIO)
    ended.attrs = frame.attrs
    return ended


def say_left_out(frame: pd.DataFrame) -> None:
    """Count on stderr the trials that have no final ratio, and those with a lower bound of it."""
    for line in left_out(frame):
        print(line, file=sys.stderr)


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
