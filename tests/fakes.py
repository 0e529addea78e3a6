"""Sweeps that were never trained, as frames and as the folders of runs.

`grid` with `frame` or `write_sweep`: realistic curves with planted effects; `make_table` and `write_trials`: ratios as
a test states them.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.results.columns import typed_frame

BASE: Mapping[str, Any] = {
    "data.dataset": "cifar10",
    "data.size": 1000,
    "data.resolution": None,
    "data.classes": None,
    "data.blend_dataset": None,
    "data.blend_ratio": 0.0,
    "data.labels": "none",
    "data.num_labels": 10,
    "data.seed": 0,
    "model.architecture": "ddpmpp",
    "model.preconditioning": "vp",
    "model.width": 128,
    "model.depth": 2,
    "model.time_embedding": "positional",
    "model.skip_connections": None,
    "model.channel_multipliers": [2, 2, 2],
    "training.epochs": 40_000,
    "training.images": None,
    "training.batch_size": 512,
    "training.learning_rate": 2e-4,
    "training.weight_decay": 0.0,
    "training.ema_decay": 0.99929,
    "evaluation.count": 4,
    "evaluation.num_samples": 2000,
    "seed": 0,
}
SIZES = (1000, 2000)
SLOPE = -2.94
"""Logits per ln|D|: Table 4."""

Settings = Mapping[str, Any]
Shift = Callable[[Settings], float]
Trials = Iterable[tuple[Settings, float]]
"""(changed settings, best ratio) of each trial."""


def grid(**axes: Sequence[Any]) -> list[dict[str, Any]]:
    """The product of settings; a keyword `model__width` stands for the key `model.width`."""
    keys = [key.replace("__", ".") for key in axes]
    return [{**BASE, **dict(zip(keys, values, strict=True))} for values in itertools.product(*axes.values())]


def logit(settings: Settings, shift: Shift) -> float:
    """The paper's Table 4 law (92% at |D| = 1k), and what a test plants beside it."""
    return math.log(0.92 / 0.08) + SLOPE * math.log(settings["data.size"] / 1000) + shift(settings)


def evaluations(settings: Settings, shift: Shift = lambda _: 0.0, seed_spread: float = 0.1) -> list[dict[str, Any]]:
    """What a trial reports: growth over training towards its logit, binomial noise, a deviation per seed."""
    text = json.dumps(settings, sort_keys=True, default=str)
    generator = np.random.default_rng(list(text.encode()))
    target = logit(settings, shift) + seed_spread * generator.standard_normal()
    count, n = settings["evaluation.count"], settings["evaluation.num_samples"]
    rows, best = [], 0.0
    for look in range(1, count + 1):
        epoch = settings["training.epochs"] * look / count
        p = 1 / (1 + math.exp(-(target - 3.0 * (count / look - 1))))
        ratio = generator.binomial(n, p) / n
        best = max(best, ratio)
        half = 1.96 * math.sqrt(ratio * (1 - ratio) / n) + 2 / n
        rows.append(
            {
                "epoch": epoch,
                "images_seen": round(epoch * settings["data.size"]),
                "loss": 0.1 / look,
                "memorization_ratio": ratio,
                "memorization_ratio_low": max(ratio - half, 0.0),
                "memorization_ratio_high": min(ratio + half, 1.0),
                "best_memorization_ratio": best,
                "knn_distance": 6.0 + 30.0 * (1 - ratio),
                "num_samples": n,
                "images_per_second": 1000.0,
                "seconds": 3600.0 * look,
            }
        )
    return rows


def frame(trials: Sequence[Settings], shift: Shift = lambda _: 0.0, seed_spread: float = 0.1) -> pd.DataFrame:
    """The table that `analysis.load` gives of finished trials."""
    rows = []
    for index, settings in enumerate(trials):
        flat = {key: ",".join(map(str, v)) if isinstance(v, list | tuple) else v for key, v in settings.items()}
        common = {
            "experiment": "planted",
            "trial_id": f"p_{index:05d}",
            "status": "terminated",
            **flat,
            "folder": f"nowhere/{index}",
        }
        rows += [{**common, **row} for row in evaluations(settings, shift, seed_spread)]
    return pd.DataFrame(rows)


