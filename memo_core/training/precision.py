"""`training.precision = auto`: the fastest way to compute products on the device at hand, by a short measurement."""

import time

import torch

from memo_core.data.training_set import TrainingSet
from memo_core.experiment import Experiment
from memo_core.model.flops import forward_flops
from memo_core.model.precision import gpu_arithmetic, has_bfloat16
from memo_core.randomness import named_generator
from memo_core.training.learner import DenoiserLearner
from memo_core.training.steps.mode import CPU_FLOPS_PER_SECOND, TRAINING_PASSES, StepMode, saved_by_compiling

_CLEARLY_FASTER = 1.1
"""Than float32, by which another precision must be."""
_SECONDS = 0.3
"""Of one measurement."""
_MEASUREMENTS = 3
_WARM_UP_STEPS = 2


def mode_of(experiment: Experiment, data: TrainingSet, device: torch.device) -> StepMode:
    """Return how the steps of an experiment compute; measured where `training.precision = auto` asks for it."""
    precision = experiment.training.precision
    if precision == "auto":
        return fastest_mode(experiment, data, device)[0]
    return StepMode.of(precision, experiment, data, device)


def fastest_mode(
    experiment: Experiment, data: TrainingSet, device: torch.device, ranks: int = 1
) -> tuple[StepMode, str]:
    """Measure steps in float32, in bfloat16 and, on a GPU, in TF32.

    Another precision than float32 is taken where its steps are clearly faster. A CPU that emulates bfloat16 computes in
    float32. All of them leave memorization ratios within their intervals (`benchmarks.precision`).

    Args:
        experiment: to be trained, with a network of its own.
        data: on the device.
        device: where it is trained.
        ranks: processes that share each batch.

    Returns:
        The mode, and a line for the user.
    """
    candidates = _candidates(device)
    if len(candidates) == 1:
        return StepMode.of("float32", experiment, data, device), (
            "training.precision = auto: float32, this device has no instructions for bfloat16 that are known"
        )
    modes = {precision: StepMode.of(precision, experiment, data, device) for precision in candidates}
    measured = {precision: _seconds_a_step(experiment, data, device, precision, ranks) for precision in candidates}
    seconds = {precision: value * _left(modes[precision], experiment, data) for precision, value in measured.items()}
    fastest = min(candidates, key=seconds.__getitem__)
    chosen = fastest if seconds["float32"] >= _CLEARLY_FASTER * seconds[fastest] else "float32"
    steps = ", ".join(f"{1e3 * value:.3g} ms in {precision}" for precision, value in measured.items())
    compiled = ", before it is compiled" if modes[chosen].compile == "full" else ""
    return modes[chosen], f"training.precision = auto: {chosen} (a step takes {steps}{compiled})"


def _left(mode: StepMode, experiment: Experiment, data: TrainingSet) -> float:
    """Return the share of a measured step's time that is left where a CPU compiles it."""
    if mode.device != "cpu" or mode.compile != "full":
        return 1.0
    return 1 - saved_by_compiling(mode.precision, _flops(experiment, data))


def _flops(experiment: Experiment, data: TrainingSet) -> int:
    channels, resolution, _ = data.image_shape
    return forward_flops(experiment.model, resolution, channels, data.num_labels)


def _candidates(device: torch.device) -> tuple[str, ...]:
    if device.type == "cuda":
        return "float32", "tf32", "bfloat16"
    return ("float32", "bfloat16") if device.type == "cpu" and has_bfloat16() else ("float32",)


def _seconds_a_step(
    experiment: Experiment, data: TrainingSet, device: torch.device, precision: str, ranks: int
) -> float:
    flat = experiment.to_flat()
    # One batch for all candidates, which a CPU takes a second for.
    flat["training.batch_size"] = _images(experiment, data, device, ranks)
    flat["training.precision"] = precision
    # Which precision is faster shows without minutes of compiling.
    flat["training.compile"] = "graph" if device.type == "cuda" and experiment.training.compile != "none" else "none"
    learner = DenoiserLearner(Experiment.from_flat(flat), data, device)
    indices = torch.arange(flat["training.batch_size"], device=device) % len(data)
    noise = named_generator(experiment.seed, "measurement", device=device)

    def steps(count: int) -> float:
        start = _clock(device)
        for _ in range(count):
            learner.step(indices, 0, noise)
        return (_clock(device) - start) / count

    # Dropout draws from the default generator.
    streams = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=streams), gpu_arithmetic(precision, device):
        steps(_WARM_UP_STEPS)
        count = max(1, int(_SECONDS / steps(1)))
        return min(steps(count) for _ in range(_MEASUREMENTS))


def _images(experiment: Experiment, data: TrainingSet, device: torch.device, ranks: int) -> int:
    """Return the batch to measure: the experiment's share of a rank, or what a CPU takes about a second for."""
    count = max(1, experiment.training.batch_size // ranks)
    if device.type == "cuda":
        return count
    return min(count, max(1, int(CPU_FLOPS_PER_SECOND / (TRAINING_PASSES * _flops(experiment, data)))))


def _clock(device: torch.device) -> float:
    """Return seconds of the clock on the wall; on one CPU thread those that it computed, whatever others do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()
