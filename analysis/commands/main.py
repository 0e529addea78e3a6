"""The command line of `python -m analysis`."""

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

from analysis.commands import COMMANDS, command
from analysis.errors import AnalysisError

BAD_INPUT = 2
OUTPUT_CLOSED = 141
"""What shells report of a program whose output was closed by `head` (128 + SIGPIPE)."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line, without repeating the usage."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with code 2."""
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see --help)\n")

    def print_help(self, file: Any = None) -> None:
        """Print the help; argparse itself would pass over output that cannot be written."""
        status = _written(lambda: print(self.format_help(), end="", file=file) or 0)
        if status:
            sys.exit(status)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit with a code, and a line on stderr."""
        if message:
            _complain(message.rstrip("\n"))
        sys.exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; exit code 2 and one line for a user's mistake.

    Output that its reader closed (`| head`) is no mistake: silence, and exit code 141. Output that has no room left
    becomes one line and exit code 2.
    """
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

    def guarded() -> int:
        try:
            return command(arguments.command).run(arguments)
        except AnalysisError as error:
            _complain(f"python -m analysis {arguments.command}: {error}")
            return BAD_INPUT

    return _written(guarded)


def _written(command: Callable[[], int]) -> int:
    """Run a command and write out what it printed, which otherwise happens after the last line that could fail."""
    try:
        status = command()
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        status = OUTPUT_CLOSED
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _complain(f"error: the output cannot be written ({error.strerror})")
        status = BAD_INPUT
    # The interpreter flushes once more as it ends.
    for stream in (sys.stdout, sys.stderr):
        _discard(stream)
    return status


def _complain(line: str) -> None:
    """Print a line on stderr, which may be closed or full as well."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _discard(stream: TextIO | None) -> None:
    """Send to nowhere what a stream still holds, and what follows."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()  # type: ignore[union-attr]
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)
