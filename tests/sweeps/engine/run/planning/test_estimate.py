import json

import pytest

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP, LAPTOP_TEXT, PAPER, with_settings
from memo_core.results import experiment_id
from memo_core.training.speed import Speed, forward_flops
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.plan import grid_plan
from sweeps.engine.run.planning import estimate
from sweeps.engine.run.planning.dry_run import Estimate, dry_run
from sweeps.engine.run.planning.estimate import costs_of
from sweeps.weight_decay import FACTOR

CPU = {"cpu": 1, "gpu": 0}


def experiments(preset, *changes):
    return [Experiment.from_flat(with_settings(preset, change)) for change in changes]


def test_hours_are_those_of_training_and_of_samples():
    (trial,) = experiments(LAPTOP, {"training.images": 7200, "evaluation.count": 4, "evaluation.num_samples": 900})
    (cost,), basis = costs_of([trial], CPU, measure=lambda *_: Speed(2.0, 1.0, 32))
    assert (cost.images, cost.hours, cost.gpu_hours) == (7200, 2.0, None)
    assert basis.endswith("CPU: 1 network")


def test_a_trial_that_another_trains_for_costs_its_samples():
    changes = [{"training.ema_decay": decay, "evaluation.num_samples": 1800} for decay in (0.5, 0.9)]
    first, other = experiments(LAPTOP, *changes)
    along = {experiment_id(other.to_flat())}
    costs, _ = costs_of([first, other], CPU, measure=lambda *_: Speed(1.0, 1.0, 32), along=along)
    assert [cost.images for cost in costs] == [first.total_images, 0]
    assert costs[1].hours == 1.0


def test_one_network_is_measured_once():
    measured = []

    def measure(trial, device, seconds):
        measured.append((trial.model.width, device))
        return Speed(1.0, 1.0, 32)

    changes = [{"model.width": width, "model.dropout": dropout} for width in (8, 16) for dropout in (0.0, 0.1)]
    costs_of(experiments(LAPTOP, *changes), CPU, measure=measure)
    # What does the most of the work comes first.
    assert measured == [(16, "cpu"), (8, "cpu")]


def test_networks_that_the_time_does_not_reach_are_scaled(monkeypatch):
    monkeypatch.setattr(estimate, "_MEASURING_SECONDS", -1.0)
    wide, narrow = experiments(LAPTOP, {"model.width": 32}, {"model.width": 8})
    costs, basis = costs_of([narrow, wide], CPU, measure=lambda *_: Speed(10.0, 10.0, 32))
    factor = forward_flops(wide) / forward_flops(narrow)
    assert costs[1].hours == pytest.approx(costs[0].hours * factor)
    assert basis.endswith("1 network; 1 others by their arithmetic")


def test_a_known_speed_is_that_of_the_first_trial_on_one_gpu():
    trials = experiments(PAPER, {"model.width": 128}, {"model.width": 64})
    alone, _ = costs_of(trials, {"cpu": 8, "gpu": 1}, images_per_second=3000.0)
    (trial, _) = trials
    samples = len(trial.evaluation_points) * 10_000 * 35 / 3
    assert alone[0].gpu_hours == pytest.approx((trial.total_images + samples) / 3000 / 3600)
    assert alone[1].hours < alone[0].hours / 3
    four, _ = costs_of(trials, {"cpu": 32, "gpu": 4}, images_per_second=3000.0)
    assert four[0].hours == pytest.approx(alone[0].hours / 4)
    assert four[0].gpu_hours == alone[0].gpu_hours
    shared, _ = costs_of(trials, {"cpu": 1, "gpu": 0.25}, images_per_second=3000.0)
    assert shared == alone


def test_trials_that_share_a_gpu_take_as_long_as_one_after_the_other(capsys):
    plan = grid_plan(FACTOR, Selection(preset="paper"))
    times = []
    for share, at_once in ((1, 2), (0.25, 8)):
        dry_run(FACTOR, plan, {"cpu": 1, "gpu": share}, at_once, lambda _: True, Estimate(3000.0))
        (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("cost:"))
        times.append(line.partition("about ")[2].partition(" with")[0])
    assert times[0] == times[1]


def test_the_optimum_is_not_trained():
    trials = experiments(LAPTOP, {"model.architecture": "optimum"})
    (cost,), _ = costs_of(trials, CPU, images_per_second=100.0)
    assert (cost.images, cost.hours) == (0, 0.0)


def test_gpus_are_not_estimated_by_a_machine_that_has_none(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(MemosweepError, match=r"--estimate: the trials take GPUs, .* --images-per-second"):
        costs_of(experiments(PAPER, {}), {"cpu": 1, "gpu": 1})


def test_pipelines_take_a_known_speed_which_is_that_of_each():
    methods = ({"text.method": "full"}, {"text.method": "lora", "text.lora_rank": 4})
    trials = [Experiment.from_flat({**LAPTOP_TEXT, **method}) for method in methods]
    with pytest.raises(MemosweepError, match="--estimate: pipelines are not measured here"):
        costs_of(trials, {"cpu": 1})
    costs, _ = costs_of(trials, {"cpu": 1}, 10.0)
    assert costs[0].hours == costs[1].hours > 0


def test_a_dry_run_prints_what_each_trial_costs(script):
    arguments = ("--dry-run", "--preset", "paper", "--gpus-per-trial", "1", "--estimate", "--images-per-second", "3000")
    code, output, errors = script("weight_decay", *arguments)
    assert code == 0, errors
    rows = [json.loads(line) for line in output.splitlines()]
    assert len(rows) == 14
    assert sum(row["estimate"]["images"] for row in rows) == 840_000_000
    # As the page on clusters says: 840 million images at 3,000 a second are 78 hours, and evaluations come on top.
    hours = sum(row["estimate"]["gpu_hours"] for row in rows)
    assert 78 < hours < 85
    assert all(row["estimate"]["bytes"] > 1e9 for row in rows)
    (line,) = (line for line in errors.splitlines() if line.startswith("cost:"))
    assert line.startswith("cost: 14 trials, 840,000,000 images, ")
    assert f"{hours:.3g} GPU hours" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--estimate",), "--estimate goes with --dry-run"),
        (("--dry-run", "--images-per-second", "3"), "--images-per-second goes with --dry-run --estimate"),
        (("--dry-run", "--estimate", "--images-per-second", "0"), "--images-per-second 0.0: expected above 0"),
        (("--dry-run", "--estimate", "--images-per-second", "nan"), "--images-per-second nan: expected above 0"),
    ],
)
def test_options_of_an_estimate_without_one_are_refused(script, arguments, message):
    code, _, errors = script("weight_decay", *arguments)
    assert code == 2
    assert message in errors
