from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.presets import LAPTOP, with_settings
from sweeps.batch_size import FACTOR as BATCH_SIZE
from sweeps.engine.factor import Selection
from sweeps.engine.optuna_plan import OptunaOptions, optuna_plan
from sweeps.engine.optuna_search import OptunaExperimentSearch
from sweeps.engine.strategy import scheduler_of, searcher_of
from sweeps.width import FACTOR as WIDTH

REPORT = {"best_memorization_ratio": 0.5, "training_iteration": 1}


def test_optuna_completes_whole_experiments(tmp_path):
    ranges = {"model.width": {"low": 8, "high": 32, "log": False, "integer": True}}
    plan = optuna_plan(BATCH_SIZE, Selection("laptop", sizes=[10]), ranges, OptunaOptions(num_trials=3))
    searcher = searcher_of(BATCH_SIZE, plan)
    for number in range(3):
        trial = searcher.suggest(str(number))
        assert 16 <= trial["training.batch_size"] <= 32
        assert trial["training.learning_rate"] == pytest.approx(1.5e-2 / 32 * trial["training.batch_size"])
        assert trial["model.width"] % 4 == 0
        searcher.on_trial_complete(str(number), REPORT)
    searcher.save(str(tmp_path / "state"))
    assert searcher.suggest("3") == "FINISHED"
    again = searcher_of(BATCH_SIZE, plan)
    again.restore(str(tmp_path / "state"))
    assert again.suggest("3") == "FINISHED"


def thirds_only(values):
    if values["data.size"] % 3:
        raise MemosweepError("no multiple of 3")
    return Experiment.from_flat(with_settings(LAPTOP, values)).to_flat()


def test_points_that_make_no_experiment_are_passed_over(tmp_path):
    space = {"data.size": {"low": 2, "high": 60, "log": False, "integer": True}}
    searcher = OptunaExperimentSearch(space, thirds_only, "max", num_trials=8)
    for number in range(4):
        assert searcher.suggest(str(number))["data.size"] % 3 == 0
        searcher.on_trial_result(str(number), REPORT)
    searcher.save(str(tmp_path / "state"))
    other = OptunaExperimentSearch(space, thirds_only, "max", num_trials=8)
    other.restore(str(tmp_path / "state"))
    for number in range(4):
        other.on_trial_complete(str(number), REPORT)
    assert [other.suggest(str(number))["data.size"] % 3 for number in range(4, 8)] == [0] * 4
    assert other.suggest("8") == "FINISHED"


def test_a_space_without_a_valid_point_ends_the_search():
    space = {"data.size": {"choices": [4, 5]}}
    assert OptunaExperimentSearch(space, thirds_only, "max", num_trials=3).suggest("0") == "FINISHED"


@pytest.mark.parametrize(("direction", "better", "worse"), [("max", 0.9, 0.1), ("min", 0.1, 0.9)])
def test_asha_stops_a_trial_that_is_below_the_median(direction, better, worse):
    plan = optuna_plan(WIDTH, Selection("laptop"), {}, OptunaOptions(direction=direction, asha=True))
    scheduler = scheduler_of(plan)
    scheduler.set_search_properties("best_memorization_ratio", direction)
    decisions = []
    for number, ratio in enumerate([better, better, worse]):
        trial = SimpleNamespace(trial_id=str(number))
        scheduler.on_trial_add(None, trial)
        report = {"images_seen": 8000, "best_memorization_ratio": ratio}
        decisions.append(scheduler.on_trial_result(None, trial, report))
    assert decisions == [TrialScheduler.CONTINUE, TrialScheduler.CONTINUE, TrialScheduler.STOP]
    assert scheduler_of(optuna_plan(WIDTH, Selection("laptop"), {}, OptunaOptions())) is None
