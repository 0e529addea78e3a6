"""The command line of `python -m analysis`."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from analysis.commands import COMMANDS, command
from analysis.errors import AnalysisError


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line, without repeating the usage."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; exit code 2 and one line for a user's mistake."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        prog="python -m analysis", description="Tables and figures from result folders, without torch or ray."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, line in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=line, description=line)
        if name in given[:1]:
            command(name).add_arguments(subparser)
    arguments = parser.parse_args(given)
    try:
        return command(arguments.command).run(arguments)
    except AnalysisError as error:
        print(f"python -m analysis {arguments.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # `| head` is no mistake; the interpreter must not flush into the closed pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
