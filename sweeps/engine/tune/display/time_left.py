"""The time that a sweep still takes, from the images that it still trains on."""

import math
from collections.abc import Sequence

from sweeps.engine.tune.display.trials import TrialView

_SPEED_SECONDS = 3600.0
"""The speed is that of about the last hour: it spans evaluations, and follows a cluster that grows or shrinks."""
_SMOOTHING_SECONDS = 20.0


class TimeLeft:
    """Estimates when a sweep ends.

    The speed is what all trials together trained in this session, evaluations and restarts included. The end is
    smoothed, so that the time left counts down between two estimates.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._images = self._seconds = 0.0
        self._end: float | None = None

    def update(self, now: float, trained: float, left: float) -> None:
        """Take what was reached.

        Args:
            now: in seconds, of any clock that runs evenly; first called when trials start to run.
            trained: images of this session, all trials together.
            left: images still to train.
        """
        if self._last is None:
            self._last = now, trained
            return
        passed, gained = now - self._last[0], trained - self._last[1]
        if passed <= 0:
            return
        self._last = now, trained
        kept = math.exp(-passed / _SPEED_SECONDS)
        self._images, self._seconds = kept * self._images + gained, kept * self._seconds + passed
        if self._images <= 0:
            return
        seconds = left * self._seconds / self._images
        if self._end is None:
            self._end = now + seconds
            return
        # The closer the end, the sooner an estimate counts.
        weight = 1 - math.exp(-passed / max(1.0, min(_SMOOTHING_SECONDS, seconds / 10)))
        self._end += weight * (now + seconds - self._end)

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
