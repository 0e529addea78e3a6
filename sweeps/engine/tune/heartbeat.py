"""Keeps the journal's time fresh, by which readers of results distinguish a sweep at work from one that was killed."""

import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback

from sweeps.engine.search.journal import Journal

_SECONDS = 240.0
"""Readers give a sweep up after four times as long (`analysis.results.sidecars.QUIET_SECONDS`)."""


class Heartbeat(Callback):  # type: ignore[misc] # ray ships no types
    """Touches a run's journal every few minutes: at paper scale, its trials may say nothing for hours.

    Args:
        journal: of the run.
        still_held: raises where another driver has taken over the run, which ends this sweep.
        clock: seconds.
    """

    def __init__(
        self,
        journal: Journal,
        still_held: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal, self._still_held, self._clock = journal, still_held, clock
        self._last = clock()

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Touch it where it is time."""
        self._still_held()
        if self._clock() - self._last >= _SECONDS:
            self._last = self._clock()
            self._journal.touch()
