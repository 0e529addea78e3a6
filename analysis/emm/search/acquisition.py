"""The size worth training next: the one after which the rest of the search is expected to cost least.

Expected cost = images of this training + expected images of those after it, looked ahead one step on
a thinned posterior. Trainings under way are replaced by fantasies: results that the posterior expects.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.emm.search import constants
from analysis.emm.search.posterior import CurvePosterior
from analysis.emm.search.prior import LOG_SLOPES, FloatArray


@dataclass(frozen=True)
class Task:
    """What the choice of a size depends on beside the posterior.

    Attributes:
        limits: ln of the smallest and largest size.
        target_logit: logit of 1 - zeta.
        tolerance: relative half-width that ends the search.
        num_samples: samples of the next evaluation.
        seed_spread: standard deviation in logits between seeds.
        shape_misfit: deviation from the line, as a share of the distance to the target.
        below, above: whether a size run lies below and above the crossing already.
        near: whether a size run has a ratio near the target already.
        reach: how near that is, in logits.
    """

    limits: tuple[float, float]
    target_logit: float
    tolerance: float
    num_samples: int
    seed_spread: float
    shape_misfit: float
    below: bool
    above: bool
    near: bool
    reach: float


@dataclass(frozen=True)
class _Nodes:
    """Equally likely curves: (K,) ln crossings (clipped to the limits) and slopes."""

    crossings: FloatArray
    slopes: FloatArray


def _thin(posterior: CurvePosterior) -> _Nodes:
    """Draw nodes by systematic resampling along the crossing: deterministic, and even where the weight is."""
    flat = np.cumsum(posterior.weights.ravel())
    picks = np.searchsorted(flat, (np.arange(constants.NODES) + 0.5) / constants.NODES * flat[-1])
    rows, columns = np.unravel_index(picks, posterior.weights.shape)
    # Spread nodes inside their cell, so that a coarse grid does not look like certainty.
    step = posterior.crossings[1] - posterior.crossings[0]
    jitter = ((np.arange(constants.NODES) * 0.6180339887) % 1 - 0.5) * step
    return _Nodes(posterior.crossings[rows] + jitter, np.exp(LOG_SLOPES[columns]))


def _predict(log_sizes: FloatArray, nodes: _Nodes, task: Task) -> tuple[FloatArray, FloatArray]:
    """Return the distance of the logit to the target and its noise, (N, K), at sizes for each curve."""
    distance = -nodes.slopes * (log_sizes[:, None] - nodes.crossings)
    logits = np.clip(distance + task.target_logit, -constants.MAX_LOGIT, constants.MAX_LOGIT)
    counting = (1 + np.exp(-logits)) * (1 + np.exp(logits)) / task.num_samples
    noise = np.sqrt(counting + task.seed_spread**2 + (task.shape_misfit * distance) ** 2)
    return np.clip(distance, constants.MIN_DISTANCE, constants.MAX_LOGIT), noise


def _fantasies(
    log_sizes: FloatArray, truths: npt.NDArray[np.intp], nodes: _Nodes, task: Task
) -> tuple[FloatArray, FloatArray]:
    """Return results if curve `truths[j]` were true: logits less the target's (N, J), and curves' weights (N, J, K)."""
    distance, noise = _predict(log_sizes, nodes, task)
    fantasies = distance[:, truths] + np.resize(constants.NOISE_QUANTILES, len(truths)) * noise[:, truths]
    z = (fantasies[:, :, None] - distance[:, None, :]) / noise[:, None, :]
    weights = np.exp(-0.5 * z**2) / noise[:, None, :] + 1e-12
    return fantasies, weights / weights.sum(axis=2, keepdims=True)


def _remaining(weights: FloatArray, nodes: _Nodes, task: Task, enclosed: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the images still to be trained, from the spread that is left; weights (..., K) -> (...)."""
    inside = np.clip(nodes.crossings, *task.limits)
    mean = weights @ inside
    spread = np.sqrt(np.maximum(weights @ inside**2 - mean**2, 0))
    emm = weights @ np.exp(inside)
    excess = np.log(np.maximum(spread / (task.tolerance / constants.Z95), 1e-9))
    # One more training near the crossing divides the spread by a few; a wide one needs several.
    trainings = np.where(excess > 0, constants.TRAININGS_LEFT + constants.TRAININGS_PER_EXCESS * excess, 0.0)
    trainings = np.maximum(trainings, np.clip(1 + excess / constants.SOFT_WIDTH, 0, 1) * constants.SOFT_TRAININGS)
    outside = (mean <= task.limits[0] + 1e-3) | (mean >= task.limits[1] - 1e-3)
    trainings = np.where(~enclosed & ~outside, np.maximum(trainings, 1.0), trainings)
    return np.asarray(trainings * emm)


def expected_costs(
    log_sizes: FloatArray, posterior: CurvePosterior, pending: Sequence[float], task: Task
) -> FloatArray:
    """Return the expected images of training at each size and of finishing the search afterwards.

    Args:
        log_sizes: (N,) ln of the candidate sizes.
        posterior: of the curve.
        pending: ln sizes being trained already.
        task: goal, noise and limits.

    Returns:
        (N,) in images.
    """
    nodes = _thin(posterior)
    total = np.zeros(len(log_sizes))
    if not pending:
        scenarios = [(np.full(constants.NODES, 1.0), task.below, task.above)]
    else:
        count = constants.PENDING_FANTASIES
        truths = (np.arange(count) * constants.NODES) // count + constants.NODES // (2 * count)
        fantasies, weights_of = _fantasies(np.asarray(pending), truths, nodes, task)
        likelihood = np.prod(weights_of * constants.NODES, axis=0) + 1e-12
        margin = constants.Z95 * task.seed_spread
        scenarios = [
            (
                likelihood[j],
                task.below or bool((fantasies[:, j] > -margin).any()),
                task.above or bool((fantasies[:, j] < margin).any()),
            )
            for j in range(count)
        ]
    for base, below, above in scenarios:
        cumulative = np.cumsum(base) / base.sum()
        truths = np.searchsorted(cumulative, (np.arange(constants.FANTASIES) + 0.5) / constants.FANTASIES)
        fantasies, weights = _fantasies(log_sizes, truths, nodes, task)
        weights = weights * base
        weights /= weights.sum(axis=2, keepdims=True)
        margin = constants.Z95 * np.hypot(task.seed_spread, 3 / np.sqrt(task.num_samples))
        enclosed = (below | (fantasies > -margin)) & (above | (fantasies < margin))
        enclosed &= task.near | (np.abs(fantasies) < task.reach)
        total += _remaining(weights, nodes, task, enclosed).mean(axis=1)
    return np.asarray(np.exp(log_sizes) + total / len(scenarios))


def candidate_sizes(posterior: CurvePosterior, limits: tuple[float, float]) -> FloatArray:
    """Return (N,) ln sizes to compare: where the crossing may be, a little above it, and well below."""
    low, middle, high = posterior.quantile([0.02, 0.5, 0.98])
    around = middle + np.linspace(-constants.NEAR_MEDIAN, constants.NEAR_MEDIAN, constants.CANDIDATES_NEAR)
    wide = np.linspace(low - constants.CANDIDATES_BELOW, high + constants.CANDIDATES_ABOVE, constants.CANDIDATES)
    sizes = np.clip(np.concatenate([wide, around]), *limits)
    return np.unique(np.round(sizes, 9))
