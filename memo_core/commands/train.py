"""Train one experiment and report its memorization ratio at every evaluation."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from memo_core.command_line import parse_device, parse_settings
from memo_core.commands.progress import progress_bar
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import PRESETS, experiment_from
from memo_core.files import check_output_folder

if TYPE_CHECKING:
    from memo_core.training.trainer import Trainer

_SMALL_NETWORK = 2_000_000
"""Parameters below which one thread is faster than several."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_experiment_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("results/experiment"), metavar="DIR",
                        help="folder of the checkpoint (default: %(default)s)")  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N",
                        help="CPU threads (default: 1 for small networks, else all)")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU when there is one)")


def add_experiment_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--preset` and `--set`, which together describe one experiment."""
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default="laptop", help="settings to start from (default: %(default)s)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="change a setting of the preset, for example --set data.size=64")  # fmt: skip


def experiment_of(options: argparse.Namespace) -> Experiment:
    """Return the experiment that `--preset` and `--set` describe."""
    return experiment_from(options.preset, parse_settings(options.set))


def run(options: argparse.Namespace) -> None:
    """Train to the end of the budget, keeping a checkpoint at each evaluation."""
    from memo_core.training.checkpoint import CHECKPOINT_FILE, load_checkpoint, save_checkpoint  # noqa: PLC0415
    from memo_core.training.trainer import Trainer  # noqa: PLC0415

    check_output_folder(options.out, "--out")
    exists = (options.out / CHECKPOINT_FILE).exists()
    if exists and not options.resume:
        raise MemosweepError(f"{options.out} holds a checkpoint: --resume continues it, --out names another folder")
    if options.resume and not exists:
        raise MemosweepError(f"{options.out} holds no checkpoint to resume")
    trainer = Trainer(experiment_of(options), parse_device(options.device))
    _set_threads(options.threads, trainer)
    if options.resume:
        load_checkpoint(trainer, options.out)
    console = Console()
    with progress_bar() as progress:
        task = progress.add_task("training", total=trainer.experiment.total_images, completed=trainer.images_seen)
        for evaluation in trainer.evaluations(lambda seen: progress.update(task, completed=seen)):
            save_checkpoint(trainer, options.out)
            numbers = evaluation.metrics
            console.print(
                f"epoch {numbers['epoch']:,.0f}  images {numbers['images_seen']:,}  loss {numbers['loss']:.4f}  "
                f"memorization ratio {numbers['memorization_ratio']:.4f} "
                f"[{numbers['memorization_ratio_low']:.4f}, {numbers['memorization_ratio_high']:.4f}]  "
                f"kNN distance {numbers['knn_distance']:.2f}",
                highlight=False,
                soft_wrap=True,
            )
    console.print(f"best memorization ratio {trainer.best_memorization_ratio:.4f}; checkpoint in {options.out}")


def _set_threads(threads: int | None, trainer: "Trainer") -> None:
    import torch  # noqa: PLC0415

    if threads is not None and threads < 1:
        raise MemosweepError(f"--threads {threads}: expected at least 1")
    if threads is None and trainer.state.parameters.values.numel() < _SMALL_NETWORK:
        threads = 1
    if threads is not None:
        torch.set_num_threads(threads)
