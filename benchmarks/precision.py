"""Whether memorization ratios depend on `training.precision` and `training.compile`: trainings with several seeds.

    python -m benchmarks.precision --processes 2 --write      # a quarter of an hour on 2 cores

Every seed is trained in every mode: equal data, initial weights, batches, noise and sampling seeds. What differs are
rounding, and what chaos makes of it. Ratios of a mode minus those of strict float32, by seed, have a mean with a 95%
interval (Student's t), which should hold 0; beside it stands how far the seeds lie apart in one mode.
"""

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from scipy import stats

from benchmarks.speed.machine import Machine
from memo_core.command_line import parse_settings
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP, with_settings
from memo_core.files import write_atomically
from memo_core.model.precision import has_bfloat16
from memo_core.terminal import Parser
from memo_core.training import Trainer

RESULT = Path(__file__).parent / "results" / "precision.json"

REFERENCE = "float32, none"
SETTINGS: Mapping[str, Any] = {
    **LAPTOP,
    # Where the ratio is neither 0 nor 1, and rises: it would show a difference best.
    "data.size": 32,
    "training.images": 25_600,
    "training.learning_rate": 5e-3,
    "evaluation.count": 1,
    "evaluation.num_samples": 1_000,
    "evaluation.batch_size": 250,
}


@dataclass(frozen=True)
class Difference:
    """Ratios of a mode minus those of the reference, by seed.

    Attributes:
        mean: over seeds, in points of the ratio (0..1).
        low, high: its 95% interval.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios: Sequence[float], reference: Sequence[float]) -> "Difference":
        """Compare at least two seeds, which are those of the reference."""
        differences = [own - other for own, other in zip(ratios, reference, strict=True)]
        mean, deviation = statistics.mean(differences), statistics.stdev(differences)
        half = float(stats.t.ppf(0.975, len(differences) - 1)) * deviation / math.sqrt(len(differences))
        return cls(mean, mean - half, mean + half)


def modes(device: torch.device) -> tuple[str, ...]:
    """Return the modes of a device, as `PRECISION, COMPILE`."""
    if device.type == "cuda":
        return (REFERENCE, "float32, full", "tf32, graph", "tf32, full", "bfloat16, graph", "bfloat16, full")
    in_bfloat16 = ("bfloat16, none", "bfloat16, full") if has_bfloat16() else ()
    return (REFERENCE, "float32, full", *in_bfloat16)


def train(mode: str, seed: int, settings: Mapping[str, Any], device: str) -> float:
    """Train one seed in one mode, on one CPU thread where there is no GPU; returns the last memorization ratio."""
    torch.set_num_threads(1)
    precision, compile = mode.split(", ")
    changes = {"seed": seed, "data.seed": seed, "training.precision": precision, "training.compile": compile}
    trainer = Trainer(Experiment.from_flat({**settings, **changes}), device)
    *_, last = trainer.evaluations()
    return float(last.metrics["memorization_ratio"])


def measure(
    device: torch.device, seeds: int, processes: int, settings: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    """Train every seed in every mode.

    Args:
        device: where.
        seeds: at least 2.
        processes: trainings at once.
        settings: of the experiment.
        names: modes; the reference is the first one.
    """
    jobs = [(mode, seed) for seed in range(seeds) for mode in names]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        found = pool.map(train, *zip(*jobs, strict=True), [settings] * len(jobs), [str(device)] * len(jobs))
        by_job = dict(zip(jobs, found, strict=True))
    ratios = {mode: [by_job[mode, seed] for seed in range(seeds)] for mode in names}
    return {
        "machine": Machine(device).describe(),
        "settings": dict(settings),
        "modes": {
            mode: {
                "ratios": values,
                "mean": statistics.mean(values),
                "deviation_of_seeds": statistics.stdev(values),
                "minus_reference": asdict(Difference.of(values, ratios[names[0]])),
            }
            for mode, values in ratios.items()
        },
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="at least 2 (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="trainings at once (default: 1)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the experiment")
    parser.add_argument("--write", action="store_true", help=f"put the numbers into benchmarks/results/{RESULT.name}")
    options = parser.parse_args(arguments)
    if options.seeds < 2 or options.processes < 1:
        parser.error(f"--seeds {options.seeds} --processes {options.processes}: at least 2 and 1 are needed")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = with_settings(SETTINGS, parse_settings(options.set))
    found = measure(device, options.seeds, options.processes, settings, modes(device))
    text = json.dumps(found, indent=1)
    print(text)
    if options.write:
        write_atomically(RESULT, f"{text}\n".encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
