"""How fast results are read: a made-up run's folder, loaded without and with its cache.

    python -m benchmarks.analysis_load --trials 10000 --evaluations 20

The target is 10,000 trials of 20 evaluations in under 10 s the first time and under 1 s after.
"""

import argparse
import json
import math
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import analysis
from memo_core.results import experiment_id, result_lines
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.search.journal import Begun, ended

CONFIG: dict[str, Any] = {
    "data.dataset": "cifar10", "data.size": 1000, "data.resolution": None, "data.classes": None,
    "data.blend_dataset": None, "data.blend_classes": None, "data.blend_ratio": 0.0, "data.labels": "none",
    "data.num_labels": 10, "data.seed": 0, "model.architecture": "ddpmpp", "model.preconditioning": "vp",
    "model.width": 128, "model.depth": 2, "model.time_embedding": "positional",
    "model.skip_connections": [1, 0, 1, 1, 1, 1, 1, 1, 1], "model.dropout": 0.13,
    "model.attention_resolution": None, "model.channel_multipliers": [2, 2, 2], "training.epochs": 40_000.0,
    "training.images": None, "training.batch_size": 512, "training.learning_rate": 2e-4,
    "training.weight_decay": 0.0, "training.ema_decay": 0.99929, "training.warmup_epochs": 200.0,
    "training.precision": "float32", "evaluation.every_epochs": None, "evaluation.every_images": 2_500_000,
    "evaluation.count": None, "evaluation.num_samples": 10_000, "evaluation.steps": 18,
    "evaluation.threshold": 1 / 3, "evaluation.batch_size": 500, "seed": 0,
}  # fmt: skip
SIZES = (500, 1000, 2000, 3000, 4000, 5000, 8000, 16000)
WIDTHS = (128, 192, 256, 320)


def write_experiment(folder: Path, trials: int, evaluations: int) -> None:
    """Write a run's folder of made-up logistic ratio curves, deterministic.

    Args:
        folder: is created.
        trials: number of trial folders.
        evaluations: lines of each `result.json`.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    events = []
    for index in range(trials):
        size, width = SIZES[index % len(SIZES)], WIDTHS[index // len(SIZES) % len(WIDTHS)]
        config = {**CONFIG, "data.size": size, "model.width": width, "seed": index // (len(SIZES) * len(WIDTHS))}
        name = trial_directory(config, ("data.size", "model.width", "seed"))
        rows = _rows(config, evaluations, random)
        # Not by `TrialFolder`, which waits for the disk after each of them.
        inner = folder / name
        inner.mkdir()
        (inner / "result.json").write_text("".join(result_lines(rows, config, done=True)))
        begun = Begun(key=str(index), trial_id=experiment_id(config))
        events += [begun, ended(begun, rows[-1])]
    manifest = {"plan": {"factor": {"name": "width", "key": "model.width"}, "preset": "paper"}}
    (folder / "sweep.json").write_text(json.dumps({**manifest, "started": "2025-02-01T00:00:00+00:00"}))
    (folder / "trials.jsonl").write_text("".join(f"{event.model_dump_json()}\n" for event in events))


def _rows(config: dict[str, Any], count: int, random: np.random.Generator) -> list[dict[str, Any]]:
    rows, highest = [], 0.0
    final = 1 / (1 + (config["data.size"] / (10 * config["model.width"])) ** 2)
    for step in range(1, count + 1):
        ratio = round(10_000 * final / (1 + math.exp(4 - 8 * step / count)) + random.integers(0, 50)) / 10_050
        highest = max(highest, ratio)
        images = 2_500_000 * step
        rows.append({
            "epoch": images / config["data.size"], "images_seen": images, "loss": float(random.random()),
            "memorization_ratio": ratio, "memorization_ratio_low": max(0.0, ratio - 0.009),
            "memorization_ratio_high": min(1.0, ratio + 0.009), "knn_distance": 40 * (1 - ratio),
            "num_samples": 10_000, "best_memorization_ratio": highest, "images_per_second": 812.3456789,
            "timestamp": 1738368000 + step, "time_total_s": 3077.5 * step,
        })  # fmt: skip
    return rows


def main() -> None:
    """Write a folder, load it three times, print seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--evaluations", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "width"
        write_experiment(folder, arguments.trials, arguments.evaluations)
        write_experiment(folder.with_name("warm"), 10, 2)
        total = sum(file.stat().st_size for file in folder.rglob("*.json"))
        print(f"{arguments.trials:,} trials x {arguments.evaluations} evaluations, {total / 1e6:,.0f} MB of JSON")
        analysis.load(folder.with_name("warm"), cache=False)  # import pandas and pyarrow first
        for what in ("first time", "cached", "cached"):
            start, work = time.perf_counter(), time.process_time()
            frame = analysis.load(folder)
            wall, work = time.perf_counter() - start, time.process_time() - work
            print(f"{what}: {wall:.2f} s ({work:.2f} s of one core), {len(frame):,} rows x {frame.shape[1]} columns")
        result = sorted(folder.glob("*/result.json"))[0]
        with result.open("a") as file:
            file.write(result.read_text().splitlines()[-1].replace("50000000", "52500000") + "\n")
        start = time.perf_counter()
        grown = analysis.load(folder)
        print(f"one trial grew: {time.perf_counter() - start:.2f} s, {len(grown):,} rows")
        size = (folder / ".memosweep-cache.parquet").stat().st_size
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"cache {size / 1e6:.1f} MB, peak memory {peak / 1e6:.1f} GB")


if __name__ == "__main__":
    main()
