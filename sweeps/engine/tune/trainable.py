"""The function trainable: memo_core's trainer under Ray Tune."""

import tempfile
from dataclasses import asdict
from typing import Any

import torch
from ray import tune

from analysis.emm.stopping.rules import NextBatch, StoppingRules
from memo_core.errors import DivergedError, MemosweepError, first_line
from memo_core.evaluation import evaluate_optimum
from memo_core.experiment import Experiment
from memo_core.training.checkpoint import load_checkpoint, save_checkpoint, save_samples
from memo_core.training.trainer import Trainer


def train_trial(config: dict[str, Any], rules: StoppingRules | None = None) -> None:
    """Train one experiment, and report each evaluation with a checkpoint that holds everything.

    A training that diverges, and an error of the experiment itself, would end alike if they were tried again: they end
    the trial with a last report without any ratio, `failure` (`diverged` or `failed`) and its `cause` in one line.
    Every other error is raised, and Tune tries again from the last checkpoint.

    Args:
        config: a complete flat experiment (dotted keys).
        rules: what stops a trial of an EMM search early; None trains to the end.
    """
    try:
        _train(config, rules)
    except DivergedError as error:
        tune.report({"failure": "diverged", "cause": first_line(error), "images_seen": error.images_seen})
    except MemosweepError as error:
        tune.report({"failure": "failed", "cause": first_line(error)})


def _train(config: dict[str, Any], rules: StoppingRules | None) -> None:
    reserved = tune.get_context().get_trial_resources().required_resources
    # One thread per reserved CPU, so that trials side by side do not fight.
    torch.set_num_threads(max(1, int(reserved.get("CPU", 1))))
    device = "cuda" if reserved.get("GPU", 0) > 0 else "cpu"
    experiment = Experiment.from_flat(config)
    if experiment.model.architecture == "optimum":
        _report_optimum(experiment, device)
        return
    trainer = Trainer(experiment, device)
    checkpoint = tune.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            load_checkpoint(trainer, folder)
        if _reported(trainer, rules).get("stopped_early"):
            return  # killed between its last report and its end
    for evaluation in trainer.evaluations(next_batch=_sampling(trainer, rules)):
        record = _reported(trainer, rules)
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(trainer, folder)
            tune.report({**evaluation.metrics, **record}, checkpoint=tune.Checkpoint.from_directory(folder))
        if record.get("stopped_early"):
            return


def _sampling(trainer: Trainer, rules: StoppingRules | None) -> NextBatch | None:
    if rules is None:
        return None
    budget, samples = trainer.experiment.total_images, trainer.experiment.evaluation.num_samples
    return rules.sampling(lambda: (trainer.history, trainer.images_seen), budget, samples)


def _reported(trainer: Trainer, rules: StoppingRules | None) -> dict[str, Any]:
    """The training as an EMM search learns of it, and the column by which tables know a lower bound.

    Nothing in other sweeps, and before the first evaluation.
    """
    if rules is None or not trainer.history:
        return {}
    experiment = trainer.experiment
    size, samples = experiment.data.size, experiment.evaluation.num_samples
    record = rules.training(trainer.history, size, experiment.seed, experiment.total_images, samples)
    return {"stopped_early": record.stopped_early, "training": asdict(record)}


def _report_optimum(experiment: Experiment, device: str) -> None:
    evaluation = evaluate_optimum(experiment, device)
    with tempfile.TemporaryDirectory() as folder:
        save_samples(evaluation.arrays(), folder)
        tune.report(evaluation.metrics, checkpoint=tune.Checkpoint.from_directory(folder))
