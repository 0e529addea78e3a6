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
from sweeps.engine.tune.optuna_searcher import OptunaExperimentSearch, own_state
from sweeps.engine.tune.tuner import scheduler_of, searcher_of
from sweeps.width import FACTOR as WIDTH

REPORT = {"best_memorization_ratio": 0.5, "training_iteration": 1}


def test_optuna_completes_whole_experiments(tmp_path):
    ranges = {"model.width": Range(low=8, high=32, integer=True)}
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
    return Experiment.from_flat(with_settings(LAPTOP, values))


def test_points_that_make_no_experiment_are_passed_over(tmp_path):
    space = {"data.size": Range(low=2, high=60, integer=True)}
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
    space = {"data.size": Choices(choices=[4, 5])}
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
        searcher.on_trial_complete(str(number), results(trial))
    raise AssertionError("the search does not end")


def by_size(trial):
    return {**REPORT, "best_memorization_ratio": 1 - trial["data.size"] / 100}


@pytest.mark.parametrize("seed", range(3))
def test_no_setting_is_tried_twice_and_the_search_ends_when_all_are_known(seed, tmp_path):
    searcher = OptunaExperimentSearch(CHOICES, thirds_only, "max", num_trials=50, seed=seed)
    points = played(searcher, by_size)
    assert sorted(points) == [(size, depth) for size in (3, 6, 9, 12) for depth in (1, 2)]
    searcher.save(str(tmp_path / "state"))
    state = own_state((tmp_path / "state").read_bytes(), "state")
    assert (state.left, state.ended) == (42, "all 8 settings of the search space were tried")


def test_a_restored_search_remembers_what_was_tried_and_what_runs(tmp_path):
    searcher = OptunaExperimentSearch(CHOICES, thirds_only, "max", num_trials=50)
    before = [searcher.suggest(str(number)) for number in range(3)]
    searcher.on_trial_complete("0", by_size(before[0]))
    searcher.save(str(tmp_path / "state"))
    restored = OptunaExperimentSearch(CHOICES, thirds_only, "max", num_trials=50)
    restored.restore(str(tmp_path / "state"))
    after = played(restored, by_size, first=3)
    known = {(trial["data.size"], trial["model.depth"]) for trial in before}
    assert len(after) == len(set(after)) == 8 - 3
    assert known.isdisjoint(after)


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
    failure = {"failure": "diverged", "cause": "the loss is nan", "images_seen": 48, "training_iteration": 1}
    tried = {}
    while isinstance(trial := searcher.suggest(str(len(tried))), dict):
        name = str(len(tried))
        tried[name] = trial["data.size"]
        result = failure if trial["data.size"] == 3 else by_size(trial)
        searcher.on_trial_result(name, result)
        searcher.on_trial_complete(name, result)
    study = searcher._inner._ot_study
    states = {number: study.trials[number].state.name for number in range(len(study.trials))}
    completed = [study.trials[number] for number, state in states.items() if state == "COMPLETE"]
    assert len(completed) == sum(size != 3 for size in tried.values()) == 6
    assert study.best_value == {"max": 1 - 6 / 100, "min": 1 - 12 / 100}[direction]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\nx", b'{"left": -1}', b'{"left":1,"inner_ids":{},"known":[],"ended":null}\nxx']
)
def test_a_damaged_state_is_one_line(content, tmp_path):
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(MemosweepError, match="damaged") as error:
        OptunaExperimentSearch(CHOICES, thirds_only, "max", num_trials=5).restore(str(tmp_path / "state"))
    assert "\n" not in str(error.value)
