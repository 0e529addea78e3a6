"""What a sweep will cost: hours of its trials from a short measurement on the device at hand, or from a known speed."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from memo_core.errors import MemosweepError, plural
from memo_core.experiment import Experiment, ModelConfig
from memo_core.results import experiment_id
from memo_core.training.speed import Speed, forward_flops, image_shape, measure_speed

_MEASURING_SECONDS = 120.0
"""For all networks together; those that it does not reach are scaled by their arithmetic."""
_SECONDS_EACH = 3.0
_FORWARDS_PER_STEP = 3
"""The gradient costs about two forward passes."""

Network = tuple[ModelConfig, tuple[int, int, int], str, str, int]
Measure = Callable[[Experiment, str, float], Speed]


@dataclass(frozen=True)
class Cost:
    """Of one trial, alone on its device.

    Attributes:
        images: to train on; none where another trial trains for it.
        hours: of training and of drawing samples; searches for neighbors, checkpoints and starts come on top.
        gpu_hours: the same on a GPU; None for a trial without one.
    """

    images: int
    hours: float
    gpu_hours: float | None


def costs_of(
    trials: Sequence[Experiment],
    resources: Mapping[Literal["cpu", "gpu"], float],
    images_per_second: float | None = None,
    measure: Measure = measure_speed,
    along: Collection[str] = (),
) -> tuple[list[Cost], str]:
    """Return what trials cost, and where the numbers come from, in words.

    Of trials that share a GPU the hours are those of a trial alone, since together they are at most as fast; on several
    GPUs they are assumed to be so many times as fast.

    Args:
        trials: to estimate.
        resources: of one trial.
        images_per_second: in training, of the first trial's network on one device; None measures here.
        measure: as `measure_speed`.
        along: identities of trials that others train for.

    Raises:
        MemosweepError: no speed was given, and the trials want GPUs that are not here, or fine-tune pipelines.
    """
    trained = [trial for trial in trials if trial.model.architecture != "optimum"]
    if images_per_second is None and any(map(_fine_tunes, trained)):
        raise MemosweepError("--estimate: pipelines are not measured here, give --images-per-second of one trial")
    # Pipelines of one sweep cost the same, whatever of them is trained.
    flops = {network_of(trial): 1 if _fine_tunes(trial) else forward_flops(trial) for trial in trained}
    if images_per_second is not None:
        speeds, basis = _known(trained, images_per_second)
    else:
        speeds, basis = _measured(trained, flops, resources, measure)
    gpus = resources.get("gpu", 0)
    costs = []
    for trial in trials:
        if trial.model.architecture == "optimum":
            costs.append(Cost(0, 0.0, 0.0 if gpus else None))
            continue
        speed = _speed_of(network_of(trial), speeds, flops)
        samples = len(trial.evaluation_points) * trial.evaluation.num_samples
        images = 0 if experiment_id(trial.to_flat()) in along else trial.total_images
        hours = (images / speed.images_per_second + samples / speed.samples_per_second) / 3600
        costs.append(Cost(images, hours / max(1.0, gpus), hours if gpus else None))
    return costs, basis


def _fine_tunes(trial: Experiment) -> bool:
    return trial.model.architecture == "pipeline"


def network_of(trial: Experiment) -> Network:
    """Return what the speed of a trial depends on: removed skip connections, dropout and noise levels cost the same."""
    same = {"skip_connections": None, "dropout": 0.0, "preconditioning": "vp"}
    settings = trial.training
    return (
        trial.model.model_copy(update=same),
        image_shape(trial),
        settings.precision,
        settings.compile,
        settings.batch_size,
    )


def _known(trials: Sequence[Experiment], images_per_second: float) -> tuple[dict[Network, Speed], str]:
    if not trials:
        return {}, "nothing is trained"
    steps = trials[0].evaluation.steps
    samples = images_per_second * _FORWARDS_PER_STEP / (2 * steps - 1)
    speed = Speed(images_per_second, samples, trials[0].training.batch_size)
    basis = f"from {images_per_second:,g} images a second of the first trial's network, others by their arithmetic"
    return {network_of(trials[0]): speed}, basis


def _measured(
    trials: Sequence[Experiment],
    flops: Mapping[Network, int],
    resources: Mapping[Literal["cpu", "gpu"], float],
    measure: Measure,
) -> tuple[dict[Network, Speed], str]:
    """Measure the networks that do the most of the work, as far as the time allows."""
    on_gpu = resources.get("gpu", 0) > 0
    if on_gpu and not torch.cuda.is_available():
        raise MemosweepError(
            "--estimate: the trials take GPUs, and this machine has none to measure on; give --images-per-second, "
            "as in docs/performance.md, or measure where the GPUs are"
        )
    torch.set_num_threads(max(1, int(resources.get("cpu", 1))))
    work: dict[Network, float] = {}
    examples: dict[Network, Experiment] = {}
    for trial in trials:
        network = network_of(trial)
        examples.setdefault(network, trial)
        work[network] = work.get(network, 0.0) + flops[network] * trial.total_images
    device = "cuda" if on_gpu else "cpu"
    speeds: dict[Network, Speed] = {}
    start = time.monotonic()
    for network in sorted(work, key=work.__getitem__, reverse=True):
        if speeds and time.monotonic() - start > _MEASURING_SECONDS:
            break
        speeds[network] = measure(examples[network], device, _SECONDS_EACH)
    threads = f"{plural(torch.get_num_threads(), 'thread')} of this machine's CPU"
    where = torch.cuda.get_device_name() if on_gpu else threads
    count = "1 network" if len(speeds) == 1 else f"{len(speeds)} networks"
    rest = len(work) - len(speeds)
    return speeds, f"measured on {where}: {count}{f'; {rest} others by their arithmetic' if rest else ''}"


def _speed_of(network: Network, speeds: Mapping[Network, Speed], flops: Mapping[Network, int]) -> Speed:
    """Return the speed of a network; of one that was not measured, by that of the measured one with the next size."""
    if network in speeds:
        return speeds[network]
    nearest = min(speeds, key=lambda known: abs(flops[known] - flops[network]))
    factor, speed = flops[nearest] / flops[network], speeds[nearest]
    return Speed(speed.images_per_second * factor, speed.samples_per_second * factor, speed.batch_size)
