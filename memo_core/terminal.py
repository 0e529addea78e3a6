"""What all command lines share of the terminal: one-line errors, exit codes, and output that is closed or full.

Loads nothing but the standard library: `python -m analysis --help` waits for no other package.
"""

import argparse
import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO

from memo_core.errors import did_you_mean, quoted

BAD_INPUT = 2
INTERRUPTED = 130
OUTPUT_CLOSED = 141
"""What shells report of a program whose output was closed by `head` (128 + SIGPIPE)."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, without repeating the usage.

    A command, choice or option that is misspelled is named with the nearest one; a command line without a command
    prints the help, which lists the commands.
    """

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does."""
        given = sys.argv[1:] if args is None else list(args)
        if not given and any(isinstance(action, argparse._SubParsersAction) for action in self._actions):
            self.exit(BAD_INPUT, self.format_help())
        options, unknown = self.parse_known_args(given, namespace)
        if unknown:
            known = [option for action in self._all_actions(given) for option in action.option_strings]
            hint = did_you_mean(unknown[0].partition("=")[0], known) if unknown[0].startswith("-") else None
            self.error(f"unrecognized arguments: {' '.join(unknown)}{f', {hint}' if hint else ''}")
        return options

    def _all_actions(self, given: list[str]) -> list[argparse.Action]:
        """Return the options of this parser and of the command that was given."""
        of_command = [
            part
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
            for name, parser in action.choices.items()
            if name in given
            for part in parser._actions
        ]
        return [*self._actions, *of_command]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Name the nearest choice, or all of them."""
        if action.choices is not None and value not in action.choices:
            choices = list(map(str, action.choices))
            hint = did_you_mean(value, choices)
            raise argparse.ArgumentError(
                action, f"{quoted(value)} is not known{f': {hint}' if hint else ''} (choose from {', '.join(choices)})"
            )

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
            complain(message.rstrip("\n"))
        sys.exit(status)


def run(command: Callable[[], int | None], bad_input: type[Exception], prefix: str = "error") -> int:
    """Run a command; bad input becomes one line on stderr and exit code 2, Ctrl-C exit code 130.

    The line of an interruption is that of its KeyboardInterrupt, where it has one.

    Output that its reader closed (`| head`) is not an error: the command goes on to its end in silence, since files
    that it writes may not be lost, and the exit code is 141, or its own where that is not 0. Output that has no room
    left becomes one line and exit code 2.

    Args:
        command: returns its exit code; None stands for 0.
        bad_input: the errors that are one line for the user.
        prefix: of that line.
    """

    def guarded() -> int:
        try:
            return command() or 0
        except bad_input as error:
            complain(f"{prefix}: {error}")
            return BAD_INPUT
        except KeyboardInterrupt as error:
            complain(str(error) or "interrupted")
            return INTERRUPTED

    return _written(guarded)


def complain(line: str) -> None:
    """Print a line on stderr, which may be closed or full as well."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _written(command: Callable[[], int]) -> int:
    """Run a command and write out what it printed, which otherwise happens after the last line that could fail."""
    try:
        with _outliving_its_reader("stderr"), _outliving_its_reader("stdout") as output:
            status = command()
            if sys.stdout is not None:
                sys.stdout.flush()
            return status or (OUTPUT_CLOSED if output is not None and output.is_closed_by_reader else 0)
    except BrokenPipeError:
        status = OUTPUT_CLOSED
    except OSError as error:
        if error.errno not in _FULL:
            raise
        complain(f"error: the output cannot be written ({error.strerror})")
        status = BAD_INPUT
    # The interpreter flushes once more as it ends.
    for stream in (sys.stdout, sys.stderr):
        _discard(stream)
    return status


class _Output(io.FileIO):
    """A descriptor that goes on to take what is written, and discards it, once its reader closed it."""

    is_closed_by_reader = False

    def write(self, data: Any) -> int:
        """Write, or discard."""
        try:
            return super().write(data)
        except BrokenPipeError:
            self.is_closed_by_reader = True
            # The descriptor itself, for whatever else writes to it.
            _point_to_nowhere(self.fileno())
            return len(data)


@contextlib.contextmanager
def _outliving_its_reader(name: str) -> Iterator[_Output | None]:
    """Replace `sys.stdout` or `sys.stderr` by a stream to the same place, which survives the end of its reader.

    A stream at a low level, so that neither `print` nor a library such as rich, which would end the program with an
    exit code of its own, ever sees a broken pipe. A stream without a descriptor stays as it is.
    """
    stream = getattr(sys, name)
    made = _same_place(stream)
    if made is None:
        yield None
        return
    replacement, output = made
    setattr(sys, name, replacement)
    try:
        yield output
    finally:
        # Others may have replaced it meanwhile.
        if getattr(sys, name) is replacement:
            setattr(sys, name, stream)
        try:
            replacement.flush()
        finally:
            _discard(replacement)


def _same_place(stream: Any) -> tuple[TextIO, _Output] | None:
    """Return a stream that writes where the given one does, and its descriptor; None where that has none."""
    try:
        stream.flush()
        output = _Output(stream.fileno(), "w", closefd=False)
        text = io.TextIOWrapper(
            io.BufferedWriter(output),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
    except (AttributeError, OSError, ValueError):
        return None
    return text, output


def _discard(stream: TextIO | None) -> None:
    """Discard what a stream still holds, and what follows, where it cannot be written."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()  # type: ignore[union-attr]
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        _point_to_nowhere(stream.fileno())  # type: ignore[union-attr]


def _point_to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
