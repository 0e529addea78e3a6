"""Ctrl-C, SIGTERM and the end of the time budget end a sweep at once: what it has trained is on the disk."""

import signal
from types import TracebackType
from typing import Any, NoReturn

from ray.tune import Callback

_PATIENCE_SECONDS = 3.0
"""After a signal, Tune is left between two steps; where a part of Ray that is gone keeps it waiting, wherever it is."""


class Interrupted(BaseException):
    """A signal, or the end of the time budget; no error that anything on the way may handle."""


class Interruption(Callback):  # type: ignore[misc] # ray ships no types
    """Raises `Interrupted` out of Tune at SIGINT, at SIGTERM, and when the time is up; a context manager around it.

    Args:
        seconds: the time budget; none for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._before: dict[signal.Signals, Any] = {}
        self.reason: str | None = None
        """Why the sweep was interrupted, in words; None where it was not."""

    def __enter__(self) -> "Interruption":
        """Take over the signals."""
        handlers = {signal.SIGINT: self._leave, signal.SIGTERM: self._leave, signal.SIGALRM: self._alarm}
        self._before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        signal.setitimer(signal.ITIMER_REAL, self._seconds or 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the signals back."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _leave(self, *_: Any) -> None:
        self.reason = self.reason or "interrupted"
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE_SECONDS, _PATIENCE_SECONDS)

    def _alarm(self, *_: Any) -> None:
        if self.reason is not None:
            self._raise()
        self.reason = "the time budget is used up"
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE_SECONDS, _PATIENCE_SECONDS)

    def _raise(self) -> NoReturn:
        raise Interrupted(self.reason)

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Leave Tune between two of its steps: its C++ part loses what a signal raises in it."""
        if self.reason is not None:
            self._raise()
