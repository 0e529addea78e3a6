"""A trial's attempts: what ends it, what is raised for Tune, and where the next one goes on."""

import json
import shutil
import socket
from types import SimpleNamespace

import pytest
import torch

from analysis.emm.stopping.rules import StoppingRules
from memo_core.errors import DivergedError, MemoryExhaustedError, MemosweepError, StorageError, StorageFullError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP, experiment_from, with_settings
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.tune.trial import trainable
from sweeps.engine.tune.trial.trainable import TrialOptions, train_trial
from sweeps.engine.tune.trial.trial_folder import TrialFolder, read_records

EXPERIMENT = Experiment.from_flat(with_settings(LAPTOP, {
    "data.size": 6, "model.width": 8, "model.channel_multipliers": [1, 1], "training.images": 48,
    "training.batch_size": 16, "evaluation.count": 3, "evaluation.num_samples": 6, "evaluation.steps": 2,
}))  # fmt: skip
FLAT = EXPERIMENT.to_flat()
OPTIMUM = Experiment.from_flat(with_settings(FLAT, {"model.architecture": "optimum"})).to_flat()
NAME = trial_directory(FLAT, ["seed"])
RULES = StoppingRules(0.9, early_success=True, sequential_sampling=True)


class Killed(BaseException):
    """The process ends here."""


def listening(monkeypatch):
    """Put a list in the place of Tune; returns it."""
    found: list[dict] = []
    context = SimpleNamespace(
        get_trial_dir=lambda: f"/scratch/{NAME}",
        get_trial_resources=lambda: SimpleNamespace(bundles=[{"CPU": 1.0}]),
    )
    monkeypatch.setattr(trainable, "tune", SimpleNamespace(report=found.append, get_context=lambda: context))
    return found


@pytest.fixture
def reports(monkeypatch):
    """What Tune gets to hear."""
    return listening(monkeypatch)


@pytest.fixture
def attempt(reports, tmp_path):
    """Attempt the trial; returns what Tune gets to hear of this attempt."""

    def run(config=FLAT, seconds=600.0, rules=None):
        before = len(reports)
        train_trial(config, TrialOptions(str(tmp_path), seconds, rules))
        return reports[before:]

    return run


