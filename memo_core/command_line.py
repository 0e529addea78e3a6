"""What the command lines of experiments share: notes on data, `--set KEY=VALUE`, seeds, devices."""

import argparse
import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from memo_core import terminal
from memo_core.errors import MemosweepError, quoted
from memo_core.experiment import parse_value
from memo_core.memory import keep_freed_memory, memory_errors

if TYPE_CHECKING:
    import torch

_NOTED = ("memo_core.data", "memo_core.text")
_MOST_IMAGES = 10_000_000
"""Of one image set, which is held in memory."""


def run(command: Callable[[], int | None]) -> int:
    """Run a command as `memo_core.terminal.run` does; what the packages of `_NOTED` log becomes notes, each once."""

    def noting() -> int | None:
        with _notes_on_data(), memory_errors("here", "take fewer or smaller images at once, or more memory"):
            return command()

    return terminal.run(noting, MemosweepError)


class _Notes(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message that was not printed before."""
        message = record.getMessage()
        if message not in self._shown:
            self._shown.add(message)
            terminal.complain(f"note: {message}")


@contextlib.contextmanager
def _notes_on_data() -> Iterator[None]:
    logs, notes = [logging.getLogger(name) for name in _NOTED], _Notes()
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.INFO)
        log.addHandler(notes)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
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


_SMALL_NETWORK = 2_000_000
"""Parameters below which one thread is faster than several."""


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--threads`, for `set_threads`."""
    parser.add_argument("--threads", type=int, metavar="N",
                        help="CPU threads (default: 1 for small networks, else all)")  # fmt: skip


def check_threads(threads: int | None) -> None:
    """Refuse a number of threads below 1."""
    if threads is not None and threads < 1:
        raise MemosweepError(f"--threads {threads}: expected at least 1")


def set_threads(threads: int | None, parameters: int | None = None) -> None:
    """Compute on so many CPU threads, and keep freed memory for what is computed next.

    Args:
        threads: of `--threads`; None takes 1 for a small network, else all.
        parameters: of the network; None where there is none, as in a search for neighbors.

    Raises:
        MemosweepError: fewer than 1.
    """
    import torch  # noqa: PLC0415 - seconds that --help should not take

    check_threads(threads)
    keep_freed_memory()
    if threads is None and parameters is not None and parameters < _SMALL_NETWORK:
        threads = 1
    if threads is not None:
        torch.set_num_threads(threads)


_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_duration(text: str, option: str) -> float:
    """Read a time such as `90s`, `10min`, `1.5h` or `2d`, in seconds; longer than 0 and at most ten years.

    Args:
        text: as written on a command line.
        option: the option that it belongs to, for messages.

    Raises:
        MemosweepError: no number, no unit, or out of that range.
    """
    match = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*(s|min|h|d)\s*", text)
    seconds = 0.0 if match is None else float(match[1]) * _SECONDS[match[2]]
    if not 0 < seconds <= 3650 * _SECONDS["d"]:
        raise MemosweepError(
            f"{option} {quoted(text)}: expected a time above 0 with its unit, such as 90s, 10min or 2h"
        )
    return seconds


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
