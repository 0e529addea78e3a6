"""The plan of an EMM search, and the searcher that it makes."""

import pytest

from memo_core.errors import MemosweepError
from sweeps.conditioning import FACTOR as CONDITIONING
from sweeps.data_size import FACTOR as DATA_SIZE
from sweeps.engine.plans.bisect import bisect_plan
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.plan import EMMSearchOptions
from sweeps.engine.search.build import searcher_of
from sweeps.num_classes import FACTOR as NUM_CLASSES
from sweeps.random_labels import FACTOR as RANDOM_LABELS
from sweeps.width import FACTOR as WIDTH

LAPTOP_SELECTION = Selection("laptop")


def test_a_bisect_plan_has_a_variant_for_each_value_and_each_further_axis():
    plan = bisect_plan(WIDTH, Selection("paper", figures=["7a"], settings={"data.dataset": "digits", "model.depth": 1}),
                       EMMSearchOptions(max_size=500))  # fmt: skip
    assert list(plan.labels) == [f"width={width}" for width in (64, 96, 128, 160, 192, 224, 256)]
    assert (plan.search.min_size, plan.search.max_size) == (100, 500)
    assert plan.search.target == pytest.approx(0.9)


def test_the_size_itself_has_one_variant():
    plan = bisect_plan(DATA_SIZE, LAPTOP_SELECTION, EMMSearchOptions())
    assert plan.labels == ("all",)


def test_a_search_over_conditioning_starts_where_ten_random_labels_have_an_image():
    assert bisect_plan(CONDITIONING, LAPTOP_SELECTION, EMMSearchOptions()).search.min_size == 10


@pytest.mark.parametrize("factor", [NUM_CLASSES, RANDOM_LABELS], ids=lambda factor: factor.name)
def test_an_emm_search_starts_where_all_classes_or_labels_have_an_image(factor):
    plan = bisect_plan(factor, LAPTOP_SELECTION, EMMSearchOptions())
    assert plan.search.min_size == max(factor.laptop[0].values)
    with pytest.raises(MemosweepError, match="than the 4 images"):
        bisect_plan(factor, LAPTOP_SELECTION, EMMSearchOptions(min_size=4))


@pytest.mark.parametrize(
    ("selection", "options", "message"),
    [
        (Selection("laptop", sizes=[10]), EMMSearchOptions(), "--min-size and --max-size"),
        (Selection("laptop", repeats=2), EMMSearchOptions(), "leave --repeats out"),
        (LAPTOP_SELECTION, EMMSearchOptions(min_size=30, max_size=20), "at least the min size"),
        (Selection("laptop", settings={"data.size": 20}), EMMSearchOptions(), "--min-size and --max-size"),
        (LAPTOP_SELECTION, EMMSearchOptions(max_size=1798), "1,797 images"),
    ],
)
def test_a_search_that_cannot_be_is_refused(selection, options, message):
    with pytest.raises(MemosweepError, match=message):
        bisect_plan(WIDTH, selection, options)


def test_a_failing_trial_is_not_asked_for_for_ever():
    searcher = searcher_of(DATA_SIZE, bisect_plan(DATA_SIZE, LAPTOP_SELECTION, EMMSearchOptions()))
    for number in range(200):
        suggested = searcher.suggest(str(number))
        if not isinstance(suggested, dict):
            break
        searcher.complete(str(number), None)
    assert suggested == "FINISHED"


def test_a_search_with_the_papers_settings_on_a_small_set_ends_where_the_data_do():
    plan = bisect_plan(WIDTH, Selection("paper", settings={"data.dataset": "digits"}), EMMSearchOptions())
    assert plan.search.max_size == 1797


def test_a_search_has_a_value_for_each_of_the_factors_not_for_each_subset():
    plan = bisect_plan(NUM_CLASSES, LAPTOP_SELECTION, EMMSearchOptions())
    assert len(plan.labels) == 4
    assert {trial.data.seed for trial in plan.trials} == {0}


def test_a_single_value_is_called_by_its_value():
    plan = bisect_plan(WIDTH, Selection("laptop", values=[8]), EMMSearchOptions())
    assert plan.labels == ("width=8",)
