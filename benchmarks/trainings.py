"""Simulated trainings: the true ratio at a size, and how it grows over one training."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import special

from analysis.emm.search.observation import Verdict
from analysis.emm.search.search import Proposal
from analysis.emm.stopping.rules import NextBatch, VerdictRules
from analysis.stats.binomial import logit
from benchmarks.curves import Curve, FloatArray

EVALUATIONS = 16
Growth = Literal["published", "steep", "late", "sudden"]
"""Logits to go until the final ratio, over the share u of the training budget.

`published`: g ln u - h (ln u)^2 with g in 2..5, h in 0..2, as Fig. 1d and 7c rise; `steep`: g in 4..9, h in 0..4, as
laptop runs at a high learning rate do; `late`: a (u - 1), a in 4..12; `sudden`: 4 ln((u - v) / (1 - v)), nothing
before v in 0.3..0.6. The forecast's own family holds the last two, the first two nearly.
"""

GROWTHS: tuple[Growth, ...] = get_args(Growth)


@dataclass(frozen=True)
class Noise:
    """What a simulated training adds to the true ratio.

    Attributes:
        seed_spread: standard deviation of the final logit between trainings. 0.08 is +-0.7 points at a
            ratio of 0.9: above the paper's three seeds (0.2 points), below laptop runs of 500 samples (3 points).
        growth: how the ratio rises within a training.
        wobble: deviation of an evaluation from smooth growth, in logits.
    """

    seed_spread: float = 0.08
    growth: Growth = "published"
    wobble: float = 0.05


@dataclass(frozen=True)
class Training:
    """The outcome of a simulated training, as `Search.observe` takes it.

    `final_ratio` is the true one that it would have reached: whether a stop was false.
    """

    ratio: float
    num_samples: int
    final_ratio: float
    verdict: Verdict = "full"
    fraction: float = 1.0
    forecast: tuple[float, float] | None = None


def train(curve: Curve, proposal: Proposal, noise: Noise, rng: np.random.Generator) -> Training:
    """One training to the end of its budget."""
    final = _final_ratio(curve, proposal, noise, rng)
    n = proposal.num_samples
    return Training(rng.binomial(n, final) / n, n, final)


def train_with_verdicts(
    curve: Curve,
    proposal: Proposal,
    noise: Noise,
    rng: np.random.Generator,
    target: float,
    *,
    confidence: float = 0.99,
) -> Training:
    """One training, evaluated 16 times by the rules of a real trial, that stops as soon as its verdict is sure."""
    rules = VerdictRules(target, True, True, True, confidence)
    final = _final_ratio(curve, proposal, noise, rng)
    u = np.arange(1, EVALUATIONS + 1) / EVALUATIONS
    logits = logit(final) + _growth(u, noise.growth, rng) + noise.wobble * rng.standard_normal(EVALUATIONS) * (u < 1)
    history: list[tuple[int, float, int]] = []
    for done, ratio in enumerate(special.expit(logits), start=1):
        batches = rules.sampling(lambda: (history, done), EVALUATIONS, proposal.num_samples)  # noqa: B023 - used at once
        memorized, drawn = _sample(float(ratio), proposal.num_samples, None if done == EVALUATIONS else batches, rng)
        history.append((done, memorized / drawn, drawn))
        told = rules.judge(history, EVALUATIONS, proposal.num_samples)
        if told["verdict"] != "full":
            break
    foreseen = None if told["forecast"] is None else (told["forecast"], told["forecast_sd"])
    return Training(
        told["verdict_ratio"], told["verdict_samples"], final, told["verdict"], told["budget_fraction"], foreseen
    )


def _final_ratio(curve: Curve, proposal: Proposal, noise: Noise, rng: np.random.Generator) -> float:
    return float(special.expit(logit(curve.ratio(proposal.size)) + noise.seed_spread * rng.standard_normal()))


def _growth(u: FloatArray, growth: Growth, rng: np.random.Generator) -> FloatArray:
    if growth == "late":
        return np.asarray(rng.uniform(4, 12) * (u - 1))
    if growth == "sudden":
        start = rng.uniform(0.3, 0.6)
        return np.asarray(4 * np.log(np.clip((u - start) / (1 - start), 1e-3, 1)))
    slopes, bends = ((2, 5), (0, 2)) if growth == "published" else ((4, 9), (0, 4))
    x = np.log(u)
    return np.asarray(rng.uniform(*slopes) * x - rng.uniform(*bends) * x**2)


def _sample(ratio: float, max_samples: int, batches: NextBatch | None, rng: np.random.Generator) -> tuple[int, int]:
    """Memorized and drawn samples."""
    if batches is None:
        return int(rng.binomial(max_samples, ratio)), max_samples
    memorized = drawn = 0
    while batch := batches(memorized, drawn):
        memorized, drawn = memorized + int(rng.binomial(batch, ratio)), drawn + batch
    return memorized, drawn
