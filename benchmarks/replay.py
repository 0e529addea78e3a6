"""Replays a curve through the searcher: simulated trainings instead of real ones, images counted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.binomial import logit, wilson_interval
from analysis.bisection import Estimate, Proposal, Search
from analysis.growth import forecast, will_not_reach
from analysis.search.observation import Verdict
from benchmarks.curves import Curve

EVALUATIONS = 16


@dataclass(frozen=True)
class Noise:
    """What a simulated training adds to the true ratio.

    Attributes:
        seed_spread: standard deviation of the final logit between trainings. 0.08 is +-0.7 points at a
            ratio of
            0.9: above the paper's three seeds (0.2 points), below laptop runs of 500 samples (3 points).
        growth: range of the growth's slope at the end of training, logits per unit of ln(progress).
        curvature: range of its curvature.
        wobble: deviation of an evaluation from smooth growth, in logits.
    """

    seed_spread: float = 0.08
    growth: tuple[float, float] = (2.0, 5.0)
    curvature: tuple[float, float] = (0.0, 2.0)
    wobble: float = 0.05


@dataclass(frozen=True)
class Training:
    """The outcome of a simulated training, as `Search.observe` takes it."""

    ratio: float
    verdict: Verdict = "full"
    fraction: float = 1.0
    forecast: tuple[float, float] | None = None
    final_ratio: float | None = None


def train(curve: Curve, proposal: Proposal, noise: Noise, rng: np.random.Generator) -> Training:
    """One training to the end of its budget."""
    logits = logit(curve.ratio(proposal.size)) + noise.seed_spread * rng.standard_normal()
    return Training(rng.binomial(proposal.num_samples, special.expit(logits)) / proposal.num_samples)


def train_with_verdicts(
    curve: Curve,
    proposal: Proposal,
    noise: Noise,
    rng: np.random.Generator,
    target: float,
    *,
    confidence: float = 0.99,
) -> Training:
    """One training, evaluated 16 times, that stops as soon as its verdict is sure.

    `final_ratio` is the true one that it would have reached: whether a stop was false.
    """
    final = float(logit(curve.ratio(proposal.size))) + noise.seed_spread * rng.standard_normal()
    progress = np.arange(1, EVALUATIONS + 1) / EVALUATIONS
    x = np.log(progress)
    slope, bend = rng.uniform(*noise.growth), rng.uniform(*noise.curvature)
    logits = (
        final + slope * x - bend * x**2 + noise.wobble * rng.standard_normal(EVALUATIONS) * (progress < 1)
    )
    n = proposal.num_samples
    ratios = rng.binomial(n, special.expit(logits)) / n
    true_final = float(special.expit(final))
    low, _ = wilson_interval(ratios * n, n, 1 - 0.05 / EVALUATIONS)
    for i in range(EVALUATIONS - 1):
        seen = slice(0, i + 1)
        if low[i] > target:
            foreseen = forecast(progress[seen], ratios[seen], n)
            told = (max(foreseen.logit, float(logit(target))), foreseen.sd) if foreseen.exact else None
            return Training(float(ratios[i]), "reached", float(progress[i]), told, true_final)
        if i >= 1 and will_not_reach(progress[seen], ratios[seen], n, target, confidence=confidence):
            foreseen = forecast(progress[seen], ratios[seen], n)
            told = (foreseen.logit, foreseen.sd) if foreseen.exact else None
            return Training(float(ratios[i]), "will_not_reach", float(progress[i]), told, true_final)
    return Training(float(ratios[-1]), final_ratio=true_final)


@dataclass(frozen=True)
class Replay:
    """One search over one curve: its result, rounds of waiting, and its early verdicts."""

    estimate: Estimate
    rounds: int
    early_failures: int = 0
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
    verdicts: bool = False,
) -> Replay:
    """Searches one curve to the end, `slots` trainings at a time; a round ends when all have reported."""
    (done,) = replay_factor(
        [curve], target, tolerance, rng, limits=limits, noise=noise, slots=slots, verdicts=verdicts
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
    verdicts: bool = False,
) -> list[Replay]:
    """Searches the values of a factor together, one curve a value; each result carries the rounds of all."""
    noise = noise or Noise()
    low, high = limits or curves[0].limits
    search = Search(list(range(len(curves))), low, high, target, tolerance=tolerance)
    rounds = 0
    failures, false_stops = [0] * len(curves), [0] * len(curves)
    while not search.finished:
        rounds += 1
        for proposal in search.propose(slots):
            index = int(proposal.value or 0)
            if verdicts:
                done = train_with_verdicts(curves[index], proposal, noise, rng, target)
                stopped = done.verdict == "will_not_reach"
                failures[index] += stopped
                false_stops[index] += stopped and (done.final_ratio or 0.0) >= target
            else:
                done = train(curves[index], proposal, noise, rng)
            search.observe(
                proposal, done.ratio, verdict=done.verdict, forecast=done.forecast, fraction=done.fraction
            )
    return [Replay(found, rounds, failures[i], false_stops[i]) for i, found in enumerate(search.estimates())]


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
    """The yardstick: halve [min, max] in ln size and believe each ratio, until the tolerance is reached.

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
