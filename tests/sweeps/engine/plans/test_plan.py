import pytest

from memo_core.errors import MemosweepError
from sweeps.engine.plans.bisect import bisect_plan
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.plan import EMMSearchOptions, grid_plan
from sweeps.width import FACTOR as WIDTH

LAPTOP_SELECTION = Selection("laptop")


def test_a_grid_has_every_trial_of_its_studies_once():
    plan = grid_plan(WIDTH, LAPTOP_SELECTION)
    points = [(trial.model.width, trial.data.size) for trial in plan.trials]
    assert points == [(width, size) for width in (4, 8, 16) for size in (10, 20)]
    assert plan.varied == ("data.size", "model.width")
    assert len(grid_plan(WIDTH, Selection("paper")).trials) == 35


def test_repeats_are_further_seeds():
    plan = grid_plan(WIDTH, Selection("laptop", repeats=3))
    assert {trial.seed for trial in plan.trials} == {0, 1, 2}
    assert len(plan.trials) == 18


@pytest.mark.parametrize("plan_of", [grid_plan, lambda *given: bisect_plan(*given, EMMSearchOptions())])
def test_settings_of_the_data_that_no_trial_reads_are_refused(plan_of):
    with pytest.raises(MemosweepError, match=r"data\.num_labels would have no effect"):
        plan_of(WIDTH, Selection("laptop", settings={"data.num_labels": 5}))
    assert plan_of(WIDTH, Selection("laptop", settings={"data.blend_dataset": None}))
