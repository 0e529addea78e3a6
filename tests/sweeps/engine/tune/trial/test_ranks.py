"""Trials of several ranks under Tune: real trials in two processes of a cluster, over gloo."""

import json
import os

import pytest
from ray import tune

from memo_core.experiment import Experiment
from memo_core.training.trainer import Trainer
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.tune.trial.trainable import TrialOptions, train_trial
from sweeps.engine.tune.tuner import reserved

TWO = tune.PlacementGroupFactory([{"CPU": 0.5}, {"CPU": 0.5}], strategy="PACK")


def fit(run, scratch, experiment, function=train_trial, max_failures=0):
    """Train one experiment under Tune in two ranks; returns the rows of its result.json."""
    run.mkdir()
    trainable = tune.with_parameters(function, options=TrialOptions(str(run), 600.0))
    results = tune.Tuner(
        tune.with_resources(trainable, TWO),
        param_space=experiment,
        tune_config=tune.TuneConfig(
            reuse_actors=True, trial_dirname_creator=lambda trial: trial_directory(trial.config, ())
        ),
        run_config=tune.RunConfig(
            storage_path=str(scratch), verbose=0, failure_config=tune.FailureConfig(max_failures=max_failures)
        ),
    ).fit()
    assert results.num_errors == 0, results.errors
    (file,) = run.glob("*/result.json")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_trial_of_two_ranks_goes_on_when_one_was_lost_and_reports_what_one_rank_reports(cluster, tiny, tmp_path):
    """A rank that dies in the middle is noticed, and the trial tried again as a whole."""
    lost = tmp_path / "lost"

    def train(config, options):
        from sweeps.engine.tune.trial import ranks

        class Mortal(ranks.Follower):
            def follow(self, *arguments):
                from memo_core.training import Trainer

                lasting = Trainer.follow

                def follow(trainer):
                    if not lost.exists():
                        lost.touch()
                        os._exit(1)
                    lasting(trainer)

                Trainer.follow = follow  # in the rank's own process
                super().follow(*arguments)

        ranks.Follower = Mortal
        train_trial(config, options)

    experiment = {**tiny, "model.dropout": 0.0}
    two = fit(tmp_path / "two", tmp_path / "scratch", experiment, train, max_failures=1)
    assert lost.exists()
    trainer = Trainer(Experiment.from_flat(experiment))
    for _ in trainer.evaluations():
        pass
    assert [row["images_seen"] for row in two] == [row["images_seen"] for row in trainer.rows] == [48, 96]
    for ours, theirs in zip(two, trainer.rows, strict=True):
        for name in ("loss", "memorization_ratio", "knn_distance"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4), name


def test_a_trial_that_diverges_in_two_ranks_ends_as_one_that_diverged(cluster, tiny, tmp_path):
    experiment = {**tiny, "training.learning_rate": 1e30, "training.warmup_epochs": 0}
    (row,) = fit(tmp_path / "run", tmp_path / "a", experiment)
    assert row["failure"] == "diverged"


def test_several_gpus_are_bundles_of_one_each():
    assert reserved({"cpu": 2, "gpu": 0.5}) == {"cpu": 2, "gpu": 0.5}
    assert reserved({"cpu": 2, "gpu": 1}) == {"cpu": 2, "gpu": 1}
    several = reserved({"cpu": 8, "gpu": 4})
    assert several.bundles == [{"CPU": 2.0, "GPU": 1.0}] * 4
    assert several.strategy == "PACK"
