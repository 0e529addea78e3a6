"""`python -m analysis report PATH... --out report.html`."""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from analysis.commands.reading import add_paths, read_final_runs, writing
from memo_core.errors import MemosweepError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `report`."""
    add_paths(parser)
    parser.add_argument("--out", default="report.html", metavar="FILE", help="the page; default: report.html")
    parser.add_argument("--no-figures", action="store_true", help="leave out figures and importances, for a quick look")
    parser.add_argument("--title", default="", help="its heading; default: from the experiments")


def run(arguments: argparse.Namespace) -> int:
    """Read the results, write the page."""
    target = Path(arguments.out)
    # Before minutes of work, not after them.
    _check_writable(target)
    runs = read_final_runs(arguments)
    from analysis.report import build  # noqa: PLC0415 (what a wrong path need not wait for)

    console = Console(stderr=True)
    with console.status("report: reading") as status:

        def say(doing: str) -> None:
            # A terminal has one line, which is gone when the page is there; a log has a line each.
            if console.is_terminal:
                status.update(f"report: {escape(doing)}")
            else:
                print(f"report: {doing}", file=sys.stderr, flush=True)

        html = build(runs, arguments.title, draw=not arguments.no_figures, say=say)
    _write_whole(target, html)
    print(f"{target}: {runs.num_trials:,} trials, {len(html.encode()) / 1e6:.2f} MB")
    return 0


def _check_writable(target: Path) -> None:
    """Raise MemosweepError in one line where a file cannot be written."""
    folder = target.parent
    if target.is_dir():
        raise MemosweepError(f"--out {target} is a folder: give a file such as {target / 'report.html'}")
    if not folder.is_dir():
        raise MemosweepError(f"--out {target} cannot be written: there is no folder {folder}")
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise MemosweepError(f"--out {target} cannot be written (permission denied)")


def _write_whole(target: Path, text: str) -> None:
    """Write a file so that it is there completely or as it was before."""
    temporary = target.with_name(f".memosweep-{os.getpid()}.html")
    with writing(f"--out {target}"):
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
