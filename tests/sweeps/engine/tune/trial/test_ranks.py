"""Trials of several ranks under Tune: real trials in two processes of a cluster, over gloo."""

import json
import os

import pytest
from ray import tune

from sweeps.engine.plans.names import trial_directory
from sweeps.engine.tune.trial.trainable import TrialOptions, train_trial
from sweeps.engine.tune.tuner import reserved

TWO = tune.PlacementGroupFactory([{"CPU": 1.0}, {"CPU": 1.0}], strategy="PACK")


def fit(run, scratch, experiment, resources):
    """Train one experiment under Tune; returns the rows of its result.json."""
    run.mkdir()
    trainable = tune.with_parameters(train_trial, options=TrialOptions(str(run), 600.0))
    results = tune.Tuner(
        tune.with_resources(trainable, resources),
        param_space=experiment,
        tune_config=tune.TuneConfig(
            reuse_actors=True, trial_dirname_creator=lambda trial: trial_directory(trial.config, ())
        ),
        run_config=tune.RunConfig(storage_path=str(scratch), verbose=0),
    ).fit()
    assert results.num_errors == 0, results.errors
    (file,) = run.glob("*/result.json")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_trial_of_two_ranks_reports_what_one_reports(cluster, tiny, tmp_path):
    experiment = {**tiny, "model.dropout": 0.0}
    one = fit(tmp_path / "one", tmp_path / "a", experiment, {"cpu": 1})
    two = fit(tmp_path / "two", tmp_path / "b", experiment, TWO)
    assert [row["images_seen"] for row in two] == [row["images_seen"] for row in one] == [48, 96]
    for ours, theirs in zip(two, one, strict=True):
        for name in ("loss", "memorization_ratio", "knn_distance"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4), name


def test_a_trial_that_diverges_in_two_ranks_ends_as_one_that_diverged(cluster, tiny, tmp_path):
    experiment = {**tiny, "training.learning_rate": 1e30, "training.warmup_epochs": 0}
    (row,) = fit(tmp_path / "run", tmp_path / "a", experiment, TWO)
    assert row["failure"] == "diverged"


def test_several_gpus_are_bundles_of_one_each():
    assert reserved({"cpu": 2, "gpu": 0.5}) == {"cpu": 2, "gpu": 0.5}
    assert reserved({"cpu": 2, "gpu": 1}) == {"cpu": 2, "gpu": 1}
    several = reserved({"cpu": 8, "gpu": 4})
    assert several.bundles == [{"CPU": 2.0, "GPU": 1.0}] * 4
    assert several.strategy == "PACK"


def test_a_trial_goes_on_when_a_rank_was_lost(cluster, tiny, tmp_path):
    """A rank that dies in the middle is noticed, and the trial tried again as a whole."""
    lost = tmp_path / "lost"
    run = tmp_path / "run"
    run.mkdir()

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

    trainable = tune.with_parameters(train, options=TrialOptions(str(run), 600.0))
    results = tune.Tuner(
        tune.with_resources(trainable, TWO),
        param_space=tiny,
        tune_config=tune.TuneConfig(trial_dirname_creator=lambda trial: trial_directory(trial.config, ())),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path / "a"), verbose=0, failure_config=tune.FailureConfig(max_failures=1)
        ),
    ).fit()
    assert results.num_errors == 0, results.errors
    assert lost.exists()
    (file,) = run.glob("*/result.json")
    assert len(file.read_text().splitlines()) == 2
