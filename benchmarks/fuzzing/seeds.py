"""The small valid files that are damaged: made by the project's own code, from a few trainings of a second each."""

import contextlib
import io
import json
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
from memo_core.experiment import Experiment
from memo_core.interop import save_safetensors
from memo_core.measure.memorization import wilson_interval
from memo_core.training.checkpoint import save_checkpoint
from memo_core.training.trainer import Trainer
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.command import main as sweep
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
STATE_FILE = "experiment_state-2026-01-01_00-00-00.json"
RUN = "run"
OTHER_RUN = "other"
_TRIAL, _OTHER_TRIAL = "0ab1c", "0ab1d"
SEARCHES = ("grid", "bisect", "optuna")


def settings() -> list[str]:
    """Return `TINY` as options of a command line."""
    return [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]


def write_seeds(folder: Path) -> None:
    """Write one folder for each group of files: images, snapshots, training, results, searches."""
    _write_images(folder / "images")
    _write_snapshots(folder / "snapshots")
    _write_searches(folder / "searches")
    shutil.copytree(folder / "searches" / "grid", folder / "results" / RUN)
    _write_results(folder / "results" / RUN)
    _copy_results(folder / "results" / RUN, folder / "results" / OTHER_RUN)
    _write_training(folder / "training")


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
    trainer = Trainer(_experiment())
    next(iter(trainer.evaluations()))
    save_checkpoint(trainer, folder)


def _experiment() -> Experiment:
    from memo_core.command_line import parse_settings  # noqa: PLC0415
    from memo_core.experiment.presets import PRESETS, with_settings  # noqa: PLC0415

    return Experiment.from_flat(with_settings(PRESETS["laptop"], parse_settings(settings()[1::2])))


class RayWouldStart(BaseException):
    """Everything before Ray is done."""


@contextlib.contextmanager
def without_ray() -> Iterator[None]:
    """Raise `RayWouldStart` where a sweep would start Ray."""

    def start(*_: Any, **__: Any) -> None:
        raise RayWouldStart

    with mock.patch.object(ray_session, "start", start):
        yield


def sweep_until_ray(arguments: Sequence[str]) -> None:
    """Run the weight-decay sweep's command line up to the moment where it would start Ray."""
    with without_ray(), contextlib.suppress(RayWouldStart):
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
    """Trials as Tune leaves them, beside the `sweep.json` of a grid."""
    manifest = json.loads((folder / "sweep.json").read_text())
    states = []
    for index, config in enumerate(manifest["plan"]["trials"]):
        trial_id = f"{_TRIAL}_{index:05d}"
        title = f"size={config['data.size']},weight_decay={config['training.weight_decay']:g},seed={config['seed']}"
        trial = folder / f"{title}_{trial_id}"
        trainer = Trainer(Experiment.from_flat(config))
        lines = []
        for number, evaluation in enumerate(trainer.evaluations()):
            save_checkpoint(trainer, trial / f"checkpoint_{number:06d}")
            lines.append(_result(evaluation.metrics, config, trial_id, number, trainer.images_seen))
        (trial / "result.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
        for checkpoint in trial.glob("checkpoint_*/checkpoint.pt"):
            checkpoint.unlink()  # the analysis does not read them
        states.append(_state(config, lines[-1], trial_id, trial.name))
    (folder / STATE_FILE).write_text(json.dumps({"trial_data": states, "runner_data": {}, "stats": {}}))
    analysis.load([str(folder)])  # writes its cache


def _copy_results(run: Path, other: Path) -> None:
    """The same trials of other seeds, under other ids, to compare with."""
    for file in sorted(file for file in run.rglob("*") if file.is_file() and not file.name.startswith(".")):
        target = other / str(file.relative_to(run)).replace(_TRIAL, _OTHER_TRIAL)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        if file.suffix == ".json":
            for old, new in ((_TRIAL, _OTHER_TRIAL), ('"seed": 0', '"seed": 2'), ('"seed": 1', '"seed": 3')):
                content = content.replace(old.encode(), new.encode())
        target.write_bytes(content)


def _result(metrics: Any, config: dict[str, Any], trial_id: str, number: int, seen: int) -> dict[str, Any]:
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
        "checkpoint_dir_name": f"checkpoint_{number:06d}",
        "should_checkpoint": True,
        "done": seen >= config["training.images"],
        "training_iteration": number + 1,
        "trial_id": trial_id,
        "time_total_s": 1.5 * (number + 1),
        "config": config,
    }


def _state(config: dict[str, Any], last: dict[str, Any], trial_id: str, folder: str) -> list[str]:
    description = {"stub": False, "trainable_name": "train_trial", "trial_id": trial_id, "config": config,
                   "status": "TERMINATED", "relative_logdir": folder}  # fmt: skip
    runtime = {"start_time": 1_795_561_300.0, "num_failures": 0, "last_result": last}
    return [json.dumps(description), json.dumps(runtime)]
