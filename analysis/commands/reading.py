"""What all commands share: paths in, skipped results said once."""

import argparse
import sys
import warnings
from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError, SkippedResultsWarning
from analysis.tables import finished, has_ended, load


def add_paths(parser: argparse.ArgumentParser) -> None:
    """The result folders, and whether to keep a cache in them."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a Tune experiment folder, or its URL (s3://...)")
    parser.add_argument("--no-cache", action="store_true", help="write nothing into the result folders")


def load_results(arguments: argparse.Namespace) -> pd.DataFrame:
    """The table of `arguments.paths`; what was skipped goes to stderr, a line each.

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
    return frame


def finished_results(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials that ended; those left out are counted on stderr."""
    ended = finished(frame)
    left_out = frame["trial_id"].nunique() - ended["trial_id"].nunique()
    if left_out:
        print(f"left out: {left_out} unfinished trials, whose ratio may still rise", file=sys.stderr)
    elif len(frame) and not has_ended(frame["status"]).any():
        print("note: no trial has finished yet, so these numbers may still rise", file=sys.stderr)
    ended.attrs = frame.attrs
    return ended


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
