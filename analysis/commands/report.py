"""Write one self-contained HTML page on some sweeps: what was run, findings, figures, tables, gallery."""

import argparse
import contextlib
import os
import tempfile
from pathlib import Path

from analysis.errors import AnalysisError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="experiment folders, or folders of such folders")
    parser.add_argument("--out", default="report.html", metavar="FILE", help="the page (default: report.html)")
    parser.add_argument("--title", default="", help="its heading (default: from the experiments)")


def run(options: argparse.Namespace) -> None:
    """Read the results, write the page."""
    from analysis.commands.reading import read  # noqa: PLC0415
    from analysis.report import build  # noqa: PLC0415

    target = Path(options.out)
    # Before minutes of work: nobody wants to hear it afterwards.
    check_writable(target)
    frame = read(options.paths)
    html = build(frame, options.title)
    write_whole(target, html)
    trials = len(frame[["experiment", "trial_id"]].drop_duplicates())
    print(f"{target}: {trials:,} trials, {len(html.encode()) / 1e6:.2f} MB")


def check_writable(target: Path) -> None:
    """Raise AnalysisError in one line where a file cannot be written."""
    folder = target.parent
    if target.is_dir():
        raise AnalysisError(f"--out {target}: is a folder, give a file such as {target / 'report.html'}")
    if not folder.is_dir():
        raise AnalysisError(f"--out {target}: there is no folder {folder}")
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise AnalysisError(f"--out {target}: cannot be written (permission denied)")


def write_whole(target: Path, text: str) -> None:
    """Write a file so that it is there completely or as it was before.

    Raises:
        AnalysisError: it cannot be written.
    """
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, delete=False) as file:
            temporary = file.name
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise AnalysisError(f"--out {target}: cannot be written ({error.strerror or error})") from None
