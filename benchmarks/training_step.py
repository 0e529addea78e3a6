"""The training step against a plain PyTorch loop over the same network, side by side and interleaved.

    python -m benchmarks.training_step                      # laptop network, one thread
    python -m benchmarks.training_step --preset paper --set training.batch_size=8 --threads 2 --steps 3
    python -m benchmarks.training_step --num-labels 50000 --preset paper --set training.batch_size=8 --steps 2

With `--num-labels` the other side is our own step of a network with so many labels instead (the unique labels of
Fig. 5c): `other_over_ours` is then its time over that of the unconditional network.

The plain loop is what a reader of the paper would write: torch.optim.Adam over the network's own parameters, a
clean-up of each gradient, an EMA update of each tensor.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable

import torch

from memo_core.command_line import parse_settings
from memo_core.experiment import Experiment
from memo_core.experiment.presets import PRESETS, with_settings
from memo_core.model import NetworkDenoiser, build_denoiser
from memo_core.training.step import TrainingState, denoising_loss, to_float, training_step

Step = Callable[[], object]


def _batch(experiment: Experiment, resolution: int, channels: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    count = experiment.training.batch_size
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, resolution, resolution), generator=generator).to(torch.uint8)
    return images, torch.rand(count, generator=generator) + 0.1, torch.randn(images.shape, generator=generator)


def _steps(experiment: Experiment, resolution: int, channels: int) -> tuple[Step, Step]:
    """Ours, and the plain loop's."""
    images, sigma, noise = _batch(experiment, resolution, channels)

    def build() -> NetworkDenoiser:
        return build_denoiser(experiment.model, resolution, channels, 0)

    state = TrainingState.create(build().train(), build(), experiment.training.weight_decay)
    plain = build().train()
    average = copy.deepcopy(plain).eval().requires_grad_(False)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-4)

    def ours() -> None:
        training_step(state, images, None, sigma, noise, learning_rate=1e-4, ema_decay=0.99)

    def plain_loop() -> None:
        optimizer.zero_grad(set_to_none=True)
        denoising_loss(plain, to_float(images), None, sigma, noise).backward()  # type: ignore[no-untyped-call]
        for parameter in plain.parameters():
            if parameter.grad is not None:
                torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
        optimizer.step()
        for own, other in zip(average.parameters(), plain.parameters(), strict=True):
            own.copy_(other.detach().lerp(own, 0.99))

    return ours, plain_loop


def _labeled_step(experiment: Experiment, resolution: int, channels: int, num_labels: int) -> Step:
    images, sigma, noise = _batch(experiment, resolution, channels)
    labels = torch.randint(num_labels, (len(images),), generator=torch.Generator().manual_seed(0))

    def build() -> NetworkDenoiser:
        return build_denoiser(experiment.model, resolution, channels, num_labels)

    state = TrainingState.create(build().train(), build(), experiment.training.weight_decay)
    return lambda: training_step(state, images, labels, sigma, noise, learning_rate=1e-4, ema_decay=0.99)


def measure(ours: Step, plain_loop: Step, rounds: int, steps: int) -> dict[str, float]:
    """Median milliseconds of process time a step, and the ratio of the two, pair by pair."""
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    ours()
    plain_loop()
    for _ in range(rounds):
        for name, step in (("ours", ours), ("plain", plain_loop)):
            # The time that this process computed: other programs on the machine do not count.
            start = time.process_time()
            for _ in range(steps):
                step()
            times[name].append((time.process_time() - start) / steps * 1e3)
    ratios = [plain / own for plain, own in zip(times["plain"], times["ours"], strict=True)]
    return {
        "ours_ms": statistics.median(times["ours"]),
        "other_ms": statistics.median(times["plain"]),
        "other_over_ours": statistics.median(ratios),
        "other_over_ours_low": min(ratios),
        "other_over_ours_high": max(ratios),
    }


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
    ours, other = _steps(experiment, resolution, channels)
    if options.num_labels:
        other = _labeled_step(experiment, resolution, channels, options.num_labels)
    result = measure(ours, other, options.rounds, options.steps)
    print(json.dumps({"threads": options.threads, "batch_size": experiment.training.batch_size, **result}))


if __name__ == "__main__":
    main()
