"""ASHA decides in a run that was started again as in one that was not."""

from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler

from memo_core.results import experiment_id
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.names import METRIC
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import OptunaOptions
from sweeps.engine.tune.tuner import scheduler_of
from sweeps.width import FACTOR as WIDTH

BASE = optuna_plan(WIDTH, Selection("laptop"), {}, OptunaOptions()).trials[0]
BUDGET = BASE.total_images
FLATS = [{**BASE.to_flat(), "seed": seed} for seed in range(5)]


def rows(ratio):
    return [{"images_seen": BUDGET * part // 4, METRIC: ratio} for part in (1, 2, 3, 4)]


def scheduler(direction, earlier):
    plan = optuna_plan(WIDTH, Selection("laptop"), {}, OptunaOptions(asha=True, direction=direction))
    found = scheduler_of(plan, earlier)
    found.set_search_properties(METRIC, direction)
    return found


def trial(number, name):
    return SimpleNamespace(trial_id=name, config=FLATS[number])


def train(asha, one, reports):
    """Report until the trial is stopped; returns the decisions."""
    decisions = []
    for row in reports:
        decisions.append(asha.on_trial_result(None, one, row))
        if decisions[-1] == TrialScheduler.STOP:
            break
    return decisions


@pytest.mark.parametrize("direction", ["max", "min"])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_trial_is_stopped_as_if_there_had_been_one_start(direction, ratio, done):
    ratios = [0.3, 0.7, 0.4]
    whole, reported = scheduler(direction, {}), {}
    for number, other in enumerate(ratios):
        one = trial(number, f"first-{number}")
        whole.on_trial_add(None, one)
        count = len(train(whole, one, rows(other)))
        reported[experiment_id(FLATS[number])] = rows(other)[:count]
    one = trial(3, "first-3")
    whole.on_trial_add(None, one)
    decisions = train(whole, one, rows(ratio))
    # The driver is killed after so many of its reports.
    done = min(done, len(decisions) - 1)
    reported[experiment_id(FLATS[3])] = rows(ratio)[:done]
    again, one = scheduler(direction, reported), trial(3, "second-0")
    again.on_trial_add(None, one)
    assert train(again, one, rows(ratio)[done:]) == decisions[done:]
    # What the next trial is compared with is the same too.
    assert [sorted(map(float, recorded.values())) for _, recorded in again._brackets[0]._rungs] == [
        sorted(map(float, recorded.values())) for _, recorded in whole._brackets[0]._rungs
    ]
