import pytest

from memo_core.errors import MemosweepError
from sweeps.engine.plans.bisect import bisect_plan
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import EMMSearchOptions, OptunaOptions, grid_plan
from sweeps.engine.plans.ranges import split_ranges
from sweeps.random_labels import FACTOR as RANDOM_LABELS
from sweeps.width import FACTOR as WIDTH


@pytest.mark.parametrize("labels", ["none", "true", "unique"])
def test_a_number_of_labels_moves_nothing_without_random_labels(labels):
    selection = Selection("laptop", settings={"data.labels": labels})
    for plan in (
        lambda: grid_plan(RANDOM_LABELS, selection),
        lambda: bisect_plan(RANDOM_LABELS, selection, EMMSearchOptions()),
        lambda: optuna_plan(RANDOM_LABELS, selection, {}, OptunaOptions()),
    ):
        with pytest.raises(MemosweepError, match=rf"data\.num_labels .* data\.labels = {labels}"):
            plan()


def test_the_optimum_has_no_width():
    with pytest.raises(MemosweepError, match=r"model\.width would have no effect"):
        grid_plan(WIDTH, Selection("laptop", settings={"model.architecture": "optimum"}))


@pytest.mark.parametrize(
    ("setting", "key"),
    [("data.num_labels=range(2,10)", r"data\.num_labels"), ("data.blend_classes=choice(2,3)", r"data\.blend_classes")],
)
def test_a_searched_key_moves_nothing_either(setting, key):
    with pytest.raises(MemosweepError, match=f"{key} would have no effect"):
        optuna_plan(WIDTH, Selection("laptop"), split_ranges([setting])[1], OptunaOptions())


def test_a_key_that_some_trials_read_may_move():
    spans = split_ranges(["data.num_labels=range(2,10)", "data.labels=choice(none,random)"])[1]
    assert optuna_plan(WIDTH, Selection("laptop"), spans, OptunaOptions()).varied[-1] == "data.labels"
