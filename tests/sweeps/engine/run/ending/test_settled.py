"""Runs in which nothing is left to train end at once, without Ray."""

import json
import os
import subprocess
import sys

import pytest

from memo_core.experiment.presets import LAPTOP
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.manifest import Limits, Manifest, describe_run
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.plans.plan import grid_plan
from sweeps.engine.tune.trial.trial_folder import TrialFolder
from sweeps.weight_decay import FACTOR
from tests.fakes import evaluations
from tests.sweeps.conftest import REPOSITORY

BEGUN = ["--values", "0", "0.01", "--sizes", "10", "--preset", "laptop"]
RAY_STARTS = "error: Ray is started"


@pytest.fixture
def run(tmp_path):
    """A finished run of two trials."""
    folder = tmp_path / "results/run"
    plan = grid_plan(FACTOR, Selection("laptop", values=[0, 0.01], sizes=[10]))
    describe_run(plan, {"cpu": 1.0}, Limits()).write(str(folder))
    for trial in plan.trials:
        write(folder, plan, trial)
    return folder


def write(folder, plan, trial, rows=None):
    flat = trial.to_flat()
    made = evaluations({**flat, "training.epochs": LAPTOP["training.images"] / 10})
    rows = [{**row, "training_iteration": number} for number, row in enumerate(made, 1)] if rows is None else rows
    TrialFolder(str(folder), trial_directory(flat, plan.varied), flat).write_results(rows, done=True)


