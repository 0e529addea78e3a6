"""The search finds the crossing, says how sure it is, ends, and repeats itself where its calls are repeated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from analysis.emm.search.fit import bracket
from analysis.emm.search.search import CurvePrior, Proposal, Search, Training

LOW, HIGH = 100, 50_000
QUICK = settings(max_examples=25)


def logistic(emm, slope, target=0.9):
    return lambda size: float(special.expit(special.logit(target) - slope * np.log(size / emm)))


def run(search, curve, slots=1, rng=None, limit=200):
    """Trains what the search proposes, noiselessly unless `rng` is given; returns the sizes by round."""
    rounds = []
    while not search.finished:
        proposals = search.propose(slots)
        assert proposals, "the search is not finished, yet proposes nothing and waits for nothing"
        rounds.append([p.size for p in proposals])
        for p in proposals:
            ratio = curve(p.size)
            if rng is not None:
                ratio = rng.binomial(p.num_samples, ratio) / p.num_samples
            search.observe(p, ratio)
        assert sum(map(len, rounds)) < limit, "the search loops"
    return rounds


def plain_bisection(curve, low, high, target, tolerance):
    """Images and trainings of a bisection in log size that trains an end it closes onto."""
    success = failure = None
    images = trainings = 0
    while True:
        left, right = success or low, failure or high
        if right - left <= 1 or (right - left) / 2 <= tolerance * np.sqrt(left * right):
            break
        middle = int(np.clip(round(np.sqrt(left * right)), left + 1, right - 1))
        images, trainings = images + middle, trainings + 1
        if curve(middle) >= target:
            success = middle
        else:
            failure = middle
    images += (low if success is None else 0) + (high if failure is None else 0)
    return images, trainings + 1


# Any falling curve: between 2 and 6 anchor sizes, the ratio falls from one to the next.
@st.composite
def monotone_curves(draw):
    count = draw(st.integers(2, 6))
    share = st.floats(0, 1)
    sizes = np.geomspace(LOW, HIGH, 60)
    at = np.sort(np.array([draw(share) for _ in range(count)])) * np.log(HIGH / LOW) + np.log(LOW)
    ratios = np.sort([draw(share) for _ in range(count)])[::-1]
    values = np.interp(np.log(sizes), at, ratios)
    return lambda size: float(np.interp(np.log(size), np.log(sizes), values))


@QUICK
@given(monotone_curves(), st.sampled_from([1, 4]))
def test_on_any_falling_curve_it_ends_within_the_limits_and_brackets_the_truth(curve, slots):
    search = Search(["a"], LOW, HIGH)
    sizes = [s for batch in run(search, curve, slots) for s in batch]
    assert all(LOW <= s <= HIGH for s in sizes)
    found = search.estimate("a")
    assert found.finished and found.trainings == len(sizes)
    if found.kind == "measured":
        assert min(sizes) <= 1.1 * found.low and found.high <= 1.1 * max(sizes)
    if found.kind in ("measured", "uncertain"):
        if found.bracket_low is not None and search.fit("a").bracket.sure[0] is not None:
            assert curve(search.fit("a").bracket.sure[0]) >= 0.9
        if found.bracket_high is not None and search.fit("a").bracket.sure[1] is not None:
            assert curve(search.fit("a").bracket.sure[1]) < 0.9
        assert min(sizes) <= found.emm <= max(sizes)
    elif found.kind == "lower_bound":
        assert curve(HIGH) >= 0.9 or search.fit("a").bracket.sizes[-1].forced
    else:
        assert curve(LOW) < 0.9 or search.fit("a").bracket.sizes[0].forced


@QUICK
@given(monotone_curves())
def test_on_any_falling_curve_it_costs_at_most_twice_plain_bisection_and_the_repeats(curve):
    search = Search(["a"], LOW, HIGH)
    sizes = [s for batch in run(search, curve) for s in batch]
    repeats = sum(sizes) - sum(set(sizes))
    images, trainings = plain_bisection(curve, LOW, HIGH, 0.9, 0.1)
    assert sum(sizes) - repeats <= 2 * images + HIGH / 50
    assert len(set(sizes)) <= 3 * trainings


@QUICK
@given(st.floats(300, 15_000), st.floats(2, 4))
def test_logistic_curves_take_few_trainings_and_come_within_the_tolerance(emm, slope):
    search = Search(["a"], LOW, HIGH)
    run(search, logistic(emm, slope))
    found = search.estimate("a")
    # Where the last size is a little to one side of the target, its interval may reach beyond the sizes run.
    assert found.kind in ("measured", "uncertain")
    assert found.half_width <= 0.1 + 1e-6
    assert abs(found.emm / emm - 1) < 0.1
    assert found.low <= emm <= found.high
    assert found.trainings <= 8


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered, costs = [], []
    for _ in range(120):
        emm, slope = np.exp(rng.uniform(np.log(300), np.log(15_000))), rng.uniform(2, 4)
        search = Search(["a"], LOW, HIGH)
        while not search.finished:
            for p in search.propose(1):
                logits = special.logit(logistic(emm, slope)(p.size)) + 0.08 * rng.standard_normal()
                search.observe(p, rng.binomial(p.num_samples, special.expit(logits)) / p.num_samples)
        found = search.estimate("a")
        covered.append(found.low <= emm <= found.high)
        costs.append(found.images_trained / emm)
    assert 0.92 <= np.mean(covered) <= 1.0
    assert np.mean(costs) <= 2.5


def test_a_cliff_is_bracketed_to_the_tolerance_by_bisection():
    search = Search(["a"], LOW, HIGH)
    run(search, lambda n: 0.99 if n < 2000 else 0.01)
    found = search.estimate("a")
    assert found.method == "bisection"
    assert found.bracket_low < 2000 <= found.bracket_high
    assert found.low <= 2000 <= found.high
    assert found.half_width <= 0.1


@pytest.mark.parametrize(("level", "kind", "emm"), [(0.6, "upper_bound", LOW), (0.97, "lower_bound", HIGH)])
def test_a_plateau_gives_a_bound_and_not_a_number(level, kind, emm):
    search = Search(["a"], LOW, HIGH)
    run(search, lambda _: level)
    found = search.estimate("a")
    assert (found.kind, found.emm) == (kind, emm)
    assert found.half_width == np.inf


def test_the_target_may_be_any_ratio():
    search = Search(["a"], LOW, HIGH, target=0.5)
    run(search, logistic(3000, 2.9, target=0.5))
    assert search.estimate("a").emm == pytest.approx(3000, rel=0.03)


def test_non_monotone_observations_are_reported_and_the_search_ends():
    search = Search(["a"], LOW, HIGH)
    search.observe(Proposal(-1, "a", 500, 0, 10_000), 0.5)
    search.observe(Proposal(-2, "a", 1000, 0, 10_000), 0.97)
    run(search, lambda n: 0.97 if n < 3000 else 0.2)
    found = search.estimate("a")
    assert found.non_monotone == (500,)
    assert found.low <= 3000 <= found.high


def test_a_success_settles_all_smaller_sizes():
    search = Search(["a"], LOW, HIGH)
    search.observe(Proposal(-1, "a", 4000, 0, 10_000), 0.96)
    sizes = [s for batch in run(search, logistic(5000, 2.9)) for s in batch]
    assert min(sizes) > 4000


def test_a_ratio_that_straddles_the_target_is_not_believed_but_repeated_with_another_seed():
    straddling = [Training(2000, 0, 0.903, 10_000)]
    assert bracket(straddling, 0.9, 0.08).undecided == (2000,)
    cliff = {500: 0.99, 2000: 0.903, 2400: 0.01}
    search = Search(["a"], LOW, HIGH)
    for i, (size, ratio) in enumerate(cliff.items()):
        search.observe(Proposal(-1 - i, "a", size, 0, 10_000), ratio)
    (proposal,) = search.propose(1)
    assert (proposal.size, proposal.seed, proposal.reason) == (2000, 1, "repeat")


def test_repeats_take_more_samples_where_counting_is_what_blurs():
    search = Search(["a"], LOW, HIGH, num_samples=300)
    for i, (size, ratio) in enumerate({500: 0.99, 2000: 0.903, 2400: 0.01}.items()):
        search.observe(Proposal(-1 - i, "a", size, 0, 300), ratio)
    (proposal,) = search.propose(1)
    assert proposal.reason == "repeat" and proposal.num_samples > 300


def test_what_one_value_taught_of_the_slope_makes_the_next_one_surer():
    alone, after = Search(["b"], LOW, HIGH), Search(["a", "b"], LOW, HIGH)
    for i, size in enumerate((700, 1000, 1500, 2500, 4000)):
        after.observe(Proposal(-1 - i, "a", size, 0, 10_000), logistic(1100, 3.6)(size))
    for search in (alone, after):
        search.observe(Proposal(-10, "b", 1000, 0, 10_000), logistic(2000, 3.6)(1000))
    assert abs(after.estimate("b").slope - 3.6) < abs(alone.estimate("b").slope - 3.6)
    wide, narrow = (np.ptp(s.fit("b").posterior.quantile([0.16, 0.84])) for s in (alone, after))
    assert narrow < 0.8 * wide


def test_parallel_slots_ask_different_questions():
    search = Search([8, 16, 32], LOW, HIGH)
    first = search.propose(16)
    assert {p.value for p in first} == {8, 16, 32}
    for value in (8, 16, 32):
        sizes = np.sort([p.size for p in first if p.value == value])
        assert np.all(np.diff(np.log(sizes)) > 0.05)
    assert len({p.id for p in first}) == len(first)


def test_waiting_for_pending_trainings_proposes_nothing_twice():
    search = Search(["a"], LOW, HIGH, max_pending_per_value=1)
    assert len(search.propose(4)) == 1
    assert search.propose(4) == []
    assert not search.finished


@pytest.mark.parametrize("slots", [1, 3])
def test_a_search_with_the_same_calls_proposes_the_same(slots):
    curve = {"none": logistic(1100, 2.9), None: logistic(4000, 2.4), 3: lambda n: 0.99 if n < 900 else 0.0}
    search, twin = (Search(list(curve), LOW, HIGH, prior=CurvePrior(seed_spread=0.1)) for _ in range(2))
    for _ in range(100):
        if search.finished:
            break
        proposals = search.propose(slots)
        # Estimates in between, as tables and displays ask for them, change nothing.
        search.estimates()
        assert twin.propose(slots) == proposals
        assert twin.pending == search.pending
        for p in proposals:
            for each in (search, twin):
                each.observe(p, curve[p.value](p.size))
    assert search.finished
    assert twin.finished and twin.estimates() == search.estimates()


@QUICK
@given(st.lists(st.tuples(st.integers(LOW, HIGH), st.floats(0, 1), st.integers(1, 10_000)), max_size=6))
def test_after_any_history_a_fresh_search_proposes_what_one_that_was_asked_all_along_does(history):
    search, twin = Search(["a"], LOW, HIGH), Search(["a"], LOW, HIGH)
    for i, (size, ratio, samples) in enumerate(history):
        for each in (search, twin):
            each.observe(Proposal(-1 - i, "a", size, i, samples), ratio)
        search.fit("a")
    assert twin.propose(2) == search.propose(2)
    assert twin.estimate("a") == search.estimate("a")


def test_values_out_of_a_table_become_pythons_own():
    search = Search(list(np.array([8, 16])), LOW, HIGH)
    assert [type(value) for value in search.values] == [int, int]
    assert search.propose(1)[0].value == 8


def test_failed_trainings_are_tried_again_with_another_seed_and_then_given_up():
    search = Search(["a"], LOW, HIGH, max_failures=2)
    failed = []
    for _ in range(200):
        if search.finished:
            break
        for p in search.propose(1):
            failed.append((p.size, p.seed))
            search.fail(p)
    assert search.finished
    assert len(set(failed)) == len(failed)
    assert max(sum(s == size for s, _ in failed) for size, _ in failed) <= 2
    assert search.estimate("a").kind == "extrapolated"


def test_a_single_failure_does_not_change_the_answer():
    search = Search(["a"], LOW, HIGH)
    search.fail(search.propose(1)[0])
    run(search, logistic(2000, 2.9))
    assert search.estimate("a").emm == pytest.approx(2000, rel=0.05)


def test_a_second_report_of_the_same_training_is_ignored():
    search = Search(["a"], LOW, HIGH)
    (p,) = search.propose(1)
    search.observe(p, 0.97)
    search.observe(p, 0.1)
    search.fail(p)
    assert [t.ratio for t in search.trainings("a")] == [0.97]


def test_a_trial_that_was_stopped_early_is_a_lower_bound_and_costs_what_it_trained():
    stopped, whole = Search(["a"], LOW, HIGH), Search(["a"], LOW, HIGH)
    proposal = Proposal(-1, "a", 2000, 0, 10_000)
    stopped.observe(proposal, Training(2000, 0, 0.99, 10_000, stopped_early=True, fraction=0.5))
    whole.observe(proposal, 0.99)
    found = stopped.estimate("a")
    assert (found.kind, found.emm, found.bracket_low) == ("lower_bound", 2000, 2000)
    assert found.fitted_low > 2000
    assert found.fitted > whole.estimate("a").fitted
    assert (found.images_trained, whole.estimate("a").images_trained) == (1000, 2000)


def test_small_sizes_end_at_neighboring_numbers():
    search = Search(["a"], 2, 40)
    run(search, lambda n: 1.0 if n <= 5 else 0.0)
    found = search.estimate("a")
    assert (found.bracket_low, found.bracket_high) == (5, 6)


def test_a_single_size_to_choose_from_gives_a_bound():
    search = Search(["a"], 500, 500)
    run(search, lambda _: 0.99)
    assert search.estimate("a").kind == "lower_bound"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": []}, "no factor values"),
        ({"values": ["a", "a"]}, "not all different"),
        ({"min_size": 900, "max_size": 100}, "min_size 900 is above max_size 100"),
        ({"min_size": 0}, "min_size 0 is not a whole number of images"),
        ({"max_size": 10**30}, "from 1 to 10"),
        ({"max_size": float("inf")}, "max_size inf"),
        ({"target": 1.0}, r"target 1.0 is not in \(0, 1\)"),
        ({"tolerance": 0}, "tolerance 0 must be positive"),
        ({"tolerance": float("nan")}, "must be positive"),
        ({"num_samples": 0}, "num_samples 0"),
        ({"values": [[1, 2]]}, "must be a string, a finite number"),
        ({"values": [float("nan")]}, "factor value nan"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Search(**({"values": ["a"], "min_size": 100, "max_size": 1000} | arguments))


def test_bad_trainings_are_named():
    search = Search(["a"], LOW, HIGH)
    (p,) = search.propose(1)
    for ratio, message in ((92.1, "give a fraction"), (float("nan"), r"not in \[0, 1\]")):
        with pytest.raises(ValueError, match=message):
            search.observe(p, ratio)
    with pytest.raises(ValueError, match="num_samples 0"):
        Training(p.size, 0, 0.5, 0)
    with pytest.raises(ValueError, match="of the budget"):
        Training(p.size, 0, 0.5, 100, fraction=2.0)
    with pytest.raises(ValueError, match="is not what was proposed"):
        search.observe(p, Training(p.size + 1, 0, 0.5, 100))
    with pytest.raises(ValueError, match="not searched"):
        search.estimate("b")


@pytest.mark.parametrize("size", [0, -3, 2.5, "x", True, 10**16])
def test_sizes_that_are_no_number_of_images_are_refused(size):
    with pytest.raises(ValueError, match="not a whole number of images"):
        Proposal(0, "a", size, 0, 1000)


def test_a_limit_that_the_noise_does_not_decide_bounds_only_what_it_decides():
    search = Search(["a"], 100, 1000)
    for seed, ratio in enumerate((0.898, 0.897)):
        search.observe(Proposal(100 + seed, "a", 100, seed, 10_000), ratio)
    found = search.estimate("a")
    assert (found.kind, found.low, found.high) == ("upper_bound", 0.0, np.inf)


def test_an_interval_that_leaves_the_sizes_run_is_uncertain():
    search = Search(["a"], 4, 100, prior=CurvePrior(seed_spread=0.4), num_samples=128)
    for size, ratio in ((4, 0.92), (6, 0.33), (15, 0.0)):
        search.observe(Proposal(-size, "a", size, 0, 128), ratio)
    # Of 128 samples 92% may be below 90%, and no smaller size was run.
    assert search.estimate("a").kind == "uncertain"
    search.observe(Proposal(-1, "a", 4, 1, 128), 1.0)
    assert search.estimate("a").kind == "measured"
