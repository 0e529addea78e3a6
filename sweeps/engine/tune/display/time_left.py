"""The time that a sweep still takes, from the images that it still trains on."""

import math
from collections.abc import Sequence

from sweeps.engine.tune.display.trials import TrialView

_MIN_SPEED_SECONDS, _MAX_SPEED_SECONDS = 30.0, 3600.0
_MAX_SMOOTHING_SECONDS = 20.0
_FIRST_SECONDS = 5.0


class TimeLeft:
    """Estimates when a sweep ends.

    The speed is what all trials together trained over about the second half of this session, an hour at most: that
    spans evaluations and restarts, and follows a cluster that grows or shrinks. The end is smoothed, so that the time
    left counts down between two estimates.
    """

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None
        self._images = self._seconds = 0.0
        self._end: float | None = None

    def update(self, now: float, trained: float, left: float) -> None:
        """Take what was reached.

        Args:
            now: in seconds, of any clock that runs evenly.
            trained: images of this session, all trials together.
            left: images still to train.
        """
        if self._first is None or self._last is None:
            # Until the first images processes start, which says nothing about the speed.
            if trained > 0:
                self._first = self._last = now, trained
            return
        passed, gained = now - self._last[0], trained - self._last[1]
        if passed <= 0:
            return
        self._last = now, trained
        measured = now - self._first[0]
        kept = math.exp(-passed / min(_MAX_SPEED_SECONDS, max(_MIN_SPEED_SECONDS, measured / 2)))
        self._images, self._seconds = kept * self._images + gained, kept * self._seconds + passed
        if self._images <= 0 or measured < _FIRST_SECONDS:
            return
        seconds = left * self._seconds / self._images
        if self._end is None or left <= 0:
            self._end = now + seconds
            return
        # First estimates are poor, and the closer the end, the sooner an estimate counts.
        smoothing = max(1.0, min(_MAX_SMOOTHING_SECONDS, measured / 5, seconds / 10))
        self._end += (1 - math.exp(-passed / smoothing)) * (now + seconds - self._end)

    def seconds(self, now: float) -> float | None:
        """Return the seconds left; None before the first images of this session."""
        return None if self._end is None else max(0.0, self._end - now)


def images_planned(views: Sequence[TrialView], total: int | None, total_images: int | None = None) -> float:
    """Return the images that all trials train on.

    Args:
        views: the trials that are known so far.
        total: trials of the whole sweep; None where it is unknown, which takes the known ones for all.
        total_images: of the whole sweep, where it is known.
    """
    # Of a trial that was stopped early nothing is left to train.
    known = sum(view.images_seen if view.ended else view.budget for view in views)
    unknown = 0 if total is None else max(0, total - len(views))
    if not views or not unknown:
        return known
    if total_images is not None:
        return known + max(0, total_images - sum(view.budget for view in views))
    return known + unknown * known / len(views)
