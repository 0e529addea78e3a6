"""Trials that differ in what acts after a step come out of one training, with the numbers of trainings of their own."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from memo_core.errors import DivergedError, MemoryExhaustedError, MemosweepError, SamplesNotFiniteError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP, with_settings
from memo_core.results import experiment_id
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.plans.trainings import by_training
from sweeps.engine.tune.trial import trainable
from sweeps.engine.tune.trial.trainable import TrialOptions, train_trial
from sweeps.engine.tune.trial.trial_folder import read_records

DECAYS = (0.5, 0.0, 0.9)
TRIALS = [Experiment.from_flat(with_settings(LAPTOP, {
    "data.size": 6, "model.width": 8, "model.channel_multipliers": [1, 1], "training.images": 48,
    "training.batch_size": 16, "evaluation.count": 3, "evaluation.num_samples": 6, "evaluation.steps": 2,
    "training.ema_decay": decay,
})) for decay in DECAYS]  # fmt: skip
FLATS = [trial.to_flat() for trial in TRIALS]
NAME_OF = partial(trial_directory, varied=["training.ema_decay"])


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a trial in the place of Tune; returns what it reports and the steps that it takes."""

    def attempt(number, trials=TRIALS, place=tmp_path):
        reports, steps = [], []
        context = SimpleNamespace(
            get_trial_dir=lambda: f"/scratch/{NAME_OF(FLATS[number])}",
            get_trial_resources=lambda: SimpleNamespace(bundles=[{"CPU": 1.0}]),
        )
        step = trainable.Trainer._step
        with monkeypatch.context() as patch:
            patch.setattr(trainable, "tune", SimpleNamespace(report=reports.append, get_context=lambda: context))
            patch.setattr(trainable.Trainer, "_step", lambda self: steps.append(step(self)))
            options = TrialOptions(str(place), 600.0, trainings=by_training(trials), folder=NAME_OF)
            train_trial(FLATS[number], options)
        return reports, len(steps)

    return attempt


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run in which each trial trained by itself."""
    place = tmp_path_factory.mktemp("alone")
    for number in range(len(TRIALS)):
        context = SimpleNamespace(
            get_trial_dir=lambda number=number: f"/scratch/{NAME_OF(FLATS[number])}",
            get_trial_resources=lambda: SimpleNamespace(bundles=[{"CPU": 1.0}]),
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trainable, "tune", SimpleNamespace(report=lambda _: None, get_context=lambda c=context: c))
            train_trial(FLATS[number], TrialOptions(str(place), 600.0))
    return place


UNSTABLE = ("images_per_second", "time_total_s", "timestamp", "pid", "hostname")


def rows_of(place):
    return {
        trial_id: [{name: value for name, value in row.items() if name not in UNSTABLE} for row in record.rows]
        for trial_id, record in read_records(str(place)).items()
    }


def assert_as_alone(place, alone):
    assert rows_of(place) == rows_of(alone)
    assert all(record.done for record in read_records(str(place)).values())
    for file in alone.glob("*/checkpoint_*/best.npz"):
        with np.load(file) as expected, np.load(place / file.relative_to(alone)) as found:
            assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_the_first_trains_for_all_and_the_others_report_what_they_find(run, alone, tmp_path):
    reports, steps = run(0)
    assert (len(reports), steps) == (3, 3)
    assert_as_alone(tmp_path, alone)
    for number in (1, 2):
        reports, steps = run(number)
        assert steps == 0
        expected = rows_of(alone)[experiment_id(FLATS[number])]
        assert [report["memorization_ratio"] for report in reports] == [row["memorization_ratio"] for row in expected]
        assert "config" not in reports[0]
    assert_as_alone(tmp_path, alone)


@pytest.mark.parametrize(
    ("saves", "steps"),
    # At each evaluation the leader saves, both companions do, and each again when it was evaluated.
    [(0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2), (6, 1), (7, 1), (9, 1), (10, 0), (11, 0)],
)
def test_a_killed_training_goes_on_with_all_of_them(saves, steps, run, alone, monkeypatch, tmp_path):
    save, left = trainable.Companions._save, [saves]

    def save_or_die(self, experiment):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        save(self, experiment)

    with monkeypatch.context() as patch:
        patch.setattr(trainable.Companions, "_save", save_or_die)
        with pytest.raises(Killed):
            run(0)
    assert run(0)[1] == steps
    # Who had no checkpoint at all where the first one was written trains by itself.
    assert sum(run(number)[1] for number in (1, 2)) == (3 if saves < 2 else 0)
    assert_as_alone(tmp_path, alone)


def test_a_trial_that_is_done_stays_as_it_is_and_the_next_one_leads(run, alone, tmp_path):
    run(1, trials=TRIALS[1:2])
    before = (tmp_path / NAME_OF(FLATS[1]) / "result.json").read_bytes()
    assert len(read_records(str(tmp_path))) == 1
    _, steps = run(2)
    assert steps == 3
    assert (tmp_path / NAME_OF(FLATS[1]) / "result.json").read_bytes() == before
    assert_as_alone(tmp_path, alone)


def test_a_training_that_diverges_ends_all_of_them(run, monkeypatch, tmp_path):
    error = DivergedError("the loss is nan", 32, 1e30, 0.5)
    step, count = trainable.Trainer._step, [0]

    def diverge(self):
        count[0] += 1
        if count[0] == 2:
            raise error
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(trainable.Trainer, "_step", diverge)
        run(0)
    records = read_records(str(tmp_path)).values()
    assert [record.failure for record in records] == ["diverged"] * 3
    assert [[row["images_seen"] for row in record.rows] for record in records] == [[16, 32]] * 3


def failing_evaluation(monkeypatch, trial, error):
    """Let the evaluations of one trial fail; returns the patch, to be undone."""
    evaluate = trainable.Trainer._evaluate

    def fail(self, next_batch):
        if self.experiment == trial and self.images_seen == 32:
            raise error
        return evaluate(self, next_batch)

    monkeypatch.setattr(trainable.Trainer, "_evaluate", fail)


def test_samples_of_the_leader_that_are_not_finite_end_it_alone(run, alone, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        failing_evaluation(patch, TRIALS[0], SamplesNotFiniteError("its samples are not finite", 32, 1e-3, 0.5))
        run(0)
    ends = {trial_id: (record.done, record.failure) for trial_id, record in read_records(str(tmp_path)).items()}
    assert [ends[experiment_id(flat)] for flat in FLATS] == [(True, "diverged"), (False, None), (False, None)]
    # The next one leads, from where they are.
    assert run(1)[1] == 2
    expected, found = rows_of(alone), rows_of(tmp_path)
    assert all(found[experiment_id(flat)] == expected[experiment_id(flat)] for flat in FLATS[1:])


@pytest.mark.parametrize("error", [MemosweepError("no faiss"), MemoryExhaustedError("out of memory"), KeyError("x")])
def test_an_error_in_the_evaluation_of_one_is_left_to_its_own_attempt(error, run, alone, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        failing_evaluation(patch, TRIALS[1], error)
        run(0)
    records = read_records(str(tmp_path))
    assert [records[experiment_id(flat)].done for flat in FLATS] == [True, False, True]
    run(1)
    assert_as_alone(tmp_path, alone)


def test_samples_of_one_average_that_are_not_finite_end_that_trial_alone(run, alone, monkeypatch, tmp_path):
    evaluate = trainable.Trainer._evaluate

    def diverge(self, next_batch):
        if self.experiment == TRIALS[1] and self.images_seen == 32:
            raise DivergedError("its samples are not finite", 32, 1e-3, 0.5)
        return evaluate(self, next_batch)

    with monkeypatch.context() as patch:
        patch.setattr(trainable.Trainer, "_evaluate", diverge)
        run(0)
    records = read_records(str(tmp_path))
    assert {trial_id: record.failure for trial_id, record in records.items()} == {
        experiment_id(FLATS[0]): None, experiment_id(FLATS[1]): "diverged", experiment_id(FLATS[2]): None,
    }  # fmt: skip
    expected = rows_of(alone)
    assert rows_of(tmp_path)[experiment_id(FLATS[2])] == expected[experiment_id(FLATS[2])]


def test_the_time_of_a_companion_is_that_of_its_own_evaluations(run, tmp_path):
    run(0)
    leader, *others = (read_records(str(tmp_path))[experiment_id(flat)].result["time_total_s"] for flat in FLATS)
    assert all(0 < seconds < leader for seconds in others)
