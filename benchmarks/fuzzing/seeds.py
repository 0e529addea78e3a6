"""The small valid files that are damaged: made by the project's own code, from a few trainings of a second each."""

import contextlib
import io
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import analysis
from benchmarks.fuzzing.snapshots import CONFIG, RESOLUTION, edm_pickle, weights
from memo_core.data import write_edm_zip, write_npz
from memo_core.experiment import Experiment, FlatExperiment
from memo_core.interop import save_safetensors
from memo_core.measure.memorization import wilson_interval
from memo_core.results import experiment_id
from memo_core.training.saving.checkpoint import save_checkpoint
from memo_core.training.saving.checkpoints import Checkpoints
from memo_core.training.trainer import Trainer
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.command import main as sweep
from sweeps.engine.plans.manifest import Manifest
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.run import starts
from sweeps.engine.search.journal import Begun, Journal, ended
from sweeps.engine.tune.trial.trial_folder import TrialFolder, read_records
from sweeps.weight_decay import FACTOR

TINY = {
    "model.width": "8",
    "model.channel_multipliers": "[1,1]",
    "training.images": "96",
    "training.batch_size": "16",
    "training.warmup_epochs": "2",
    "evaluation.count": "3",
    "evaluation.num_samples": "12",
    "evaluation.steps": "3",
}
"""Settings of a training of a second."""

IMAGES = 12
RUN = "run"
OTHER_RUN = "other"
SEARCHES = ("grid", "bisect", "optuna")


def settings() -> list[str]:
    """Return `TINY` as options of a command line."""
    return [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]


def write_seeds(folder: Path) -> None:
    """Write one folder for each group of files: images, snapshots, training, trial, results, searches."""
    _write_images(folder / "images")
    _write_snapshots(folder / "snapshots")
    _write_searches(folder / "searches")
    shutil.copytree(folder / "searches" / "grid", folder / "results" / RUN)
    _write_results(folder / "results" / RUN)
    _copy_results(folder / "results" / RUN, folder / "results" / OTHER_RUN)
    _write_training(folder / "training")
    _write_trial(folder / "trial")


def _write_images(folder: Path) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, 3, RESOLUTION, RESOLUTION), dtype=np.uint8)
    labels = np.arange(IMAGES, dtype=np.int64) % 3
    write_edm_zip(folder / "set.zip", images, labels)
    write_npz(folder / "set.npz", images, labels)
    write_npz(folder / "other.npz", images[::-1].copy(), None)
    # As published samplers write them.
    np.savez(folder / "arr0.npz", arr_0=images.transpose(0, 2, 3, 1))


def _write_snapshots(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "published.pkl").write_bytes(edm_pickle())
    (folder / "vendored.pkl").write_bytes(edm_pickle(plain=True))
    save_safetensors(folder / "net.safetensors", weights(), CONFIG, RESOLUTION, 3, 0)


def _write_training(folder: Path) -> None:
    """A training interrupted after its first evaluation."""
    torch.manual_seed(0)
    trainer = Trainer(tiny_experiment())
    next(iter(trainer.evaluations()))
    save_checkpoint(trainer, folder)


def tiny_experiment() -> Experiment:
    """Return the experiment of a training of a second."""
    from memo_core.command_line import parse_settings  # noqa: PLC0415
    from memo_core.experiment.presets import PRESETS, with_settings  # noqa: PLC0415

    return Experiment.from_flat(with_settings(PRESETS["laptop"], parse_settings(settings()[1::2])))


class TrialsWouldStart(BaseException):
    """Everything before the first trial is done."""


@contextlib.contextmanager
def without_ray() -> Iterator[None]:
    """Raise `TrialsWouldStart` where a sweep would give its trials to Ray."""

    def go_on(*_: Any, **__: Any) -> None:
        raise TrialsWouldStart

    with (
        mock.patch.object(ray_session, "start", return_value=ray_session.Cluster(10**7, 10**7, "there is enough")),
        mock.patch.object(starts, "describe_nodes", list),
        mock.patch.object(starts, "go_on", go_on),
    ):
        yield


