"""The training step against a plain PyTorch loop over the same network, side by side and interleaved.

    python -m benchmarks.training_step                      # laptop network, one thread
    python -m benchmarks.training_step --preset paper --set training.batch_size=8 --threads 2 --steps 3
    python -m benchmarks.training_step --num-labels 50000 --preset paper --set training.batch_size=8 --steps 2

With `--num-labels` the other side is our own step of a network with so many labels instead (the unique labels of
Fig. 5c): `other_over_ours` is then its time over that of the unconditional network.

The plain loop is what a reader of the paper would write (`benchmarks.speed.loops.published_loop`): torch.optim.Adam
over the network's own parameters, a clean-up of each gradient, an EMA update of each tensor, channels first.
"""

import argparse
import json
from functools import partial

import torch

from benchmarks.speed.comparison import pair
from benchmarks.speed.loops import Batch, published_step
from benchmarks.speed.machine import Machine, Run, Size
from benchmarks.speed.own_process import OwnProcess
from memo_core.command_line import parse_settings
from memo_core.experiment import Experiment
from memo_core.experiment.presets import PRESETS, with_settings
from memo_core.memory import keep_freed_memory
from memo_core.model import NetworkDenoiser, build_denoiser
from memo_core.training.steps.step import TrainingState, training_step


def _steps(experiment: Experiment, size: Size, num_labels: int, machine: Machine) -> tuple[Run, Run]:
    """Ours, and the plain loop's; or ours without and with labels."""
    ours = _our_step(experiment, size, 0)
    if num_labels:
        return ours, _our_step(experiment, size, num_labels)
    return ours, OwnProcess(partial(published_step, size, torch.device("cpu")), machine)


def _our_step(experiment: Experiment, size: Size, num_labels: int) -> Run:
    batch = Batch.draw(size)
    labels = None
    if num_labels:
        labels = torch.randint(num_labels, (size.batch_size,), generator=torch.Generator().manual_seed(0))

    def network() -> NetworkDenoiser:
        return build_denoiser(size.config, size.resolution, size.channels, num_labels)

    state = TrainingState.create(network().train(), network(), experiment.training.weight_decay)
    return lambda: training_step(
        state, batch.images, labels, batch.sigma, batch.noise, learning_rate=1e-4, ema_decay=0.99
    )


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="laptop")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--num-labels", type=int, default=0, metavar="C")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = with_settings(PRESETS[options.preset], parse_settings(options.set))
    experiment = Experiment.from_flat(settings)
    resolution, channels = (8, 1) if experiment.data.dataset == "digits" else (experiment.data.resolution or 32, 3)
    size = Size(experiment.model, resolution, channels, experiment.training.batch_size)
    machine = Machine(torch.device("cpu"), options.threads, options.rounds)
    keep_freed_memory()
    ours, other = _steps(experiment, size, options.num_labels, machine)
    result = pair(("ours", ours), ("other", other), machine, options.steps)
    print(json.dumps({"threads": options.threads, "batch_size": experiment.training.batch_size, **result}))


if __name__ == "__main__":
    main()
