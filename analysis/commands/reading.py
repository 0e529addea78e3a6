"""What all commands share: reading paths, checking options, writing files."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from analysis.runs.final import NO_FINAL_RATIO
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError


def add_folders(parser: argparse.ArgumentParser) -> None:
    """The result folders."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="the folder of a sweep, or its URL (s3://...)")


def add_paths(parser: argparse.ArgumentParser) -> None:
    """The result folders, and whether to keep a cache in them."""
    add_folders(parser)
    parser.add_argument("--no-cache", action="store_true", help="write nothing into the result folders")


def read_runs(arguments: argparse.Namespace, metric: str = "memorization_ratio") -> Runs:
    """The runs of `arguments.paths`; what was skipped goes to stderr, a line each.

    Args:
        arguments: of a command with `add_paths`.
        metric: what the command reads; where it is never a number, nothing is left.

    Raises:
        MemosweepError: nothing is left to read.
    """
    runs = Runs.read(arguments.paths, cache=not arguments.no_cache)
    for line in runs.skipped:
        print(f"skipped: {line}", file=sys.stderr)
    if metric == "memorization_ratio" and runs.evaluations[metric].isna().all():
        broken = "; ".join(runs.failed())
        raise MemosweepError("no trial has reported a memorization ratio" + (f": {broken}" if broken else " yet"))
    return runs


def read_final_runs(arguments: argparse.Namespace, metric: str = "memorization_ratio") -> Runs:
    """The runs as `read_runs` has them; trials without a final ratio or with a lower bound of it are counted on stderr.

    Raises:
        MemosweepError: none has a final ratio.
    """
    runs = read_runs(arguments, metric)
    for line in runs.excluded():
        print(line, file=sys.stderr)
    if runs.counted.evaluations.empty:
        raise MemosweepError(NO_FINAL_RATIO)
    return runs


def check_zeta(zeta: float) -> None:
    """Raise MemosweepError where zeta is not in (0, 1)."""
    if not 0 < zeta < 1:
        raise MemosweepError(f"--zeta {zeta:g}: between 0 and 1, such as 0.1")


@contextlib.contextmanager
def writing(option: str) -> Iterator[None]:
    """Turn an OSError into one line on an option, such as `--out FILE`; print outside of it."""
    try:
        yield
    except OSError as error:
        raise MemosweepError(f"{option} cannot be written ({error.strerror or error})") from None


def write_text(text: str, out: str | None) -> None:
    """Print a text, or write it into a file."""
    if out is None:
        print(text)
        return
    with writing(f"--out {out}"):
        Path(out).write_text(text if text.endswith("\n") else text + "\n")
