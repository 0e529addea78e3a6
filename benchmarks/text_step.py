"""A fine-tuning step with latents drawn from cached moments, against one that encodes its images every time.

    python -m benchmarks.text_step                                        # the embedded pipeline, one thread
    python -m benchmarks.text_step --preset paper-text --resolution 256 --set text.pipeline=FOLDER --device cuda
    python -m benchmarks.text_step --preset paper-text --resolution 256 --set text.pipeline=FOLDER --device cuda \\
        --set training.precision=bfloat16 --set text.gradient_checkpointing=true

Both sides take the same step on the same images; the published scripts encode. Peak memory is the GPU's, of a
step of each kind; on a CPU the process's.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from memo_core.command_line import parse_device, parse_settings
from memo_core.data.training_set import TrainingSet
from memo_core.experiment import Experiment
from memo_core.experiment.presets import PRESETS, with_settings
from memo_core.randomness import named_generator
from memo_core.text.latents import encode
from memo_core.text.learner import PipelineLearner
from memo_core.text.pipeline import load_pipeline

Step = Callable[[], object]
_IMAGES = 16


def _steps(experiment: Experiment, resolution: int, device: torch.device) -> dict[str, Step]:
    """Return a step of each kind, which share the network and its optimizer."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (_IMAGES, 3, resolution, resolution), generator=generator).to(torch.uint8)
    data = TrainingSet(images, None, 0, tuple(map(str, range(_IMAGES))), (None,) * _IMAGES).to(device)
    parts = load_pipeline(experiment.text.pipeline, experiment.text.revision)
    learner = PipelineLearner(experiment, data, device, parts)
    noise = named_generator(0, "noise", device=device)
    indices = torch.arange(experiment.images_per_step, device=device) % _IMAGES
    size = experiment.training.batch_size

    def cached() -> None:
        learner.step(indices, 0, noise)

    def encoded() -> None:
        draw = learner.draw_batches

        def encoding(own: torch.Tensor, generator: torch.Generator) -> list[object]:
            batches: list[object] = []
            for batch, part in zip(draw(own, generator), torch.split(own, size), strict=True):
                moments = encode(parts.vae, data.images[part])
                fresh = moments.draw(torch.arange(len(part), device=device), torch.randn_like(moments.mean))
                batches.append(replace(batch, latents=fresh))
            return batches

        learner.draw_batches = encoding  # type: ignore[method-assign, assignment]
        try:
            learner.step(indices, 0, noise)
        finally:
            learner.draw_batches = draw  # type: ignore[method-assign]

    return {"cached": cached, "encoded": encoded}


def measure(steps: dict[str, Step], device: torch.device, rounds: int, count: int) -> dict[str, float]:
    """Return the median milliseconds of a step of each kind, their ratio pair by pair, and the peak memory in GiB."""
    result: dict[str, float] = {}
    on_gpu = device.type == "cuda"
    for name, step in steps.items():
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
        step()
        if on_gpu:
            result[f"{name}_peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    times: dict[str, list[float]] = {name: [] for name in steps}
    # On a CPU the time that this process computed: other programs on the machine do not count.
    clock = time.perf_counter if on_gpu else time.process_time
    for _ in range(rounds):
        for name, step in steps.items():
            start = clock()
            for _ in range(count):
                step()
            if on_gpu:
                torch.cuda.synchronize(device)
            times[name].append((clock() - start) / count * 1e3)
    if not on_gpu:
        result["process_peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    ratios = [encoded / cached for cached, encoded in zip(times["cached"], times["encoded"], strict=True)]
    return {
        "cached_ms": statistics.median(times["cached"]),
        "encoded_ms": statistics.median(times["encoded"]),
        "encoded_over_cached": statistics.median(ratios),
        "encoded_over_cached_low": min(ratios),
        "encoded_over_cached_high": max(ratios),
        **result,
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="laptop-text")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--resolution", type=int, default=8, metavar="PIXELS")
    parser.add_argument("--device")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = parse_device(options.device)
    experiment = Experiment.from_flat(with_settings(PRESETS[options.preset], parse_settings(options.set)))
    result = measure(_steps(experiment, options.resolution, device), device, options.rounds, options.steps)
    described = {"device": str(device), "pipeline": experiment.text.pipeline, "method": experiment.text.method}
    print(json.dumps({**described, "images_per_step": experiment.images_per_step, **result}))


if __name__ == "__main__":
    main()
