"""Which trials need no training: what the run's own folder and other runs hold."""

import json

import numpy as np
import pytest

from memo_core.data import write_npz
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP, with_settings
from memo_core.results import experiment_id
from memo_core.training.saving.checkpoints import Checkpoints
from memo_core.training.trainer import Trainer
from sweeps.engine.plans.bisect import bisect_plan
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.manifest import Limits, describe_run
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import EMMSearchOptions, OptunaOptions, grid_plan
from sweeps.engine.run.known import KnownTrials
from sweeps.engine.search.journal import Ended
from sweeps.engine.tune.trial.trial_folder import TrialFolder
from sweeps.width import FACTOR as WIDTH

PLAN = grid_plan(WIDTH, Selection("laptop", values=[8, 16], sizes=[10]))
TRIALS = [trial.to_flat() for trial in PLAN.trials]
IDENTITIES = [experiment_id(trial) for trial in TRIALS]
ROW = {"images_seen": 100, "best_memorization_ratio": 0.5, "memorization_ratio": 0.5, "num_samples": 10}
DIVERGED = {"failure": "diverged", "cause": "the loss is nan", "images_seen": 150}
FAILED = {"failure": "failed", "cause": "no such file"}


def manifest(plan=PLAN):
    return describe_run(plan, {"cpu": 1.0}, Limits())


def write(run, trial, rows, done=True, varied=PLAN.varied):
    TrialFolder(str(run), trial_directory(trial, varied), trial).write_results(rows, done)


def ended(trial, status="terminated", seen=100):
    result = {"best_memorization_ratio": 0.5, "images_seen": seen} if status == "terminated" else None
    return Ended(key="0", trial_id=experiment_id(trial), status=status, result=result)


@pytest.mark.parametrize(
    ("rows", "done", "end"),
    [
        ([ROW], True, "done"),
        ([ROW, DIVERGED], True, "diverged"),
        ([ROW, FAILED], True, None),
        ([ROW], False, None),
        ([], False, None),
    ],
    ids=["done", "diverged", "failed", "interrupted", "emptied"],
)
def test_what_is_over_needs_no_training_and_what_failed_may_succeed_now(rows, done, end, tmp_path):
    write(tmp_path, TRIALS[0], rows, done)
    known = KnownTrials(str(tmp_path), manifest(), {IDENTITIES[0]: ended(TRIALS[0])})
    assert known.end(IDENTITIES[0]) == end
    found = known.result(TRIALS[0])
    assert (found is None) == (end is None)
    assert found is None or found["images_seen"] == rows[-1]["images_seen"]
    assert known.result(TRIALS[1]) is None
    known.add(IDENTITIES[1], ROW)
    assert known.result(TRIALS[1]) == ROW


@pytest.mark.parametrize(
    ("asha", "rows", "end", "over"),
    [
        (True, [ROW], ended(TRIALS[0]), True),
        (True, [ROW], ended(TRIALS[0], seen=200), False),
        (True, [], ended(TRIALS[0]), False),
        (True, [ROW], ended(TRIALS[0], "error"), False),
        (True, [ROW], None, False),
        (False, [ROW], ended(TRIALS[0]), False),
    ],
    ids=["stopped", "a row is lost", "all rows are lost", "error", "not ended", "no ASHA"],
)
def test_asha_stops_a_trial_from_outside(asha, rows, end, over, tmp_path):
    plan = optuna_plan(WIDTH, Selection("laptop"), {}, OptunaOptions(asha=asha))
    write(tmp_path, TRIALS[0], rows, done=False, varied=plan.varied)
    known = KnownTrials(str(tmp_path), manifest(plan), {} if end is None else {IDENTITIES[0]: end})
    assert (known.result(TRIALS[0]) is not None) == over


def test_folders_that_were_named_when_other_settings_varied_are_found(tmp_path):
    write(tmp_path, TRIALS[0], [ROW], varied=("data.size",))
    write(tmp_path, TRIALS[1], [ROW])
    known = KnownTrials(str(tmp_path), manifest(), {})
    assert known.renamed == {IDENTITIES[0]: trial_directory(TRIALS[0], ("data.size",))}


def test_folders_of_trials_without_results_are_found_by_their_identity(tmp_path):
    (tmp_path / trial_directory(TRIALS[0], ("data.size",)) / f"checkpoint_{16:012d}").mkdir(parents=True)
    known = KnownTrials(str(tmp_path), manifest(), {})
    assert known.renamed == {IDENTITIES[0]: trial_directory(TRIALS[0], ("data.size",))}


