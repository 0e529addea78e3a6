import pytest

from analysis.emm.search.trainings import Training
from analysis.emm.stopping.rules import StoppingRules

EARLY = StoppingRules(0.9, early_success=True, sequential_sampling=True)
PAPER = StoppingRules(0.9, early_success=False, sequential_sampling=False)


def training(rules, history, max_samples=1000):
    return rules.training(history, 50, 3, 4000, max_samples)


def test_a_ratio_surely_far_above_the_target_ends_the_trial():
    history = [(1000, 0.5, 10_000), (2000, 0.9995, 10_000)]
    assert training(EARLY, history, 10_000) == Training(50, 3, 0.9995, 10_000, stopped_early=True, fraction=0.5)
    assert training(PAPER, history, 10_000) == Training(50, 3, 0.9995, 10_000, stopped_early=False, fraction=0.5)


@pytest.mark.parametrize("ratio", [0.2, 0.905, 0.97])
def test_nearer_to_the_target_or_below_it_a_trial_goes_on(ratio):
    assert not training(EARLY, [(1000, ratio, 1000)]).stopped_early


def test_the_end_of_the_budget_is_no_early_stop():
    assert training(EARLY, [(4000, 1.0, 1000)]) == Training(50, 3, 1.0, 1000)


def test_at_the_end_the_highest_full_evaluation_counts():
    history = [(1000, 0.99, 250), (2000, 0.80, 1000), (4000, 0.78, 1000)]
    assert training(EARLY, history) == Training(50, 3, 0.80, 1000)


def test_sequential_sampling_stops_when_the_side_is_clear():
    more = EARLY.sampling(lambda: ([], 1000), 4000, 10_000)
    assert more(0, 0) == 250
    assert more(10, 250) == 0
    assert more(225, 250) > 0
    assert PAPER.sampling(lambda: ([], 1000), 4000, 10_000) is None


def test_a_trial_that_ends_here_draws_all_its_samples():
    more = EARLY.sampling(lambda: ([(1000, 0.9, 1000)], 2000), 8000, 10_000)
    assert more(1000, 1000) == 9000, "a ratio of 1 is far above the target"
    assert more(100, 250) == 0, "this trial goes on"


@pytest.mark.parametrize("memorized", [200, 225, 245])
def test_sequential_sampling_never_exceeds_the_full_evaluation(memorized):
    more, drawn, count = EARLY.sampling(lambda: ([], 1000), 4000, 1000), 0, memorized
    while drawn < 1000 and (batch := more(int(count * drawn / 250), drawn)):
        drawn += batch
    assert drawn <= 1000
