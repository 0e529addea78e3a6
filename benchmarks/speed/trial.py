"""The part on where the time of a trial goes, and that of a sweep; all times are those of the clock on the wall."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.driver_overhead import REPOSITORY, environment
from benchmarks.speed.comparison import Part, Row, Spread
from benchmarks.speed.loops import training_gflop
from benchmarks.speed.machine import Machine, Run, Size, Sizes
from benchmarks.speed.networks import EVALUATIONS, forward_gflop
from memo_core.experiment import Experiment
from memo_core.experiment.presets import experiment_from
from memo_core.measure import measure_memorization
from memo_core.sampling import generate
from memo_core.training.saving.checkpoints import Checkpoints
from memo_core.training.trainer import Trainer

_UNIT = "the whole"
_LAPTOP_TRIALS = 14
"""Of `sweeps/weight_decay.py` as a laptop study."""


@dataclass(frozen=True)
class SweepTimes:
    """Where the time of a sweep went.

    Attributes:
        seconds: of the whole command.
        slots: trials at the same time.
        training: seconds of training steps, by trial.
        trials: seconds of all work, by trial.
    """

    seconds: float
    slots: int
    training: Sequence[float]
    trials: Sequence[float]

    @property
    def around(self) -> float:
        """Seconds of the start, the end, Ray, and slots that waited for the last trial."""
        return self.seconds - sum(self.trials) / self.slots

    def longer(self, trials: int, factor: float) -> "SweepTimes":
        """Return the times of more trials, with training longer by a factor, all else equal."""
        training = factor * sum(self.training) / len(self.training)
        rest = (sum(self.trials) - sum(self.training)) / len(self.trials)
        seconds = self.around + ceil(trials / self.slots) * (training + rest)
        return SweepTimes(seconds, self.slots, [training] * trials, [training + rest] * trials)


def measure_trial(machine: Machine, sizes: Sizes) -> Part:
    """Run one trial in this process, and a small sweep through Ray."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        data = _data(sizes, Path(folder))
        experiment = experiment_from(sizes.preset, {**data, **sizes.trial})
        rows = _trial(experiment, machine, Path(folder))
        settings = {**data, **sizes.trial, **sizes.sweep}
        short = experiment_from(sizes.preset, settings)
        about = f"sweep of {len(sizes.sweep_values)} trials of {short.total_images:,} images"
        try:
            times = run_sweep(sizes, settings, short.data.size, machine, Path(folder))
        except RuntimeError as error:
            rows.append(Row(about, "whole sweep", note=str(error)))
        else:
            rows += sweep_rows(f"{about}, {times.slots} at once", times)
            if sizes.preset == "laptop":
                whole = times.longer(_LAPTOP_TRIALS, experiment.total_images / short.total_images)
                about = f"computed from it: {_LAPTOP_TRIALS} trials of {experiment.total_images:,} images"
                rows += sweep_rows(about, whole)
    return Part("Where the time of a trial and of a sweep goes", _UNIT, rows, is_repeated=False)


def _data(sizes: Sizes, folder: Path) -> dict[str, Any]:
    """Return the settings of the data; random images where the preset's would have to be downloaded."""
    if sizes.preset == "laptop":
        return {}
    images = np.random.default_rng(0).integers(0, 256, (1000, 3, 32, 32), dtype=np.uint8)
    np.savez(folder / "images.npz", images=images)
    return {"data.dataset": str(folder / "images.npz"), "data.size": len(images)}


