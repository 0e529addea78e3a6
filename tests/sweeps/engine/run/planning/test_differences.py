"""In what a command line differs from the one that began a run."""

import json

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sweeps.data_size import FACTOR as DATA_SIZE
from sweeps.engine.command import _parser
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.plan import Plan, grid_plan
from sweeps.engine.run.planning.differences import difference, option_difference
from sweeps.engine.run.planning.options import extended_plan, plan_of
from sweeps.width import FACTOR as WIDTH

PLAN = grid_plan(WIDTH, Selection("laptop", values=[8, 16], sizes=[10]))


def dumped(plan):
    return plan.model_dump(mode="json")


def options(*arguments):
    return _parser(WIDTH, None, "grid").parse_args(list(arguments))


def planned(*arguments, preset="laptop"):
    return plan_of(WIDTH, options(*arguments), preset)


@pytest.mark.parametrize(
    ("begun", "typed", "words"),
    [
        ([], [], None),
        (["--values", "8", "16"], ["--values", "8", "16"], None),
        (["--values", "8", "16"], ["--values", "8", "32"], "--values was 8 16, is 8 32"),
        (["--values", "8"], [], "--values was 8, is left out"),
        ([], ["--sizes", "12", "20"], "--sizes was left out, is 12 20"),
        (["--repeats", "2"], [], "--repeats was 2, is 1"),
        (["--set", "model.depth=2"], ["--set", "model.depth=3"], "--set model.depth was 2, is 3"),
        (["--set", "model.depth=2"], [], "--set model.depth was 2, is left out"),
        ([], ["--search", "bisect"], "--search was grid, is bisect"),
        (["--search", "bisect", "--zeta", "0.2"], ["--search", "bisect"], "--zeta was 0.2, is 0.1"),
        (["--search", "optuna", "--trials", "5"], ["--search", "optuna"], "--trials was 5, is 20"),
        (["--search", "optuna"], ["--search", "optuna", "--set", "model.depth=choice(1,2)"],
         '--set model.depth was left out, is {"choices":[1,2]}'),
    ],
)  # fmt: skip
def test_the_first_option_that_was_typed_otherwise_is_named_with_both_values(begun, typed, words):
    stored = Plan.model_validate_json(planned(*begun).model_dump_json())
    assert option_difference(stored, planned(*typed)) == words


def test_the_preset_is_an_option_too():
    assert option_difference(planned(preset="laptop-long"), planned()) == "--preset was laptop-long, is laptop"


def test_what_a_run_was_extended_by_is_told_from_what_it_was_begun_with():
    begun = planned("--values", "8")
    extended = extended_plan(WIDTH, options("--extend", "run", "--values", "16"), begun)
    assert option_difference(extended, begun) == "--values was 8 and by --extend 16, is 8"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (PLAN, None),
        (grid_plan(WIDTH, Selection("laptop", values=[8], sizes=[10])), "it has 2 trials, these options give 1"),
        (grid_plan(WIDTH, Selection("laptop", values=[8, 32], sizes=[10])),
         "its trials[1].model.width is 16, here it is 32"),
        (grid_plan(WIDTH, Selection("laptop", values=[8, 16], sizes=[12])),
         "its trials[0].data.size is 10, here it is 12"),
        (grid_plan(DATA_SIZE, Selection("laptop", values=[8, 16])),
         "its factor.name is 'width', here it is 'data_size'"),
    ],
)  # fmt: skip
def test_the_first_difference_of_two_plans_is_named_with_both_values(typed, words):
    assert difference(dumped(PLAN), dumped(typed)) == words


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
@hypothesis_settings(max_examples=50, deadline=None)
def test_there_is_a_difference_where_two_values_are_not_equal(one, other):
    assert difference(one, one) is None
    equal = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    if equal:
        assert difference(one, other) is None
    elif one != other and "null" not in json.dumps([one, other]):
        assert difference(one, other) is not None