def sweep_until_ray(arguments: Sequence[str]) -> None:
    """Run the weight-decay sweep's command line up to the moment where it would give its trials to Ray."""
    with without_ray(), contextlib.suppress(TrialsWouldStart):
        sweep(FACTOR, "Weight decay.", arguments=arguments)


def _write_searches(folder: Path) -> None:
    """The `sweep.json` of each kind of search, as a start of the real command leaves it."""
    for search in SEARCHES:
        options = ["--storage-path", str(folder), "--name", search, "--search", search, "--preset", "laptop"]
        if search != "bisect":
            options += ["--sizes", "6", "10"]
        if search != "optuna":
            options += ["--values", "0", "0.001"]
        if search == "grid":
            options += ["--repeats", "2"]
        with contextlib.redirect_stdout(io.StringIO()):
            sweep_until_ray([*options, *settings()])


def _write_results(folder: Path) -> None:
    """The trials of a run that is over, beside the `sweep.json` of a grid."""
    manifest = Manifest.read(str(folder))
    journal = Journal(str(folder), [])
    for experiment in manifest.plan.trials:
        config = experiment.to_flat()
        trial = TrialFolder(str(folder), trial_directory(config, manifest.plan.varied), config)
        trainer, checkpoints = Trainer(experiment), Checkpoints(trial.path)
        rows: list[dict[str, Any]] = []
        for evaluation in trainer.evaluations():
            checkpoints.save(trainer)
            rows.append(_row(evaluation.metrics, config, len(rows)))
        trial.write_results(rows, done=True)
        for checkpoint in trial.path.glob("checkpoint_*/checkpoint.pt"):
            checkpoint.unlink()  # the analysis does not read them
        _journal(journal, config, rows)
    analysis.load([str(folder)])  # writes its cache


def _journal(journal: Journal, config: FlatExperiment, rows: Sequence[dict[str, Any]]) -> None:
    begun = Begun(key=str(len(journal.events) // 2), trial_id=experiment_id(config))
    journal.append(begun)
    journal.append(ended(begun, rows[-1]))


def _copy_results(run: Path, other: Path) -> None:
    """The same trials of other seeds, to compare with."""
    manifest = Manifest.read(str(run))
    plan = manifest.plan
    trials = [{**trial.to_flat(), "seed": trial.seed + 2} for trial in plan.trials]
    plan = plan.model_copy(update={"trials": tuple(map(Experiment.from_flat, trials))})
    manifest.model_copy(update={"plan": plan}).write(str(other))
    journal = Journal(str(other), [])
    for record in read_records(str(run)).values():
        config = {**record.result["config"], "seed": record.result["config"]["seed"] + 2}
        trial = TrialFolder(str(other), trial_directory(config, plan.varied), config)
        rows = [dict(row) for row in record.rows]
        trial.write_results(rows, done=True)
        for checkpoint in (run / record.folder).glob("checkpoint_*"):
            shutil.copytree(checkpoint, trial.path / checkpoint.name)
        _journal(journal, config, rows)


def _row(metrics: dict[str, Any], config: FlatExperiment, number: int) -> dict[str, Any]:
    # So short a training copies nothing, and ratios that are all 0 would keep the analysis from most of its work.
    decayed = 2 if config["training.weight_decay"] else 0
    memorized = max(0, 10 - config["data.size"] // 2 - config["seed"] - decayed + number)
    low, high = wilson_interval(memorized, metrics["num_samples"])
    return {
        **metrics,
        "memorization_ratio": memorized / metrics["num_samples"],
        "memorization_ratio_low": low,
        "memorization_ratio_high": high,
        "best_memorization_ratio": memorized / metrics["num_samples"],
        "timestamp": 1_795_561_315 + number,
        "time_total_s": 1.5 * (number + 1),
    }


def _write_trial(folder: Path) -> None:
    """A trial of a sweep that was interrupted after its second checkpoint."""
    experiment = tiny_experiment()
    config = experiment.to_flat()
    trial = TrialFolder(str(folder), trial_directory(config, ()), config)
    trainer, checkpoints = Trainer(experiment), Checkpoints(trial.path)
    evaluations = iter(trainer.evaluations())
    for _ in range(2):
        next(evaluations)
        checkpoints.save(trainer)
    trial.write_results(trainer.rows, done=False)