def write_sweep(
    folder: Path,
    trials: Sequence[Settings],
    shift: Shift = lambda _: 0.0,
    *,
    factor: str = "width",
    key: str = "model.width",
    search: str = "grid",
    unfinished: Sequence[int] = (),
    samples: bool = True,
    **manifest: Any,
) -> Path:
    """A run's folder: `sweep.json`, `trials.jsonl`, results and the samples of the best evaluation.

    Trials in `unfinished` stop after their first evaluation, with half a line behind it.
    """
    folder.mkdir(parents=True)
    varied = [name for name in BASE if len({json.dumps(trial[name]) for trial in trials}) > 1]
    contents = {
        "plan": {
            "factor": {"name": factor, "key": key, "title": None, "scale": None, "dependent": []},
            "preset": "paper",
            "trials": list(trials),
            "varied": varied,
            "search": {"kind": search},
        },
        "resources": {"cpu": 1.0},
        "limits": {"max_failures": 2, "max_concurrent": None, "time_budget": None, "checkpoint_every": 600.0},
        "command": [f"{factor}.py", "--preset", "paper", "--name", "a<b&c"],
        "started": "2026-01-02T03:04:05+00:00",
        "hardware": "x86_64",
        "versions": {"python": "3.11.7", "torch": "2.14.1", "ray": "2.60.0"},
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        **manifest,
    }
    (folder / "sweep.json").write_text(json.dumps(contents))
    events: list[dict[str, Any]] = []
    for index, settings in enumerate(trials):
        trial_id = f"abcde_{index:05d}"
        trial = folder / f"{factor}={index}_{trial_id}"
        trial.mkdir()
        rows = evaluations(settings, shift)
        rows = rows[:1] if index in unfinished else rows
        lines = []
        for number, row in enumerate(rows, 1):
            reported = {name: value for name, value in row.items() if name != "seconds"}
            done = number == len(rows) and index not in unfinished
            extra = {"time_total_s": row["seconds"], "timestamp": 1_700_000_000 + number, "training_iteration": number}
            lines.append(json.dumps({**reported, **extra, "trial_id": trial_id, "done": done, "config": settings}))
        (trial / "result.json").write_text("\n".join(lines) + ("\n{half" if index in unfinished else "\n"))
        events.append({"event": "begun", "key": str(index), "trial_id": trial_id, "full": False})
        if index not in unfinished:
            result = {name: rows[-1][name] for name in ("best_memorization_ratio", "images_seen")}
            end = {"event": "ended", "key": str(index), "trial_id": trial_id, "status": "terminated"}
            events.append({**end, "cause": None, "result": result})
        if samples:
            checkpoint = trial / f"checkpoint_{rows[-1]['images_seen']:012d}"
            write_samples(checkpoint, rows[-1]["memorization_ratio"], settings["data.size"], index)
    (folder / "trials.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def write_samples(folder: Path, ratio: float, size: int, seed: int) -> None:
    """`best.npz` as the trainable leaves it: 64 measured samples, the first 16 as images."""
    generator = np.random.default_rng(seed)
    folder.mkdir()
    memorized = generator.random(64) < ratio
    second = generator.uniform(50, 60, 64)
    np.savez_compressed(
        folder / "best.npz",
        memorized=memorized,
        nearest_index=generator.integers(0, size, 64),
        nearest_distance=second * np.where(memorized, 0.1, 0.8),
        second_distance=second,
        generated=generator.integers(0, 256, (16, 3, 8, 8), dtype=np.uint8),
        nearest=generator.integers(0, 256, (16, 3, 8, 8), dtype=np.uint8),
    )


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


def falling(size: int, emm: float, slope: float = 2.9, zeta: float = 0.1) -> float:
    """The ratio at a size where logit(ratio) falls in ln(size) and crosses 1 - zeta at `emm`."""
    return 1 / (1 + math.exp(-math.log((1 - zeta) / zeta) + slope * math.log(size / emm)))


def write_trials(folder: Path, trials: Trials, key: str = "model.width", **reported: Any) -> Path:
    """A finished sweep with a trial per (changed settings, best ratio); its second evaluation of three is the best.

    Args:
        folder: the sweep's; its name begins the trials' names.
        trials: of 10,000 samples each.
        key: the factor's.
        reported: further numbers of every evaluation.
    """
    folder.mkdir()
    plan = {"factor": {"name": key.rpartition(".")[2], "key": key}, "preset": "paper", "trials": []}
    (folder / "sweep.json").write_text(json.dumps({"plan": plan}))
    for index, (changes, ratio) in enumerate(trials):
        config = {**BASE, "evaluation.num_samples": 10_000, **changes}
        trial = folder / f"trial_{index:05d}"
        trial.mkdir()
        lines = [
            {
                "epoch": epoch, "images_seen": int(epoch * config["data.size"]), "loss": 0.1, "num_samples": 10_000,
                "memorization_ratio": ratio * share, "knn_distance": 5.0, "trial_id": f"{folder.name}_{index:05d}",
                "time_total_s": epoch, "done": epoch == 40_000, "config": config, **reported,
            }
            for epoch, share in ((20_000, 0.5), (30_000, 1.0), (40_000, 0.9))
        ]  # fmt: skip
        (trial / "result.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