@pytest.fixture
def sweep(script, tmp_path, monkeypatch):
    """Run the script where Ray refuses to start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def no_ray():
        from memo_core.errors import MemosweepError

        raise MemosweepError("Ray is started")

    monkeypatch.setattr("sweeps.engine.cluster.session.start", no_ray)
    # Other tests of this process may have started one.
    monkeypatch.setattr("sweeps.engine.cluster.session.is_joined", lambda: False)
    return lambda *arguments: script("weight_decay", *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--resume"],
        ["--resume", "--name", "run"],
        ["--auto-resume", "--name", "run", *BEGUN],
        ["--extend", "run"],
        ["--extend", "run", "--values", "0.01", "0", "--repeats", "1"],
        ["--extend", "run", "--set", "training.images=16000"],
    ],
)
def test_the_table_is_printed_and_that_is_all(arguments, sweep, run):
    before = (run / "sweep.json").read_bytes()
    code, said, errors = sweep(*arguments)
    assert (code, errors) == (0, "")
    assert f"nothing is left to train in {run}" in said
    assert "|D| = 10  memorization ratio by weight decay" in said
    assert said.splitlines()[-1].startswith(f"results in {run}: table.csv")
    assert "Ray" not in said
    assert (run / "sweep.json").read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [["--extend", "run", "--values", "0.1"], ["--extend", "run", "--set", "training.images=32000"]],
)
def test_what_is_to_be_trained_needs_ray(arguments, sweep, run):
    code, said, errors = sweep(*arguments)
    assert (code, errors.strip()) == (2, RAY_STARTS)
    assert "nothing is left" not in said
    assert ("start anew" in said) == ("--set" in arguments)  # these trials have no checkpoints


@pytest.mark.parametrize("damage", ["lost", "half", "failed"])
def test_a_trial_that_is_not_over_needs_ray(damage, sweep, run):
    file = next(run.glob("*/result.json"))
    lines = file.read_text().splitlines()
    if damage == "lost":
        file.unlink()
    elif damage == "half":
        file.write_text(lines[0] + "\n")
    else:
        file.write_text("\n".join([*lines[:-1], json.dumps({**json.loads(lines[-1]), "failure": "failed"})]) + "\n")
    code, _, errors = sweep("--resume")
    assert (code, errors.strip()) == (2, RAY_STARTS)


def test_a_trial_that_diverged_is_over(sweep, run):
    file = next(run.glob("*/result.json"))
    lines = file.read_text().splitlines()
    last = {**json.loads(lines[-1]), "failure": "diverged", "cause": "the loss is nan"}
    file.write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    code, said, _ = sweep("--resume")
    assert code == 1
    assert "1 of 2 trials diverged: the loss is nan" in said


@pytest.fixture
def same_images(monkeypatch):
    """Trials of other runs were trained on the images that are there now."""
    monkeypatch.setattr("sweeps.engine.run.known._Source.has_images", lambda *_: True)


@pytest.mark.parametrize("name", [["--name", "new"], []])
def test_a_new_run_whose_trials_other_runs_have_needs_no_ray(name, sweep, run, same_images):
    code, said, errors = sweep(*name, *BEGUN, "--reuse", str(run))
    assert (code, errors) == (0, "")
    assert "2 trials were taken from another run: run" in said
    assert "|D| = 10  memorization ratio by weight decay" in said
    (new,) = {path.parent for path in run.parent.glob("*/sweep.json")} - {run}
    assert {path.parent.name for path in new.glob("*/result.json")} == {
        path.parent.name for path in run.glob("*/result.json")
    }
    assert all(
        json.loads(path.read_text().splitlines()[0])["reused_from"] == "run" for path in new.glob("*/result.json")
    )
    code, said, _ = sweep("--resume", "--name", new.name)
    assert (code, "nothing is left to train" in said) == (0, True)


def test_a_run_that_others_finish_is_extended_without_ray(sweep, run, same_images):
    other = run.parent / "other"
    plan = grid_plan(FACTOR, Selection("laptop", values=[0.1], sizes=[10]))
    describe_run(plan, {"cpu": 1.0}, Limits()).write(str(other))
    write(other, plan, plan.trials[0])
    code, said, errors = sweep("--extend", "run", "--values", "0.1", "--reuse", str(other))
    assert (code, errors) == (0, "")
    assert "1 trial was taken from another run: other" in said
    assert len(Manifest.read(str(run)).plan.trials) == len(list(run.glob("*/result.json"))) == 3


def test_trials_that_others_have_in_part_are_not_copied_before_ray_is_there(sweep, run, same_images):
    code, _, errors = sweep("--name", "new", *BEGUN[:3], "0.1", *BEGUN[3:], "--reuse", str(run))
    assert (code, errors.strip()) == (2, RAY_STARTS)
    assert not (run.parent / "new").exists()


def test_a_longer_budget_that_others_have_goes_on_in_the_folders_of_the_shorter_one(sweep, run, same_images):
    longer = ["--set", "training.images=32000"]
    other = run.parent / "other"
    plan = grid_plan(FACTOR, Selection("laptop", values=[0, 0.01], sizes=[10], settings={"training.images": 32_000}))
    describe_run(plan, {"cpu": 1.0}, Limits()).write(str(other))
    for trial in plan.trials:
        write(other, plan, trial)
    before = sorted(path.name for path in run.iterdir())
    code, _, errors = sweep("--extend", "run", *longer, "--reuse", str(other))
    assert (code, errors.strip()) == (2, RAY_STARTS)
    assert sorted(path.name for path in run.iterdir() if not path.name.startswith(".")) == before


def test_other_options_are_named_with_both_values(sweep, run):
    code, _, errors = sweep("--auto-resume", "--name", "run", *BEGUN[:2], "0.2", *BEGUN[3:])
    assert code == 2
    assert "was begun with other options: --values was 0 0.01, is 0 0.2; --resume finishes it" in errors
    assert "--extend run adds values" in errors
    code, _, errors = sweep("--name", "run", *BEGUN)
    assert code == 2
    assert "--extend run adds values" in errors
    assert "--auto-resume finishes it where the options are the same" in errors


def test_a_later_plan_that_asks_for_nothing_new_is_recorded_where_it_differs(sweep, run):
    plan = grid_plan(FACTOR, Selection("laptop", values=[0, 0.01, 0.1], sizes=[10]))
    write(run, plan, plan.trials[-1])  # taken over by hand, or by an extension that was killed
    code, said, _ = sweep("--extend", "run", "--values", "0.1")
    assert code == 0
    assert "nothing is left to train" in said
    stored = Manifest.read(str(run))
    assert len(stored.plan.trials) == 3
    assert len(stored.later_starts) == 1


def test_neither_ray_nor_torch_is_loaded(run):
    program = [sys.executable, "-X", "importtime", "sweeps/weight_decay.py", "--resume", "--storage-path"]
    done = subprocess.run(
        [*program, str(run.parent)], cwd=REPOSITORY, env={**os.environ}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "results in" in done.stdout) == (0, True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pandas" in loaded
    assert not {"ray", "torch"} & loaded
