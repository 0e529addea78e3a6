"""Which trials go on where a run gets a longer budget, and what is said of the others."""

import pytest

from memo_core.training.saving.checkpoints import Checkpoints
from memo_core.training.trainer import Trainer
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.plans.plan import grid_plan
from sweeps.engine.run.continuation import trained_again
from sweeps.engine.tune.trial.trial_folder import TrialFolder, read_records
from sweeps.width import FACTOR as WIDTH
from tests.conftest import TINY

SETTINGS = {key: value for key, value in TINY.items() if key not in ("data.size", "model.width")}


def plan_with(budget, count=2, values=(8,)):
    changes = {**SETTINGS, "training.images": budget, "evaluation.count": count}
    return grid_plan(WIDTH, Selection("laptop", values=list(values), sizes=[10], settings=changes))


def write(run, plan, ratios):
    """Folders of finished trials with these ratios, and of their two newest checkpoints."""
    for trial in plan.trials:
        flat = trial.to_flat()
        folder = TrialFolder(str(run), trial_directory(flat, plan.varied), flat)
        rows = [
            {"images_seen": seen, "memorization_ratio": ratio, "best_memorization_ratio": max(ratios)}
            for seen, ratio in zip(trial.evaluation_points, ratios, strict=True)
        ]
        folder.write_results(rows, done=True)
        for row in rows[-2:]:
            (folder.path / f"checkpoint_{row['images_seen']:012d}").mkdir()


def lines(run, plan):
    return trained_again(str(run), read_records(str(run)), plan)


@pytest.mark.parametrize(
    ("ratios", "budget", "reason"),
    [
        ((0.1, 0.2), 192, None),
        ((0.1, 0.2), 9600, None),
        ((0.1, 0.2), 960, None),
        (
            (0.1, 0.1, 0.2),
            144,
            "start anew (trial): it has no evaluation at 48 images seen; training.images=288 would go on from",
        ),
        ((0.3, 0.1, 0.2), 192, "it has no samples of its best evaluation, at 64 images seen"),
        (
            (0.1, 0.2),
            144,
            "go on from 48 of 96 images seen (trial): it has no evaluation at 80 images seen; training.images=192",
        ),
    ],
)
def test_trials_whose_evaluations_do_not_fit_are_named_with_a_budget_that_does(ratios, budget, reason, tmp_path):
    write(tmp_path, plan_with(96, len(ratios)), ratios)
    said = lines(tmp_path, plan_with(budget, len(ratios)))
    assert len(said) == (reason is not None)
    assert reason is None or reason in said[0]


def test_trials_with_the_same_reason_share_a_line(tmp_path):
    values = (4, 8, 12, 16, 20)
    write(tmp_path, plan_with(96, 3, values), (0.1, 0.1, 0.2))
    (said,) = lines(tmp_path, plan_with(144, 3, values))
    assert said.startswith("5 of 5 trials with another budget start anew (width=4, width=8, width=12 and 2 more): ")


def test_further_values_alone_are_no_other_budget(tmp_path):
    write(tmp_path, plan_with(96), (0.1, 0.2))
    assert lines(tmp_path, plan_with(96, values=(8, 16))) == []


@pytest.mark.parametrize("budget", [112, 128, 144, 192, 240])
def test_what_is_said_is_what_the_trainer_does(budget, tmp_path):
    plan, longer = plan_with(96, 3), plan_with(budget, 3)
    (trial,), (after,) = plan.trials, longer.trials
    flat = trial.to_flat()
    folder = TrialFolder(str(tmp_path), trial_directory(flat, plan.varied), flat)
    trainer, checkpoints = Trainer(trial), Checkpoints(folder.path, 2)
    for _ in trainer.evaluations():
        checkpoints.save(trainer)
    folder.write_results(trainer.rows, done=True)
    resumed, _ = checkpoints.load_newest(lambda: Trainer(after))
    said = lines(tmp_path, longer)
    assert bool(said) == (resumed.images_seen < trial.total_images)
    assert ("start anew" in "".join(said)) == (resumed.images_seen == 0)
