import pytest
from scipy import special

from analysis.emm.stopping.rules import VerdictRules

EARLY = VerdictRules(0.9, early_success=True, early_failure=True, sequential_sampling=True)
PAPER = VerdictRules(0.9, early_success=False, early_failure=False, sequential_sampling=False)


def test_a_ratio_that_passed_the_target_with_confidence_ends_the_trial():
    history = [(1000, 0.5, 1000), (2000, 0.97, 1000)]
    assert EARLY.judge(history, 4000, 1000)["verdict"] == "reached"
    assert PAPER.judge(history, 4000, 1000)["verdict"] == "full"


def test_a_ratio_just_above_the_target_is_not_believed():
    assert EARLY.judge([(2000, 0.905, 1000)], 4000, 1000)["verdict"] == "full"


def test_a_hopeless_curve_ends_the_trial_and_says_where_it_would_have_ended():
    history = [(1000, 0.02, 1000), (2000, 0.05, 1000), (3000, 0.08, 1000)]
    judged = EARLY.judge(history, 4000, 1000)
    assert judged["verdict"] == "will_not_reach"
    assert judged["budget_fraction"] == 0.75
    assert judged["forecast"] < 0
    assert PAPER.judge(history, 4000, 1000)["verdict"] == "full"


def test_a_steep_curve_goes_on():
    assert EARLY.judge([(1000, 0.2, 1000), (2000, 0.8, 1000)], 4000, 1000)["verdict"] == "full"


def test_at_the_end_the_highest_full_evaluation_counts():
    history = [(1000, 0.99, 250), (2000, 0.80, 1000), (4000, 0.78, 1000)]
    judged = EARLY.judge(history, 4000, 1000)
    assert (judged["verdict"], judged["verdict_ratio"], judged["verdict_samples"]) == ("full", 0.80, 1000)


def test_sequential_sampling_stops_when_the_side_is_clear():
    more = EARLY.sampling(lambda: ([], 1000), 4000, 10_000)
    assert more(0, 0) == 250
    assert more(10, 250) == 0
    assert more(225, 250) > 0
    assert PAPER.sampling(lambda: ([], 1000), 4000, 10_000) is None


def test_a_trial_that_ends_here_draws_all_its_samples():
    more = EARLY.sampling(lambda: ([(1000, 0.9, 1000)], 2000), 8000, 10_000)
    assert more(250, 250) == 9750, "a ratio of 1 at a quarter of the budget has reached the target"
    assert more(100, 250) == 0, "this one goes on"


def test_a_reached_verdict_tells_what_the_growth_foresees():
    judged = EARLY.judge([(1000, 0.5, 10_000), (2000, 0.97, 10_000)], 4000, 10_000)
    assert judged["verdict"] == "reached"
    assert judged["forecast"] > special.logit(0.97)
    assert 0 < judged["forecast_sd"] < 5


def test_a_trial_that_will_end_near_the_target_goes_on_since_its_number_is_what_counts():
    nearly_done = [(3000, 0.88, 10_000), (3800, 0.925, 10_000)]
    assert EARLY.judge(nearly_done, 4000, 10_000)["verdict"] == "full"


@pytest.mark.parametrize("memorized", [200, 225, 245])
def test_sequential_sampling_never_exceeds_the_full_evaluation(memorized):
    more, drawn, count = EARLY.sampling(lambda: ([], 1000), 4000, 1000), 0, memorized
    while drawn < 1000 and (batch := more(int(count * drawn / 250), drawn)):
        drawn += batch
    assert drawn <= 1000