def _trial(experiment: Experiment, machine: Machine, folder: Path) -> list[Row]:
    start = time.perf_counter()
    trainer, checkpoints = Trainer(experiment, machine.device), Checkpoints(folder / "trial")
    spent = {"start: data and network": time.perf_counter() - start}
    with timed_calls({"sampling": generate, "search": measure_memorization}, spent):
        for _ in trainer.evaluations():
            with _added_to(spent, "checkpoints"):
                checkpoints.save(trainer)
    total = time.perf_counter() - start
    spent["training"] = total - sum(spent.values())
    channels, resolution, _ = trainer.data.image_shape
    size = Size(experiment.model, resolution, channels, experiment.training.batch_size)
    samples = experiment.evaluation.num_samples * len(trainer.rows)
    gflop = {
        "training": trainer.images_seen * training_gflop(size),
        "sampling": samples * EVALUATIONS * forward_gflop(size),
    }
    product, product_gflop = machine.matrix_product("float32")
    product()
    peak = product_gflop / _seconds(product)
    group = f"one trial in this process: {trainer.images_seen:,} images, {samples:,} samples"
    rows = [Row(group, "whole trial", _exact(total), _exact(1.0))]
    for name in sorted(spent, key=lambda name: -spent[name]):
        rate = gflop.get(name)
        share = None if rate is None else _exact(rate / spent[name] / peak)
        rows.append(Row(group, name, _exact(spent[name]), _exact(spent[name] / total), share))
    return rows


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _exact(value: float) -> Spread:
    return Spread(value, value, value)


@contextmanager
def _added_to(spent: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - start


@contextmanager
def timed_calls(functions: Mapping[str, Callable[..., Any]], spent: dict[str, float]) -> Iterator[None]:
    """Add the seconds of every call of some functions to `spent`, whichever module of `memo_core` calls them.

    Args:
        functions: by the name under which their seconds are added.
        spent: seconds by name.
    """
    replaced = []
    for name, function in functions.items():
        timed = _timed(function, spent, name)
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("memo_core"):
                held = [key for key, value in vars(module).items() if value is function]
                replaced += [(module, key, function) for key in held]
                for key in held:
                    setattr(module, key, timed)
    try:
        yield
    finally:
        for module, key, function in replaced:
            setattr(module, key, function)


def _timed(function: Callable[..., Any], spent: dict[str, float], name: str) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        with _added_to(spent, name):
            return function(*arguments, **options)

    return run


def run_sweep(sizes: Sizes, settings: Mapping[str, Any], size: int, machine: Machine, folder: Path) -> SweepTimes:
    """Run a sweep of a few trials through Ray, in a process of its own.

    Args:
        sizes: of the machine.
        settings: of each trial.
        size: training images.
        machine: to measure on.
        folder: for its results.

    Raises:
        RuntimeError: it fails; with its last line.
    """
    changes = [part for key, value in settings.items() if key != "data.size" for part in ("--set", f"{key}={value}")]
    values = [str(value) for value in sizes.sweep_values]
    command = [sys.executable, str(REPOSITORY / "sweeps/weight_decay.py"), "--preset", sizes.preset,
               "--values", *values, "--sizes", str(size), "--gpus-per-trial", str(int(machine.has_gpu)),
               "--storage-path", str(folder), "--name", "sweep", *changes]  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run(command, cwd=REPOSITORY, env=environment(), check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}")
    histories = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted((folder / "sweep").glob("*/result.json"))
    ]
    available = 1 if machine.has_gpu else machine.describe()["cores"]
    return SweepTimes(
        seconds,
        min(len(histories), available),
        [training_seconds(rows) for rows in histories],
        [rows[-1]["time_total_s"] for rows in histories],
    )


def training_seconds(rows: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds of training of a trial, from what it reported at each evaluation."""
    seen = [0, *(row["images_seen"] for row in rows)]
    return float(sum((after - seen[i]) / rows[i]["images_per_second"] for i, after in enumerate(seen[1:])))


def sweep_rows(group: str, times: SweepTimes) -> list[Row]:
    """Return the rows of a sweep; seconds within trials are those of one slot."""
    training = sum(times.training) / times.slots
    parts = {
        "whole sweep": times.seconds,
        "training": training,
        "evaluation and checkpoints": sum(times.trials) / times.slots - training,
        "Ray, start and end": times.around,
    }
    return [Row(group, name, _exact(part), _exact(part / times.seconds)) for name, part in parts.items()]
