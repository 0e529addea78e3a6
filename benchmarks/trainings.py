"""Simulated trainings: the true ratio at a size, and how it grows over one training."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import special

from analysis.emm.search.trainings import Proposal, Training
from analysis.emm.stopping.rules import NextBatch, StoppingRules
from analysis.stats.binomial import logit
from benchmarks.curves import Curve, FloatArray

EVALUATIONS = 16
Growth = Literal["published", "steep", "late", "sudden"]
"""Logits to go until the final ratio, over the share u of the training budget.

`published`: g ln u - h (ln u)^2 with g in 2..5, h in 0..2, as Fig. 1d and 7c rise; `steep`: g in 4..9, h in 0..4, as
laptop runs at a high learning rate do; `late`: a (u - 1), a in 4..12; `sudden`: 4 ln((u - v) / (1 - v)), nothing
before v in 0.3..0.6.
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


def train(curve: Curve, proposal: Proposal, noise: Noise, rng: np.random.Generator) -> Training:
    """Simulate one training to the end of its budget."""
    n = proposal.num_samples
    ratio = rng.binomial(n, _final_ratio(curve, proposal, noise, rng)) / n
    return Training(proposal.size, proposal.seed, ratio, n)


def train_with_rules(
    curve: Curve, proposal: Proposal, noise: Noise, rng: np.random.Generator, target: float
) -> tuple[Training, float]:
    """Simulate one training that is evaluated 16 times by the rules of a real trial.

    Returns:
        The training, and the true ratio that it had reached at the end of its budget.
    """
    rules = StoppingRules(target, early_success=True, sequential_sampling=True)
    final = _final_ratio(curve, proposal, noise, rng)
    u = np.arange(1, EVALUATIONS + 1) / EVALUATIONS
    logits = logit(final) + _growth(u, noise.growth, rng) + noise.wobble * rng.standard_normal(EVALUATIONS) * (u < 1)
    history: list[tuple[int, float, int]] = []
    for done, ratio in enumerate(special.expit(logits), start=1):
        batches = rules.sampling(lambda: (history, done), EVALUATIONS, proposal.num_samples)  # noqa: B023 - used at once
        memorized, drawn = _sample(float(ratio), proposal.num_samples, None if done == EVALUATIONS else batches, rng)
        history.append((done, memorized / drawn, drawn))
        training = rules.training(history, proposal.size, proposal.seed, EVALUATIONS, proposal.num_samples)
        if training.stopped_early:
            break
    return training, final


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
