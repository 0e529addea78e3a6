"""What all command lines share: one-line errors with exit code 2, `--set KEY=VALUE`, seeds, devices."""

import argparse
import contextlib
import errno
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from memo_core.errors import MemosweepError, quoted
from memo_core.experiment import parse_value

if TYPE_CHECKING:
    import torch

BAD_INPUT = 2
INTERRUPTED = 130
OUTPUT_CLOSED = 141
"""What shells report of a program whose output was closed by `head` (128 + SIGPIPE)."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MOST_IMAGES = 10_000_000
"""Of one image set, which is held in memory."""


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, without repeating the usage."""

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


def run(command: Callable[[], int | None]) -> int:
    """Run a command; bad input becomes one line on stderr and exit code 2, Ctrl-C exit code 130.

    Output that its reader closed (`| head`) is not an error: silence, and exit code 141. Output that has no room left
    becomes one line and exit code 2. What `memo_core.data` logs about image sets becomes notes on stderr, each once.
    """

    def guarded() -> int:
        try:
            with _notes_on_data():
                return command() or 0
        except MemosweepError as error:
            _complain(f"error: {error}")
            return BAD_INPUT
        except KeyboardInterrupt:
            _complain("interrupted")
            return INTERRUPTED

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
    """Discard what a stream still holds, and what follows."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()  # type: ignore[union-attr]
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)


class _Notes(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message that was not printed before."""
        message = record.getMessage()
        if message not in self._shown:
            self._shown.add(message)
            _complain(f"note: {message}")


@contextlib.contextmanager
def _notes_on_data() -> Iterator[None]:
    log, notes = logging.getLogger("memo_core.data"), _Notes()
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(notes)
    try:
        yield
    finally:
        log.removeHandler(notes)
        log.setLevel(level)


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Read `KEY=VALUE` pairs into dotted keys.

    Raises:
        MemosweepError: no `=`, or an unknown key.
    """
    flat: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise MemosweepError(f"--set {setting}: expected KEY=VALUE, for example --set model.width=32")
        flat[key.strip()] = parse_value(key.strip(), text.strip())
    return flat


def parse_seeds(text: str) -> list[int]:
    """Read seeds such as `0-15` or `3,7,20-29`.

    Raises:
        MemosweepError: not of that form, a seed of 2^63 or more, or more than ten million of them.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,19})(?:-([0-9]{1,19}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match is not None else (0, -1)
        if not first <= last < 2**63:
            raise MemosweepError(
                f"--seeds {quoted(text)}: expected ascending ranges below 2^63, such as 0-15 or 3,7,20-29"
            )
        if len(seeds) + last - first >= _MOST_IMAGES:
            raise MemosweepError(f"--seeds {quoted(text)}: expected at most {_MOST_IMAGES:,} images at once")
        seeds.extend(range(first, last + 1))
    return seeds


def parse_device(text: str | None) -> "torch.device":
    """Read `--device`: `cpu`, `cuda`, `cuda:1`, ...; None takes a GPU when there is one.

    Raises:
        MemosweepError: another kind of device, or one that this machine lacks.
    """
    import torch  # noqa: PLC0415 - seconds that --help should not take

    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if text is None:
        return torch.device("cuda" if available else "cpu")
    # Sampling needs float64 and generators of the device's own, which other kinds lack.
    match = re.fullmatch(r"cpu|cuda(?::([0-9]{1,4}))?", text)
    if match is None:
        raise MemosweepError(f"--device {text}: expected cpu, cuda or a numbered GPU such as cuda:1")
    if text.startswith("cuda") and int(match[1] or 0) >= available:
        known = ", ".join(["cpu", *(f"cuda:{index}" for index in range(available))])
        raise MemosweepError(f"--device {text}: not available on this machine, which has {known}")
    return torch.device(text)
