"""Replays of searches over known curves: ours, and the plain bisection as a yardstick."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.emm.search.search import Estimate, Proposal, Search
from benchmarks.curves import Curve
from benchmarks.trainings import Noise, train, train_with_rules


@dataclass(frozen=True)
class Replay:
    """One search over one curve: its result, rounds of waiting, early stops, and those that were wrong."""

    estimate: Estimate
    rounds: int
    early_stops: int = 0
    false_stops: int = 0


def replay(
    curve: Curve,
    target: float,
    tolerance: float,
    rng: np.random.Generator,
    *,
    limits: tuple[int, int] | None = None,
    noise: Noise | None = None,
    slots: int = 1,
    early_stops: bool = False,
) -> Replay:
    """Searches one curve to the end, `slots` trainings at a time; a round ends when all have reported."""
    (done,) = replay_factor(
        [curve], target, tolerance, rng, limits=limits, noise=noise, slots=slots, early_stops=early_stops
    )
    return done


def replay_factor(
    curves: Sequence[Curve],
    target: float,
    tolerance: float,
    rng: np.random.Generator,
    *,
    limits: tuple[int, int] | None = None,
    noise: Noise | None = None,
    slots: int = 1,
    early_stops: bool = False,
) -> list[Replay]:
    """Searches the values of a factor together, one curve a value; each result carries the rounds of all."""
    noise = noise or Noise()
    low, high = limits or curves[0].limits
    search = Search(list(range(len(curves))), low, high, target, tolerance=tolerance)
    rounds = 0
    stops, false_stops = [0] * len(curves), [0] * len(curves)
    while not search.finished:
        rounds += 1
        for proposal in search.propose(slots):
            index = int(proposal.value or 0)
            if early_stops:
                training, final = train_with_rules(curves[index], proposal, noise, rng, target)
                stops[index] += training.stopped_early
                false_stops[index] += training.stopped_early and final < target
            else:
                training = train(curves[index], proposal, noise, rng)
            search.observe(proposal, training)
    return [Replay(found, rounds, stops[i], false_stops[i]) for i, found in enumerate(search.estimates())]


def plain_bisection(
    curve: Curve,
    target: float,
    tolerance: float,
    rng: np.random.Generator,
    *,
    limits: tuple[int, int] | None = None,
    noise: Noise | None = None,
    num_samples: int = 10_000,
) -> tuple[int, int]:
    """The yardstick: halve [min, max] in ln size, taking each ratio as exact, until the tolerance is reached.

    An end that the bracket closes onto is trained too, since otherwise nothing was seen there.

    Returns:
        images trained and trainings.
    """
    noise = noise or Noise()
    low, high = limits or curve.limits
    success = failure = None
    images = trainings = 0

    def reaches(size: int) -> bool:
        nonlocal images, trainings
        images, trainings = images + size, trainings + 1
        proposal = Proposal(trainings, curve.name, size, 0, num_samples)
        return train(curve, proposal, noise, rng).ratio >= target

    while True:
        left, right = success or low, failure or high
        if right - left <= 1 or (right - left) / 2 <= tolerance * np.sqrt(left * right):
            break
        middle = int(np.clip(round(np.sqrt(left * right)), left + 1, right - 1))
        if reaches(middle):
            success = middle
        else:
            failure = middle
    if success is None:
        reaches(low)
    if failure is None and high != low:
        reaches(high)
    return images, trainings
