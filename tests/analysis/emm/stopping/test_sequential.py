"""Sampling stops when the verdict is sure, repeated looks included, and never beyond its limit."""

import numpy as np
import pytest

from analysis.emm.stopping.sequential import SamplingPlan, decide, next_batch
from analysis.stats.binomial import wilson_interval


def sample(ratio, plan, rng):
    """Draws batches until the plan says stop; returns the verdict, the samples and the looks."""
    successes = total = looks = 0
    while (batch := next_batch(successes, total, plan)) > 0:
        successes += rng.binomial(batch, ratio)
        total += batch
        looks += 1
    return decide(successes, total, plan), total, looks


def test_wilson_agrees_with_the_textbook():
    low, high = wilson_interval(0, 10)
    assert (float(low), float(high)) == pytest.approx((0.0, 0.2775), abs=1e-4)
    low, high = wilson_interval(81, 263)
    assert (float(low), float(high)) == pytest.approx((0.2553, 0.3662), abs=1e-4)


@pytest.mark.parametrize(("ratio", "side"), [(0.3, "below"), (0.99, "above")])
def test_a_clear_ratio_needs_few_samples(ratio, side):
    verdict, total, _ = sample(ratio, SamplingPlan(), np.random.default_rng(0))
    assert verdict == side
    assert total <= 1000


def test_at_the_target_it_samples_to_the_limit_and_stays_undecided_with_the_stated_confidence():
    plan, rng = SamplingPlan(), np.random.default_rng(1)
    outcomes = [sample(plan.target, plan, rng) for _ in range(1000)]
    assert np.mean([verdict != "undecided" for verdict, _, _ in outcomes]) <= 0.05 + 0.015
    assert max(total for _, total, _ in outcomes) == plan.max_samples


@pytest.mark.parametrize("ratio", [0.88, 0.92])
def test_near_the_target_wrong_verdicts_are_rare_and_looks_are_bounded(ratio):
    plan, rng = SamplingPlan(), np.random.default_rng(2)
    outcomes = [sample(ratio, plan, rng) for _ in range(500)]
    wrong = "above" if ratio < plan.target else "below"
    assert np.mean([verdict == wrong for verdict, _, _ in outcomes]) <= 0.025
    assert max(looks for _, _, looks in outcomes) <= plan.looks
    assert np.mean([total for _, total, _ in outcomes]) < plan.max_samples


def test_batches_end_exactly_at_the_limit():
    plan = SamplingPlan(first_batch=300, max_samples=1000)
    total = 0
    while (batch := next_batch(round(0.9 * total), total, plan)) > 0:
        total += batch
    assert total == 1000


def test_a_limit_below_the_first_batch_is_one_batch():
    plan = SamplingPlan(first_batch=250, max_samples=100)
    assert next_batch(0, 0, plan) == 100
    assert plan.looks == 1


def test_nothing_sampled_decides_nothing():
    assert decide(0, 0, SamplingPlan()) == "undecided"


@pytest.mark.parametrize("settings", [{"target": 1.0}, {"confidence": 0}, {"first_batch": 0}, {"max_samples": 0}])
def test_bad_plans_are_named(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        SamplingPlan(**settings)


def test_impossible_counts_are_named():
    with pytest.raises(ValueError, match="successes"):
        decide(11, 10, SamplingPlan())
