from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP, LAPTOP_TEXT, with_settings
from memo_core.results import experiment_id
from sweeps.ema import FACTOR
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.plan import grid_plan
from sweeps.engine.plans.trainings import by_training, shared_trainings, trained_along
from sweeps.optimum import FACTOR as OPTIMUM

CPU = {"cpu": 1, "gpu": 0}


def groups(*changes, preset=LAPTOP):
    trials = [Experiment.from_flat(with_settings(preset, change)) for change in changes]
    numbers = {trial: number for number, trial in enumerate(trials)}
    return [[numbers[trial] for trial in group] for group in by_training(trials).values()]


def test_what_acts_after_a_step_alone_shares_a_training():
    changes = [
        {"training.ema_decay": 0.5}, {"training.ema_decay": 0.9}, {"evaluation.sampler": "sde"},
        {"evaluation.steps": 5}, {"evaluation.threshold": 0.5},
        {"evaluation.num_samples": 10}, {"evaluation.batch_size": 7},
    ]  # fmt: skip
    assert groups(*changes) == [list(range(7))]


def test_what_a_step_depends_on_and_the_schedule_do_not():
    changes = [
        {}, {"training.learning_rate": 1e-3}, {"training.weight_decay": 1e-3}, {"model.width": 8}, {"data.size": 7},
        {"seed": 1}, {"data.seed": 1}, {"training.warmup_epochs": 1}, {"training.precision": "tf32"},
        {"training.images": 1600}, {"evaluation.count": 4}, {"training.order": "replacement"},
    ]  # fmt: skip
    assert groups(*changes) == []


def test_the_closed_form_and_pipelines_share_none():
    changes = [{"training.ema_decay": decay} for decay in (0.5, 0.9)]
    assert groups(*changes, preset=with_settings(LAPTOP, {"model.architecture": "optimum"})) == []
    assert groups(*changes, preset=LAPTOP_TEXT) == []
    assert shared_trainings(grid_plan(OPTIMUM, Selection(preset="paper")), CPU) == {}


def test_the_papers_ema_rates_take_two_trainings():
    plan = grid_plan(FACTOR, Selection(preset="paper"))
    assert len(plan.trials) == 14
    assert [len(group) for group in shared_trainings(plan, CPU).values()] == [7, 7]
    along = trained_along(plan.trials)
    assert len(along) == 12
    assert [experiment_id(trial.to_flat()) in along for trial in plan.trials].count(False) == 2


def test_on_several_gpus_each_trial_trains_by_itself():
    assert shared_trainings(grid_plan(FACTOR, Selection(preset="paper")), {"cpu": 8, "gpu": 4}) == {}
