"""How fast a device trains and samples an experiment, and in how much memory, by a short measurement on made-up images.

`python -m memo_core.training.speed` measures in a process of its own, for those that measure several at once: it reads
a request from standard input, says `ready` after its first steps, and starts to measure at the next line.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from memo_core.data.training_set import TrainingSet
from memo_core.errors import MemosweepError
from memo_core.experiment import EMBEDDED_RESOLUTION, Experiment
from memo_core.experiment.sections import EMBEDDED_CLASSES
from memo_core.model.flops import forward_flops as network_flops
from memo_core.sampling import generate
from memo_core.training.precision import mode_of
from memo_core.training.steps.mode import TRAINING_PASSES
from memo_core.training.steps.step import TrainingState
from memo_core.training.trainer import Trainer

_USUAL_RESOLUTION = 32
_COLOR_CHANNELS = 3
_WARM_UP_STEPS = 3
_MADE_UP_IMAGES = 64
_CPU_FLOPS = 1e11
"""Of two threads: only to choose a batch whose step ends within the time of a measurement."""


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        images_per_second: in training.
        samples_per_second: drawn in evaluations, with the experiment's steps.
        batch_size: of the steps that were measured; smaller than the experiment's where one took too long.
        memory: bytes of the GPU in use at the end, by all processes; None on a CPU.
        total_memory: bytes that the GPU has; likewise.
    """

    images_per_second: float
    samples_per_second: float
    batch_size: int
    memory: int | None = None
    total_memory: int | None = None


class _EnoughError(Exception):
    """Ends a measurement within the training loop."""


def image_shape(experiment: Experiment) -> tuple[int, int, int]:
    """Return (C, H, W) of an experiment's images; 32 pixels and three channels where only the data would say."""
    dataset = experiment.data.dataset
    resolution = experiment.data.resolution or EMBEDDED_RESOLUTION.get(dataset, _USUAL_RESOLUTION)
    return (1 if dataset == "digits" else _COLOR_CHANNELS), resolution, resolution


def num_labels(experiment: Experiment) -> int:
    """Return C of an experiment's condition, 0 without one; 10 classes where only the data would say."""
    data = experiment.data
    numbers = {
        "none": 0,
        "random": data.num_labels,
        "unique": data.size,
        "true": EMBEDDED_CLASSES.get(data.dataset, 10),
    }
    return numbers[data.labels]


def forward_flops(experiment: Experiment) -> int:
    """Return the floating-point operations of the network for one image, forward; nothing is computed.

    Raises:
        MemosweepError: the model is a pipeline, whose network would have to be loaded.
    """
    if experiment.model.architecture == "pipeline":
        raise MemosweepError("a pipeline is not measured on made-up images: give a number where auto was asked for")
    channels, resolution, _ = image_shape(experiment)
    return network_flops(experiment.model, resolution, channels, num_labels(experiment))


def measure_speed(
    experiment: Experiment, device: torch.device | str, seconds: float = 5.0, wait: Callable[[], None] = lambda: None
) -> Speed:
    """Train an experiment on made-up images for some seconds, then sample for about as long.

    Args:
        experiment: what to train; its budget and its evaluations do not matter.
        device: where.
        seconds: of training steps, beside the first ones, which compile and allocate.
        wait: called once the first steps are done, before the time counts.

    Raises:
        MemoryExhaustedError: the memory does not suffice.
    """
    device = torch.device(device)
    batch_size, affordable = experiment.training.batch_size, None
    if device.type == "cpu":
        affordable = max(1, int(seconds * _CPU_FLOPS / (TRAINING_PASSES * forward_flops(experiment))))
        batch_size = min(batch_size, affordable)
    data = _made_up(experiment).to(device)
    # By the budget of the experiment, which is replaced below.
    mode = mode_of(experiment, data, device)
    flat = {
        **experiment.to_flat(),
        "training.batch_size": batch_size,
        "training.precision": mode.precision,
        # With an endless budget `auto` compiles, and goes on without where there is no compiler.
        "training.compile": "none" if mode.compile == "none" else experiment.training.compile,
        "training.epochs": None,
        "training.images": 10**12,
        "evaluation.every_epochs": None,
        "evaluation.every_images": None,
        "evaluation.count": 1,
        "evaluation.fid": False,
    }
    trainer = Trainer(Experiment.from_flat(flat), device, data)
    steps, seconds_taken = _time_steps(trainer, device, seconds, wait)
    samples_per_second = _time_samples(trainer, experiment, device, affordable)
    free, total = torch.cuda.mem_get_info(device) if device.type == "cuda" else (0, 0)
    return Speed(
        steps * batch_size / seconds_taken,
        samples_per_second,
        batch_size,
        memory=total - free if total else None,
        total_memory=total or None,
    )


def _made_up(experiment: Experiment) -> TrainingSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (_MADE_UP_IMAGES, *image_shape(experiment)), dtype=torch.uint8, generator=generator)
    labels = num_labels(experiment)
    drawn = torch.randint(labels, (_MADE_UP_IMAGES,), generator=generator) if labels else None
    return TrainingSet(images, drawn, labels, ("",) * _MADE_UP_IMAGES, (None,) * _MADE_UP_IMAGES)


def _time_steps(trainer: Trainer, device: torch.device, seconds: float, wait: Callable[[], None]) -> tuple[int, float]:
    """Return how many steps were taken in how many seconds."""
    taken = 0
    start = 0.0

    def after_step(_: int) -> None:
        nonlocal taken, start
        taken += 1
        if taken == _WARM_UP_STEPS:
            _synchronize(device)
            wait()
            start = time.perf_counter()
        # Steps are only queued on a GPU; looking at the clock costs nothing.
        elif taken > _WARM_UP_STEPS and time.perf_counter() - start >= seconds:
            raise _EnoughError

    try:
        for _ in trainer.evaluations(after_step):
            pass
    except _EnoughError:
        _synchronize(device)
    return taken - _WARM_UP_STEPS, time.perf_counter() - start


def _time_samples(trainer: Trainer, experiment: Experiment, device: torch.device, affordable: int | None) -> float:
    """Return samples drawn in a second; of at most `affordable` at few noise levels, where all would take too long."""
    settings = experiment.evaluation
    count, steps = min(settings.batch_size, settings.num_samples), settings.steps
    if affordable is not None:
        count, steps = min(count, affordable), 2
    assert isinstance(trainer.state, TrainingState)
    generate(trainer.state.ema, range(count), 2, count, sampler=settings.sampler)
    _synchronize(device)
    start = time.perf_counter()
    generate(trainer.state.ema, range(count), steps, count, sampler=settings.sampler)
    _synchronize(device)
    evaluations_of_network = (2 * settings.steps - 1) / (2 * steps - 1)
    return count / ((time.perf_counter() - start) * evaluations_of_network)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Answer one request, as the module says."""
    request: dict[str, Any] = json.loads(sys.stdin.readline())
    torch.set_num_threads(request["threads"])

    def wait() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    speed = measure_speed(Experiment.from_flat(request["experiment"]), request["device"], request["seconds"], wait)
    print(json.dumps(asdict(speed)), flush=True)


if __name__ == "__main__":
    main()
