from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP, with_settings
from sweeps.batch_size import FACTOR as BATCH_SIZE
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import OptunaOptions
from sweeps.engine.plans.ranges import Choices, Range
from sweeps.engine.search.build import searcher_of
from sweeps.engine.search.optuna import OptunaExperimentSearch
from sweeps.engine.tune.tuner import scheduler_of
from sweeps.width import FACTOR as WIDTH

REPORT = {"best_memorization_ratio": 0.5, "training_iteration": 1}


def test_optuna_completes_whole_experiments():
    ranges = {"model.width": Range(low=8, high=32, integer=True)}
    plan = optuna_plan(BATCH_SIZE, Selection("laptop", sizes=[10]), ranges, OptunaOptions(num_trials=3))
    searcher = searcher_of(BATCH_SIZE, plan)
    for number in range(3):
        trial = searcher.suggest(str(number))
        assert 16 <= trial["training.batch_size"] <= 32
        assert trial["training.learning_rate"] == pytest.approx(1.5e-2 / 32 * trial["training.batch_size"])
        assert trial["model.width"] % 4 == 0
        searcher.complete(str(number), REPORT)
    assert searcher.suggest("3") == "FINISHED"


def thirds_only(values):
    if values["data.size"] % 3:
        raise MemosweepError("no multiple of 3")
    return Experiment.from_flat(with_settings(LAPTOP, values))


def test_points_that_make_no_experiment_are_passed_over():
    space = {"data.size": Range(low=2, high=60, integer=True)}
    searcher = OptunaExperimentSearch(space, thirds_only, "max", num_trials=8)
    for number in range(4):
        assert searcher.suggest(str(number))["data.size"] % 3 == 0
    for number in range(4):
        searcher.complete(str(number), REPORT)
    assert [searcher.suggest(str(number))["data.size"] % 3 for number in range(4, 8)] == [0] * 4
    assert searcher.suggest("8") == "FINISHED"


def test_a_space_without_a_valid_point_ends_the_search():
    space = {"data.size": Choices(choices=[4, 5])}
    assert OptunaExperimentSearch(space, thirds_only, "max", num_trials=3).suggest("0") == "FINISHED"


@pytest.mark.parametrize(("direction", "better", "worse"), [("max", 0.9, 0.1), ("min", 0.1, 0.9)])
def test_asha_stops_a_trial_that_is_below_the_median(direction, better, worse):
    plan = optuna_plan(WIDTH, Selection("laptop"), {}, OptunaOptions(direction=direction, asha=True))
    scheduler = scheduler_of(plan)
    scheduler.set_search_properties("best_memorization_ratio", direction)
    decisions = []
    for number, ratio in enumerate([better, better, worse]):
        trial = SimpleNamespace(trial_id=str(number), config={})
        scheduler.on_trial_add(None, trial)
        report = {"images_seen": 8000, "best_memorization_ratio": ratio}
        decisions.append(scheduler.on_trial_result(None, trial, report))
    assert decisions == [TrialScheduler.CONTINUE, TrialScheduler.CONTINUE, TrialScheduler.STOP]
    assert scheduler_of(optuna_plan(WIDTH, Selection("laptop"), {}, OptunaOptions())) is None


CHOICES = {
    "data.size": Choices(choices=[3, 4, 6, 9, 12]),
    "model.depth": Range(low=1, high=2, integer=True),
}


def played(searcher, results, first=0):
    """The sizes and depths that a searcher suggests, each answered at once; `results` by size."""
    points = []
    for number in range(first, 200):
        trial = searcher.suggest(str(number))
        if trial == "FINISHED":
            return points
        points.append((trial["data.size"], trial["model.depth"]))
        searcher.complete(str(number), results(trial))
    raise AssertionError("the search does not end")


def by_size(trial):
    return {**REPORT, "best_memorization_ratio": 1 - trial["data.size"] / 100}


@pytest.mark.parametrize("seed", range(3))
def test_no_setting_is_tried_twice_and_the_search_ends_when_all_are_known(seed):
    searcher = OptunaExperimentSearch(CHOICES, thirds_only, "max", num_trials=50, seed=seed)
    points = played(searcher, by_size)
    assert sorted(points) == [(size, depth) for size in (3, 6, 9, 12) for depth in (1, 2)]
    assert searcher.ended == "all 8 settings of the search space were tried"


def test_a_search_with_the_same_calls_proposes_the_same():
    one, two = (OptunaExperimentSearch(CHOICES, thirds_only, "max", num_trials=50, seed=3) for _ in range(2))
    for key in "012":
        assert one.suggest(key) == two.suggest(key)
    for searcher in (one, two):
        searcher.complete("1", {"best_memorization_ratio": 0.25})
        searcher.complete("0", None)
    assert [one.suggest(key) for key in "34"] == [two.suggest(key) for key in "34"]


def test_different_points_that_make_one_experiment_are_tried_once():
    def rounded(values):
        return Experiment.from_flat(with_settings(LAPTOP, {"data.size": 2 + values["data.size"] // 10}))

    space = {"data.size": Range(low=2, high=40, integer=True)}
    searcher = OptunaExperimentSearch(space, rounded, "max", num_trials=50)
    sizes = []
    while isinstance(trial := searcher.suggest(str(len(sizes))), dict):
        sizes.append(trial["data.size"])
    assert sorted(sizes) == [2, 3, 4, 5, 6]


def test_a_continuum_is_searched_to_the_number_of_trials():
    space = {"training.learning_rate": Range(low=1e-4, high=1e-2, log=True)}

    def complete(values):
        return Experiment.from_flat(with_settings(LAPTOP, values))

    searcher = OptunaExperimentSearch(space, complete, "max", num_trials=12)
    rates = [searcher.suggest(str(number))["training.learning_rate"] for number in range(12)]
    assert len(set(rates)) == 12
    assert searcher.suggest("12") == "FINISHED"


@pytest.mark.parametrize("direction", ["max", "min"])
def test_a_training_that_diverged_has_failed_and_is_never_the_best(direction):
    searcher = OptunaExperimentSearch(CHOICES, thirds_only, direction, num_trials=50)
    tried = {}
    while isinstance(trial := searcher.suggest(str(len(tried))), dict):
        name = str(len(tried))
        tried[name] = trial["data.size"]
        searcher.complete(name, None if trial["data.size"] == 3 else by_size(trial))
    study = searcher.study
    states = {number: study.trials[number].state.name for number in range(len(study.trials))}
    completed = [study.trials[number] for number, state in states.items() if state == "COMPLETE"]
    assert len(completed) == sum(size != 3 for size in tried.values()) == 6
    assert study.best_value == {"max": 1 - 6 / 100, "min": 1 - 12 / 100}[direction]
