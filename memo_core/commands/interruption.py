"""Ctrl-C and SIGTERM as one request to stop, which a training follows between two steps."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_PATIENCE = 10
"""Seconds within which the present step must end; systems that end a program wait as long, or longer."""


class Interruption:
    """A request to stop: noted while `is_deferred` is true, for some seconds, and KeyboardInterrupt else.

    A second request never waits.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self.is_deferred: Callable[[], bool] = lambda: False
        """Whether whoever works now will look at `is_requested` soon."""

    def check(self) -> None:
        """Raise KeyboardInterrupt where a stop was requested."""
        if self.is_requested:
            raise KeyboardInterrupt

    def wait(self) -> None:
        """Give whoever works now all the time that it needs, short of a further request."""
        signal.alarm(0)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.is_requested or not self.is_deferred():
            raise KeyboardInterrupt
        self.is_requested = True
        signal.alarm(_PATIENCE)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take Ctrl-C, SIGTERM and the end of the patience; in the end all is as before.

        A signal that is ignored, as Ctrl-C is in the background of a shell, stays ignored.
        """
        before: dict[int, Any] = {}
        # Python hands signals to the main thread alone.
        numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
        if threading.current_thread() is not threading.main_thread():
            numbers = ()
        try:
            for number in numbers:
                if signal.getsignal(number) != signal.SIG_IGN:
                    before[number] = signal.signal(number, self._on_signal)
            yield
        finally:
            self.wait()
            for number, handler in before.items():
                signal.signal(number, handler)
