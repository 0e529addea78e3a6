"""How far each running trial is between two evaluations: workers report to one Ray actor, the driver polls it."""

import contextlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

REPORT_SECONDS = 2.0
"""How often a worker reports at most."""
_SPEEDS = 8
"""Speeds between two reports, of which the median is shown: one with an evaluation in between does not count."""


@dataclass(frozen=True)
class Position:
    """How far a trial is.

    Attributes:
        images_seen: at its last report.
        images_per_second: over its last reports; None before the second one since it started.
        age: seconds since its last report.
    """

    images_seen: int
    images_per_second: float | None
    age: float


class Positions:
    """The last reports of trials; what the actor of a `Board` holds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}
        self._speeds: dict[str, deque[float]] = {}

    def report(self, identity: str, images_seen: int) -> None:
        """Take the report of a trial."""
        now = self._clock()
        speeds = self._speeds.setdefault(identity, deque(maxlen=_SPEEDS))
        if identity in self._last:
            before, images_before = self._last[identity]
            if images_seen < images_before:
                speeds.clear()  # started again from a checkpoint
            elif now > before:
                speeds.append((images_seen - images_before) / (now - before))
        self._last[identity] = now, images_seen

    def positions(self, identities: Collection[str]) -> dict[str, Position]:
        """Return the positions of these trials, and forget all others: they have ended."""
        for ended in self._last.keys() - set(identities):
            del self._last[ended], self._speeds[ended]
        now = self._clock()
        return {
            identity: Position(images_seen, statistics.median(speeds) if speeds else None, now - reported)
            for identity, (reported, images_seen) in self._last.items()
            for speeds in [self._speeds[identity]]
        }


class Reporter:
    """Reports one trial's position from its worker. Picklable within Ray."""

    def __init__(self, actor: Any, identity: str) -> None:
        self._actor, self._identity = actor, identity
        self._next = 0.0

    def __call__(self, images_seen: int) -> None:
        """Report, at most every two seconds; waits for nothing, raises nothing.

        Args:
            images_seen: what the trial has trained on so far; called after each training step.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + REPORT_SECONDS
        # A display is no reason for a training to fail, whatever has become of it.
        with contextlib.suppress(Exception):
            self._actor.report.remote(self._identity, images_seen)


class Board:
    """The driver's side: starts the actor, and asks it without waiting."""

    def __init__(self) -> None:
        self._actor: Any = None
        self._pending: Any = None
        self._known: Mapping[str, Position] = {}
        self._received = 0.0

    def start(self) -> None:
        """Start the actor beside the driver, on no CPU; Ray must have been initialized.

        An actor that dies is started again, and knows everything after the workers' next reports.
        """
        beside = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        options = ray.remote(Positions).options(num_cpus=0, max_restarts=-1, scheduling_strategy=beside)
        self._actor = options.remote()

    def stop(self) -> None:
        """End the actor; reports that still come are lost."""
        if self._actor is not None:
            with contextlib.suppress(RayError):
                ray.kill(self._actor)
        self._actor = self._pending = None

    @property
    def reporters(self) -> Callable[[str], Reporter]:
        """Makes a `Reporter` of a trial's identity; for workers, who get it as a parameter of the trainable."""
        assert self._actor is not None
        return partial(Reporter, self._actor)

    def positions(self, identities: Collection[str]) -> Mapping[str, Position]:
        """Return the positions of running trials by the actor's last answer; those that never reported are missing.

        Never waits: the answer to this call's question is returned by a later call.

        Args:
            identities: of the running trials.
        """
        if self._actor is None:
            return {}
        with contextlib.suppress(RayError):  # the actor is starting, dead, or out of reach
            self._poll(identities)
        since = time.monotonic() - self._received
        wanted = set(identities)
        return {
            identity: replace(position, age=position.age + since)
            for identity, position in self._known.items()
            if identity in wanted
        }

    def _poll(self, identities: Collection[str]) -> None:
        if self._pending is not None:
            ready, _ = ray.wait([self._pending], timeout=0)
            if not ready:
                return
            answered, self._pending = self._pending, None
            self._known, self._received = ray.get(answered), time.monotonic()
        self._pending = self._actor.positions.remote(sorted(identities))