@pytest.fixture
def trained(tmp_path):
    """A run whose trial was trained on images of its own; returns its folder, experiment and images."""
    write_images(tmp_path / "images.npz", seed=0)
    small = {"data.dataset": str(tmp_path / "images.npz"), "data.size": 6, "training.images": 32,
             "training.batch_size": 16, "evaluation.count": 2, "evaluation.num_samples": 4,
             "evaluation.steps": 2, "model.width": 8, "model.channel_multipliers": [1, 1]}  # fmt: skip
    experiment = Experiment.from_flat(with_settings(LAPTOP, small))
    flat = experiment.to_flat()
    folder = TrialFolder(str(tmp_path / "other"), trial_directory(flat, PLAN.varied), flat)
    trainer, checkpoints = Trainer(experiment, "cpu"), Checkpoints(folder.path)
    for _ in trainer.evaluations():
        checkpoints.save(trainer)
    folder.write_results(trainer.rows, done=True)
    manifest().write(str(tmp_path / "other"))
    return folder.path, flat, tmp_path / "images.npz"


def write_images(file, seed):
    write_npz(file, np.random.default_rng(seed).integers(0, 256, (8, 1, 8, 8), np.uint8), None)


def reusing(tmp_path):
    (tmp_path / "new").mkdir()
    return KnownTrials(str(tmp_path / "new"), manifest(), {}, [str(tmp_path / "other"), str(tmp_path / "new")])


def test_an_equal_trial_of_another_run_is_taken_whole_and_marked(trained, tmp_path):
    folder, flat, _ = trained
    known = reusing(tmp_path)
    result = known.result(flat)
    assert result["images_seen"] == 32
    assert known.reused == {experiment_id(flat): "other"}
    taken = tmp_path / "new" / folder.name
    rows = [json.loads(line) for line in (taken / "result.json").read_text().splitlines()]
    assert [row.pop("reused_from") for row in rows] == ["other", "other"]
    assert rows == [json.loads(line) for line in (folder / "result.json").read_text().splitlines()]
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert {str(path.relative_to(taken)) for path in taken.rglob("*")} == names
    # It is the run's own from now on.
    again = KnownTrials(str(tmp_path / "new"), manifest(), {})
    assert again.result(flat)["images_seen"] == 32
    assert not again.reused


def test_trials_under_the_early_stops_of_an_emm_search_are_taken_by_the_same_kind_of_search_alone(trained, tmp_path):
    _, flat, _ = trained
    (tmp_path / "new").mkdir()

    def takes(plan):
        known = KnownTrials(str(tmp_path / "new"), manifest(plan), {}, [str(tmp_path / "other")])
        return known.result(flat) is not None

    search = bisect_plan(WIDTH, Selection("laptop", values=[8]), EMMSearchOptions())
    manifest(search).write(str(tmp_path / "other"))
    assert not takes(PLAN)
    assert not takes(bisect_plan(WIDTH, Selection("laptop", values=[8]), EMMSearchOptions(zeta=0.2)))
    assert takes(search)


def test_a_trial_is_taken_into_the_folder_that_it_has(trained, tmp_path):
    _, flat, _ = trained
    (tmp_path / "new" / f"trial_{experiment_id(flat)}").mkdir(parents=True)
    known = KnownTrials(str(tmp_path / "new"), manifest(), {}, [str(tmp_path / "other")])
    assert known.result(flat) is not None
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"trial_{experiment_id(flat)}"]


def test_other_images_behind_the_same_path_are_not_taken(trained, tmp_path):
    _, flat, images = trained
    write_images(images, seed=1)
    known = reusing(tmp_path)
    assert known.result(flat) is None
    assert not known.reused
    assert not list((tmp_path / "new").iterdir())


def test_the_images_are_known_from_the_checkpoint_before_where_the_newest_is_damaged(trained, tmp_path):
    folder, flat, _ = trained
    older, newest = sorted(folder.glob("checkpoint_*/checkpoint.pt"))
    newest.write_bytes(b"")
    assert reusing(tmp_path).result(flat) is not None
    older.unlink()
    (tmp_path / "third").mkdir()
    assert KnownTrials(str(tmp_path / "third"), manifest(), {}, [str(tmp_path / "other")]).result(flat) is None


@pytest.mark.parametrize("rows", [[ROW, FAILED], [ROW, DIVERGED], []])
def test_only_finished_trials_are_taken(rows, trained, tmp_path):
    folder, flat, _ = trained
    write(tmp_path / "other", flat, rows)
    assert folder.exists()
    assert reusing(tmp_path).result(flat) is None


def test_a_run_to_reuse_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(MemosweepError, match="foo://x: cannot be read"):
        KnownTrials(str(tmp_path), manifest(), {}, ["foo://x"])
