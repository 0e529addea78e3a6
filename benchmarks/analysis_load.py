"""How fast results are read: a synthetic experiment folder as Tune writes it, loaded without and with its cache.

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


def write_experiment(folder: Path, trials: int, evaluations: int, state: bool = True) -> None:
    """Write an experiment folder of made-up logistic ratio curves, deterministic.

    Args:
        folder: is created.
        trials: number of trial folders.
        evaluations: lines of each `result.json`.
        state: write `experiment_state-*.json` too, of Tune's size (26 kB a trial).
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    states = []
    for index in range(trials):
        trial_id = f"0ab1c_{index:05d}"
        size, width = SIZES[index % len(SIZES)], WIDTHS[index // len(SIZES) % len(WIDTHS)]
        config = {**CONFIG, "data.size": size, "model.width": width, "seed": index // (len(SIZES) * len(WIDTHS))}
        results = _results(config, trial_id, evaluations, random)
        inner = folder / f"size={size},width={width},seed={config['seed']}_{trial_id}"
        inner.mkdir()
        (inner / "result.json").write_text("".join(json.dumps(result) + "\n" for result in results))
        (inner / "params.json").write_text(json.dumps(config, indent=2, sort_keys=True))
        states.append(_state(config, results[-1], trial_id))
    manifest = {"plan": {"factor": {"name": "width", "key": "model.width"}, "preset": "paper"}}
    (folder / "sweep.json").write_text(json.dumps({**manifest, "started": "2025-02-01T00:00:00+00:00"}))
    if state:
        content = json.dumps({"trial_data": states, "runner_data": {}, "stats": {}})
        (folder / "experiment_state-2025-02-01_00-00-00.json").write_text(content)


def _results(config: dict[str, Any], trial_id: str, count: int, random: np.random.Generator) -> list[dict[str, Any]]:
    results, highest = [], 0.0
    final = 1 / (1 + (config["data.size"] / (10 * config["model.width"])) ** 2)
    for step in range(1, count + 1):
        ratio = round(10_000 * final / (1 + math.exp(4 - 8 * step / count)) + random.integers(0, 50)) / 10_050
        highest = max(highest, ratio)
        images = 2_500_000 * step
        results.append({
            "epoch": images / config["data.size"], "images_seen": images, "loss": float(random.random()),
            "memorization_ratio": ratio, "memorization_ratio_low": max(0.0, ratio - 0.009),
            "memorization_ratio_high": min(1.0, ratio + 0.009), "knn_distance": 40 * (1 - ratio),
            "num_samples": 10_000, "best_memorization_ratio": highest, "images_per_second": 812.3456789,
            "timestamp": 1738368000 + step, "checkpoint_dir_name": f"checkpoint_{step:06d}",
            "should_checkpoint": True, "done": False, "training_iteration": step, "trial_id": trial_id,
            "date": "2025-02-01_00-00-00", "time_this_iter_s": 3077.5, "time_total_s": 3077.5 * step, "pid": 1234,
            "hostname": "node", "node_ip": "10.0.0.1", "config": config,
            "time_since_restore": 3077.5 * step, "iterations_since_restore": step,
        })  # fmt: skip
    return results


def _state(config: dict[str, Any], last: dict[str, Any], trial_id: str) -> list[str]:
    description = {
        "stub": False, "trainable_name": "train_trial", "trial_id": trial_id, "config": config,
        "_Trial__unresolved_config": config, "evaluated_params": {}, "status": "TERMINATED", "storage": "80" * 900,
    }  # fmt: skip
    analyzed = {key: dict.fromkeys(("max", "min", "avg", "last", "last-5-avg", "last-10-avg"), 0.123456789012)
                for key in (*last, *config)}  # fmt: skip
    runtime = {"start_time": 0.0, "last_result": {**last, "done": True}, "metric_analysis": analyzed,
               "metric_n_steps": dict.fromkeys(last, "80" * 60)}  # fmt: skip
    return [json.dumps(description, indent=2), json.dumps(runtime, indent=2)]


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