def dying(monkeypatch, *, reports=0, saves=None):
    """Let the process end after so many reports, or right after so many checkpoints."""
    if saves is None:
        original, count = trainable.tune.report, [0]

        def report(row):
            original(row)
            count[0] += 1
            if count[0] == reports:
                raise Killed

        monkeypatch.setattr(trainable.tune, "report", report)
        return
    save, count = trainable._Attempt._save, [0]

    def save_and_die(self, trainer):
        save(self, trainer)
        count[0] += 1
        if count[0] == saves:
            raise Killed

    monkeypatch.setattr(trainable._Attempt, "_save", save_and_die)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The reports of a trial that nothing disturbs, and of the same one in an EMM search."""
    found = {}
    for name, rules in (("plain", None), ("emm", RULES)):
        with pytest.MonkeyPatch.context() as patch:
            found[name] = listening(patch)
            train_trial(FLAT, TrialOptions(str(tmp_path_factory.mktemp(name)), 600.0, rules))
    return found


def numbers(rows):
    return [{name: value for name, value in row.items() if name != "images_per_second"} for row in rows]


def record(tmp_path):
    (found,) = read_records(str(tmp_path)).values()
    return found


def failing(monkeypatch, *errors):
    """Let the attempts fail before their training, one error after the other."""
    left = list(errors)

    def fail(*_):
        raise left.pop(0)

    monkeypatch.setattr(trainable._Attempt, "_train", fail)


def test_each_evaluation_is_reported_and_on_the_disk_with_its_checkpoint(attempt, tmp_path):
    rows = attempt()
    assert [row["images_seen"] for row in rows] == [16, 32, 48]
    assert not {"timestamp", "time_total_s"} & set(rows[0])
    found = record(tmp_path)
    assert found.done
    assert [row["images_seen"] for row in found.rows] == [16, 32, 48]
    assert sorted(path.name for path in tmp_path.glob("*/checkpoint_*")) == [
        "checkpoint_000000000032", "checkpoint_000000000048",
    ]  # fmt: skip


@pytest.mark.parametrize("rules", [None, RULES], ids=["plain", "emm"])
@pytest.mark.parametrize("place", [{"reports": 1}, {"reports": 2}, {"saves": 1}, {"saves": 3}], ids=str)
def test_a_killed_attempt_is_gone_on_with_to_the_same_numbers(place, rules, attempt, monkeypatch, whole, tmp_path):
    with monkeypatch.context() as patch:
        dying(patch, **place)
        with pytest.raises(Killed):
            attempt(rules=rules)
    steps = []
    step = trainable.Trainer._step
    monkeypatch.setattr(trainable.Trainer, "_step", lambda self: steps.append(step(self)))
    rows = attempt(rules=rules)
    expected = whole["plain" if rules is None else "emm"]
    assert numbers(rows) == numbers(expected)[-len(rows) :]
    assert len(steps) == 3 - (place.get("reports") or place["saves"])
    found = record(tmp_path)
    assert found.done
    assert [row["memorization_ratio"] for row in found.rows] == [row["memorization_ratio"] for row in expected]
    assert [row.get("training") for row in found.rows] == [row.get("training") for row in expected]


def test_a_checkpoint_saved_just_before_the_last_evaluation_is_not_the_end(attempt, monkeypatch, whole, tmp_path):
    with monkeypatch.context() as patch:
        # One behind each step: those of the evaluations are the 2nd, the 4th and the 6th.
        dying(patch, saves=5)
        with pytest.raises(Killed):
            attempt(seconds=1e-9)
    assert sorted(path.name for path in tmp_path.glob("*/checkpoint_*"))[-1] == "checkpoint_000000000048"
    assert len(record(tmp_path).rows) == 2
    assert numbers(attempt()) == numbers(whole["plain"])[2:]
    assert record(tmp_path).done


@pytest.mark.parametrize("rules", [None, RULES], ids=["plain", "emm"])
def test_results_that_got_lost_are_written_again_without_training(rules, attempt, monkeypatch, tmp_path):
    before = attempt(rules=rules)
    rows = record(tmp_path).rows
    (tmp_path / NAME / "result.json").unlink()
    monkeypatch.setattr(trainable.Trainer, "_step", lambda _: pytest.fail("trained"))
    assert attempt(rules=rules) == before[-1:]
    unstable = ("pid", "hostname")
    assert [{name: row[name] for name in row if name not in unstable} for row in record(tmp_path).rows] == [
        {name: row[name] for name in row if name not in unstable} for row in rows
    ]


def test_a_training_that_diverges_reports_no_ratio(attempt, monkeypatch, tmp_path):
    error = DivergedError("the loss is nan", 48, 1e30, 0.5)
    failing(monkeypatch, error)
    assert attempt() == [{"failure": "diverged", "cause": str(error), "images_seen": 48}]
    assert (record(tmp_path).done, record(tmp_path).failure) == (True, "diverged")
    assert not (tmp_path / NAME / "error.txt").exists()


@pytest.mark.parametrize(
    ("key", "advice"),
    [("text.pipeline", ", or use a name on the Hugging Face hub"), ("text.captions", "")],
)
def test_files_of_a_fine_tuning_that_the_node_lacks_are_named(key, advice, attempt, tmp_path):
    missing = str(tmp_path / "only" / "there")
    changes = {key: missing, **({"text.prompt": "captions"} if key == "text.captions" else {})}
    config = experiment_from("laptop-text", changes).to_flat()
    (report,) = attempt(config)
    assert report["failure"] == "failed"
    here = f"{key} is not on the node {socket.gethostname()}; put it on storage that all nodes have{advice}: "
    assert report["cause"].startswith(here[:190])
    assert f"{here}{missing}".startswith(report["cause"].removesuffix("..."))


def test_an_error_that_cannot_change_is_reported_and_not_raised(attempt, monkeypatch, tmp_path):
    failing(monkeypatch, MemosweepError("/a.zip: not there\nand more"))
    assert attempt() == [{"failure": "failed", "cause": "/a.zip: not there"}]
    assert (record(tmp_path).done, record(tmp_path).failure) == (True, "failed")
    # The last lines of the sweep name this file.
    assert "/a.zip: not there" in (tmp_path / NAME / "error.txt").read_text()


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), OSError("I/O"), ValueError("a bug"), KeyError("x")])
def test_another_error_is_raised_once_and_ends_the_trial_where_it_comes_again(error, attempt, monkeypatch, tmp_path):
    failing(monkeypatch, error, error)
    with pytest.raises(type(error)):
        attempt()
    assert not record(tmp_path).done
    assert (tmp_path / NAME / "error.txt").read_text().count("Traceback") == 1
    (row,) = attempt()
    assert row["failure"] == "failed"
    assert row["cause"].startswith(f"{type(error).__name__}: ")
    assert row["cause"].endswith(" (twice at the same place)")
    assert (tmp_path / NAME / "error.txt").read_text().count("Traceback") == 2


def test_the_same_error_after_progress_and_another_one_are_tried_again(attempt, monkeypatch, reports, tmp_path):
    count = [0]
    original = trainable.tune.report

    def report(row):
        original(row)
        count[0] += 1
        if count[0] < 3:
            raise RuntimeError("the same")

    with monkeypatch.context() as patch:
        patch.setattr(trainable.tune, "report", report)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                attempt()
    failing(monkeypatch, RuntimeError("another"), RuntimeError("a third"))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            attempt()


@pytest.mark.parametrize("kind", [StorageFullError, StorageError])
def test_an_exhausted_machine_and_a_lost_disk_are_raised_however_often(kind, attempt, monkeypatch, tmp_path):
    failing(monkeypatch, *(kind("/x: cannot be written (full)") for _ in range(3)))
    for _ in range(3):
        with pytest.raises(kind):
            attempt()
    assert not record(tmp_path).done
    assert kind.__name__ in (tmp_path / NAME / "error.txt").read_text()


def test_a_failure_behind_evaluations_keeps_their_rows(attempt, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        dying(patch, reports=2)
        with pytest.raises(Killed):
            attempt()
    error = DivergedError("the loss is nan", 48, 1e30, 0.5)

    def diverge(_):
        raise error

    monkeypatch.setattr(trainable.Trainer, "_step", diverge)
    assert attempt() == [{"failure": "diverged", "cause": str(error), "images_seen": 48}]
    assert [row["images_seen"] for row in record(tmp_path).rows] == [16, 32, 48]


def test_a_damaged_checkpoint_is_passed_over_and_noted(attempt, monkeypatch, whole, tmp_path):
    attempt()
    (tmp_path / NAME / "result.json").unlink()
    newest = tmp_path / NAME / "checkpoint_000000000048/checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    assert numbers(attempt()) == numbers(whole["plain"])[2:]
    assert (tmp_path / NAME / "notes.txt").read_text().startswith("checkpoint_000000000048: damaged (")
    shutil.rmtree(tmp_path / NAME)
    assert numbers(attempt()) == numbers(whole["plain"])


def test_the_closed_form_is_measured_once(attempt, tmp_path):
    (row,) = attempt(OPTIMUM)
    assert row["memorization_ratio"] == 1
    folder = TrialFolder(str(tmp_path), NAME, OPTIMUM)
    assert json.loads((folder.path / "result.json").read_text())["done"]
    assert list(folder.path.glob("checkpoint_*/best.npz"))


def test_behind_a_url_an_attempt_goes_on_from_what_the_one_before_left(reports, monkeypatch, whole, tmp_path):
    options = TrialOptions(f"memory:/{tmp_path}/run", 600.0)
    with monkeypatch.context() as patch:
        dying(patch, reports=2)
        with pytest.raises(Killed):
            train_trial(FLAT, options)
    before = len(reports)
    train_trial(FLAT, options)
    assert numbers(reports[before:]) == numbers(whole["plain"])[2:]
    assert record(f"memory:/{tmp_path}/run").done


def test_memory_that_does_not_suffice_at_the_start_is_no_error_of_the_trial(attempt, monkeypatch, tmp_path):
    def exhausted(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(trainable, "Trainer", exhausted)
    for _ in range(3):
        with pytest.raises(MemoryExhaustedError, match=r"out of memory at its start \(2.00 GiB more needed\)"):
            attempt()
    assert not record(tmp_path).done


def test_a_trial_without_memory_beside_others_says_that_it_gets_a_whole_gpu(attempt, monkeypatch, tmp_path):
    def exhausted(*_, **__):
        raise MemoryExhaustedError("out of memory in training: take more")

    monkeypatch.setattr(trainable, "Trainer", exhausted)
    context = trainable.tune.get_context()
    for reserved, expected in (
        ({"CPU": 1.0, "GPU": 1.0}, None),
        (
            {"CPU": 1.0, "GPU": 0.25},
            b"it had 0.25 of a GPU and ran out of memory in training: take more; the next attempt",
        ),
    ):
        context.get_trial_resources = lambda reserved=reserved: SimpleNamespace(bundles=[reserved])
        with pytest.raises(MemoryExhaustedError):
            attempt()
        notes = TrialFolder(str(tmp_path), NAME, FLAT).read("notes.txt")
        assert notes is None if expected is None else notes.startswith(expected)
