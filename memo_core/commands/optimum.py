"""Evaluate the closed-form optimal denoiser, whose samples are training images (paper, Fig. 1a)."""

import argparse
import json

from memo_core.command_line import parse_device, parse_settings
from memo_core.commands.progress import progress_bar
from memo_core.commands.train import add_experiment_arguments
from memo_core.errors import MemosweepError
from memo_core.experiment.presets import experiment_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_experiment_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU when there is one)")


def run(options: argparse.Namespace) -> None:
    """Sample from the optimum of the training set, and measure the samples."""
    from memo_core.evaluation import evaluate_optimum  # noqa: PLC0415

    changes = parse_settings(options.set)
    architecture = changes.setdefault("model.architecture", "optimum")
    if architecture != "optimum":
        raise MemosweepError(f"--set model.architecture={architecture}: this command takes `optimum` only")
    experiment = experiment_from(options.preset, changes)
    device = parse_device(options.device)
    with progress_bar() as progress:
        task = progress.add_task("sampling", total=experiment.evaluation.num_samples)
        evaluation = evaluate_optimum(experiment, device, lambda count: progress.advance(task, count))
    numbers = evaluation.memorization.summary()
    if options.json:
        print(json.dumps({**numbers, "training_size": experiment.data.size}))
        return
    print(
        f"the optimum of {experiment.data.size:,} training images: memorization ratio "
        f"{numbers['memorization_ratio']:.4f} [{numbers['memorization_ratio_low']:.4f}, "
        f"{numbers['memorization_ratio_high']:.4f}] of {numbers['num_samples']:,} samples, "
        f"kNN distance {numbers['knn_distance']:.3f}"
    )
