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
from dataclasses import replace

import torch

from benchmarks.speed.comparison import pair
from benchmarks.speed.machine import Machine, Run
from memo_core.command_line import parse_device, parse_settings
from memo_core.data.training_set import TrainingSet
from memo_core.experiment import Experiment
from memo_core.experiment.presets import PRESETS, with_settings
from memo_core.randomness import named_generator
from memo_core.text.latents import encode
from memo_core.text.learner import PipelineLearner
from memo_core.text.pipeline import load_pipeline

_IMAGES = 16


def _steps(experiment: Experiment, resolution: int, device: torch.device) -> dict[str, Run]:
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


def _peaks(steps: dict[str, Run], device: torch.device) -> dict[str, float]:
    """Return the GiB of a GPU's memory that a step of each kind takes at its peak; nothing on a CPU."""
    peaks: dict[str, float] = {}
    if device.type == "cuda":
        for name, step in steps.items():
            torch.cuda.reset_peak_memory_stats(device)
            step()
            peaks[f"{name}_peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return peaks


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
    steps = _steps(experiment, options.resolution, device)
    peaks = _peaks(steps, device)
    machine = Machine(device, options.threads, options.rounds)
    cached, encoded = steps.items()
    result = {**pair(cached, encoded, machine, options.steps), **peaks}
    if device.type != "cuda":
        result["process_peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    described = {"device": str(device), "pipeline": experiment.text.pipeline, "method": experiment.text.method}
    print(json.dumps({**described, "images_per_step": experiment.images_per_step, **result}))


if __name__ == "__main__":
    main()
