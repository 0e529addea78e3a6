"""`--gpus-per-trial auto`: how many trials a GPU is shared by, found on one by training several at once for seconds."""

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from memo_core.errors import MemosweepError, first_line
from memo_core.experiment import Experiment, FlatExperiment

MAX_SHARING = 16
"""Trials on one GPU; each has a CUDA context of some hundred MB."""
_SECONDS = 5.0
_PATIENCE = 600.0
"""Seconds until a process of a measurement is given up; a first compilation takes minutes."""
_GAIN = 1.1
"""How much faster all together must be for twice as many to be worth it."""
_MEMORY_SHARE = 0.9
"""Of a GPU's memory that is taken: evaluations and the compiler need some for moments."""


@dataclass(frozen=True)
class Together:
    """Some trials that trained at once on one device."""

    count: int
    images_per_second: float
    """Of all of them together."""
    memory: int | None
    """Bytes in use on the GPU; None on a CPU."""
    total_memory: int | None

    @property
    def held(self) -> int:
        """How many such trials the memory holds."""
        if not self.memory or not self.total_memory:
            return MAX_SHARING
        return int(_MEMORY_SHARE * self.total_memory / (self.memory / self.count))


def best_sharing(measure: Callable[[int], Together | None], most: int) -> list[Together]:
    """Measure 1, 2, 4, ... trials at once, as long as that makes all together faster; the last is the best.

    Args:
        measure: trains so many at once; None where they do not fit.
        most: trials, at most.

    Returns:
        What was worth it, one trial first; nothing where not even one fits.
    """
    found: list[Together] = []
    count = 1
    while count <= most:
        together = measure(count)
        if together is None or (found and together.images_per_second < _GAIN * found[-1].images_per_second):
            break
        found.append(together)
        if together.held < 2 * count:
            break
        count *= 2
    return found


def measure_together(experiment: FlatExperiment, count: int, cpus: int, device: str) -> Together | None:
    """Train `count` times the same experiment at once, each in a process of its own; None where they do not fit.

    Args:
        experiment: what to train.
        count: how many processes.
        cpus: that all of them share.
        device: `cuda` or `cpu`.
    """
    request = {"experiment": experiment, "device": device, "threads": max(1, cpus // count), "seconds": _SECONDS}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with ExitStack() as stack:
        processes = []
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, "-m", "memo_core.training.speed"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            # One that hangs ends, and counts as one that does not fit.
            limit = threading.Timer(_PATIENCE, process.kill)
            limit.daemon = True
            limit.start()
            stack.callback(limit.cancel)
            processes.append(process)
            _send(process, json.dumps(request))
        # All have allocated and compiled before the time of any counts.
        if any(_receive(process) != "ready" for process in processes):
            return None
        for process in processes:
            _send(process, "go")
        speeds = [json.loads(answer) for answer in map(_receive, processes) if answer]
    if len(speeds) < count:
        return None
    memory = max((speed["memory"] for speed in speeds if speed["memory"]), default=None)
    rate = sum(speed["images_per_second"] for speed in speeds)
    return Together(count, rate, memory, speeds[0]["total_memory"])


def _send(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    except OSError:  # it has ended, which shows by its answer
        return


def _receive(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def find_sharing(
    trials: Sequence[Experiment], cpus_per_gpu: int, gpus: int, total: int | None = None
) -> tuple[float, str]:
    """Return the share of a GPU that a trial gets, and why, in words; measured with the trial that needs the most.

    Ray must have been started; the measurement takes one whole GPU of it, on whatever node.

    Args:
        trials: of the plan.
        cpus_per_gpu: that trials on one GPU share.
        gpus: of the cluster.
        total: how many trials there will be; None where that is not known.

    Raises:
        MemosweepError: not even one trial fits on a GPU, or the measurement failed.
    """
    import ray  # noqa: PLC0415 (seconds to import)

    from memo_core.training.speed import forward_flops  # noqa: PLC0415 (loads torch)

    trained = [trial for trial in trials if trial.model.architecture != "optimum"]
    if not trained:
        return 1.0, "a whole GPU each: nothing is trained"
    largest = max(trained, key=lambda trial: forward_flops(trial) * _images_at_once(trial))
    most = max(1, min(MAX_SHARING, cpus_per_gpu, math.ceil((total or MAX_SHARING * gpus) / max(1, gpus))))
    task = ray.remote(num_gpus=1, num_cpus=cpus_per_gpu, max_retries=0)(_search)
    try:
        found = ray.get(task.remote(largest.to_flat(), most, cpus_per_gpu))
    except Exception as error:
        raise MemosweepError(f"--gpus-per-trial auto: the measurement failed ({first_line(error)})") from None
    if not found:
        advice = "set training.micro_batch_size, or give --gpus-per-trial"
        raise MemosweepError(f"--gpus-per-trial auto: not even one trial trains on a GPU; {advice}")
    return 1 / found[-1].count, _described(found)


def _images_at_once(trial: Experiment) -> int:
    settings = trial.training
    return min(settings.batch_size, settings.micro_batch_size or settings.batch_size)


def _search(experiment: dict[str, Any], most: int, cpus: int) -> list[Together]:
    return best_sharing(lambda count: measure_together(experiment, count, cpus, "cuda"), most)


def _described(found: Sequence[Together]) -> str:
    alone, best = found[0], found[-1]
    speed = f"{best.images_per_second:,.0f} images a second"
    if best.count == 1:
        return f"a whole GPU each: {speed}, and two at once would not be faster or not fit"
    return f"{best.count} trials on a GPU: {speed} together, {alone.images_per_second:,.0f} alone"
