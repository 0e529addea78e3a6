"""Result folders for the commands that estimate: a real small one, and made-up ones with known curves."""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

mpl.use("agg")

BASE = {
    "data.dataset": "cifar10", "data.size": 1000, "data.resolution": None, "data.seed": 0, "model.width": 128,
    "model.depth": 2, "training.epochs": 40_000.0, "training.batch_size": 512, "training.learning_rate": 2e-4,
    "evaluation.num_samples": 10_000, "seed": 0,
}  # fmt: skip
LONG_AGO = 1_700_000_000
Trials = Iterable[tuple[dict[str, Any], float]]


def falling(size: int, emm: float, slope: float = 2.9, zeta: float = 0.1) -> float:
    """The ratio at a size where logit(ratio) falls in ln(size) and crosses 1 - zeta at `emm`."""
    return 1 / (1 + math.exp(-math.log((1 - zeta) / zeta) + slope * math.log(size / emm)))


@pytest.fixture
def real_sweep(tmp_path: Path) -> Path:
    """A copy of the real result folder, last written long ago."""
    folder = tmp_path / "weight_decay"
    shutil.copytree(Path(__file__).parents[1] / "data/weight_decay", folder)
    for file in folder.rglob("*"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture
def write_sweep(tmp_path: Path) -> Callable[..., Path]:
    """Write a finished sweep: a trial per (changed settings, best ratio), of which a middle evaluation is the best."""

    def write(trials: Trials, key: str = "model.width", name: str = "sweep", **reported: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        plan = {"factor": {"name": key.rpartition(".")[2], "key": key}, "preset": "paper", "trials": []}
        (folder / "sweep.json").write_text(json.dumps({"plan": plan}))
        for index, (changes, ratio) in enumerate(trials):
            config = {**BASE, **changes}
            trial = folder / f"trial_{index:05d}"
            trial.mkdir()
            lines = [
                {
                    "epoch": epoch, "images_seen": int(epoch * config["data.size"]), "loss": 0.1, "num_samples": 10_000,
                    "memorization_ratio": ratio * share, "knn_distance": 5.0, "trial_id": f"{name}_{index:05d}",
                    "time_total_s": epoch, "done": epoch == 40_000, "config": config, **reported,
                }
                for epoch, share in ((20_000, 0.5), (30_000, 1.0), (40_000, 0.9))
            ]  # fmt: skip
            (trial / "result.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder

    return write
