"""What the tests of the analysis share: a small real result folder, and made-up tables."""

import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

import analysis
from analysis.errors import SkippedResultsWarning
from analysis.results.columns import typed_frame

mpl.use("agg")

DATA = Path(__file__).parent / "data"
"""`weight_decay`: a real sweep on the digits, interrupted with 8 of 14 trials begun, two of them unfinished; without
network checkpoints."""
LONG_AGO = 1_700_000_000


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A copy of the real result folder, last written long ago."""
    folder = tmp_path / "weight_decay"
    shutil.copytree(DATA / "weight_decay", folder)
    for file in folder.rglob("*"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of the real result folder."""
    folder = tmp_path_factory.mktemp("results") / "weight_decay"
    shutil.copytree(DATA / "weight_decay", folder)
    with pytest.warns(SkippedResultsWarning, match="6 trials have no evaluation yet"):
        return analysis.load(folder)


def make_table(
    finals: dict[tuple[Any, int], float],
    key: str = "model.width",
    epochs: Sequence[float] = (100.0, 200.0, 400.0),
    seeds: int = 1,
    samples: int = 1000,
    **fixed: Any,
) -> pd.DataFrame:
    """A row per evaluation.

    Args:
        finals: final ratio by (value of `key`, |D|); reached at the last epoch.
        key: the factor.
        epochs: of the evaluations.
        seeds: repeats; each adds 0.001 to the ratios.
        samples: behind each ratio.
        fixed: further columns.
    """
    rows = []
    for (value, size), final in finals.items():
        for seed in range(seeds):
            for epoch in epochs:
                ratio = min(1.0, final * epoch / epochs[-1] + 0.001 * seed)
                half = 1.96 * math.sqrt(ratio * (1 - ratio) / samples)
                rows.append({
                    "experiment": "made-up", "factor": "width", "preset": "paper", "status": "terminated",
                    "trial_id": f"{value}-{size}-{seed}", "data.dataset": "cifar10", "data.size": size,
                    "data.resolution": None, "model.width": 128, "model.depth": 2, "data.seed": 0, "seed": seed,
                    key: value, "epoch": epoch, "images_seen": int(epoch * size), "memorization_ratio": ratio,
                    "memorization_ratio_low": ratio - half, "memorization_ratio_high": ratio + half,
                    "knn_distance": 40 * (1 - ratio), "num_samples": samples, "seconds": epoch,
                    "cost_images": int(epochs[-1] * size), "folder": "/nowhere", **fixed,
                })  # fmt: skip
    return typed_frame(rows)
