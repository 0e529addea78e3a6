"""The commands of `python -m analysis`, one module each."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from analysis.commands import compare, importance, report
from analysis.errors import AnalysisError

COMMANDS = {"report": report, "compare": compare, "importance": importance}
BAD_INPUT = 2


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line, without repeating the usage."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with code 2."""
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, 2 with one line on stderr where the input is bad."""
    parser = Parser(prog="python -m analysis", description="Tables, figures and reports from result folders.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar=" | ".join(COMMANDS))
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        module.add_arguments(subparsers.add_parser(name, help=summary, description=summary))
    options = parser.parse_args(arguments)
    try:
        COMMANDS[options.command].run(options)
    except AnalysisError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0
