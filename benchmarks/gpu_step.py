"""Training, sampling and neighbor search on one NVIDIA GPU, side by side with the published kind of loop.

    python -m benchmarks.gpu_step --json FILE [--golden DIR] [--parts peaks,small,large,...] [--budget SECONDS]

Each part is measured by itself: one that fails is reported, and the others go on. Times are medians of interleaved
repeats, with the smallest and the largest. The published loop is this network under Adam without fusion, with a
clean-up and an average for each parameter, channels first, in float32 without TF32; cuDNN picks kernels by trial.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_checks import golden_agreement, resume_agreement
from benchmarks.speed.loops import Batch, kernels_by_trial, published_loop
from memo_core.experiment import ModelConfig
from memo_core.measure.nearest import nearest_neighbors
from memo_core.measure.products import Float32Products, Int8Products
from memo_core.model import NetworkDenoiser, build_denoiser
from memo_core.model.precision import gpu_arithmetic
from memo_core.sampling import generate
from memo_core.training.steps.captured import CapturedStep, compiled_loss
from memo_core.training.steps.step import TrainingState, denoising_loss, to_float, training_step

GPU = torch.device("cuda")
Run = Callable[[], object]

SIZES = {
    "small": (ModelConfig(width=16, depth=1), 8, 1, 64),
    "large": (ModelConfig(width=128, depth=2), 32, 3, 512),
}
"""Network, resolution, channels, batch: the laptop preset's and the paper's."""

COMPILED = (("large", "bfloat16"), ("large", "tf32"), ("small", "float32"), ("small", "bfloat16"))
"""Compiled by processes of their own at the start, which fill the compiler's cache side by side."""


def seconds(run: Run, repeats: int = 1) -> float:
    """Seconds of one run on the GPU, by its own clock."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    for _ in range(repeats):
        run()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end) / 1e3 / repeats)


def interleaved(runs: dict[str, Run], rounds: int, repeats: int = 1) -> dict[str, dict[str, float]]:
    """Median, smallest and largest seconds of each run, after one run to warm up; one that fails is left out."""
    times: dict[str, list[float]] = {}
    for name, run in runs.items():
        try:
            run()
            torch.cuda.synchronize()
            times[name] = []
        except Exception as error:
            print(f"  {name}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            torch.cuda.empty_cache()
    for _ in range(rounds):
        for name, values in times.items():
            values.append(seconds(runs[name], repeats))
    return {n: {"median": statistics.median(v), "low": min(v), "high": max(v)} for n, v in times.items()}


def measure_peaks() -> dict[str, float]:
    """Matrix products of 8,192 by 8,192 random numbers in TFLOP/s (int8: TOP/s), copies in TB/s, read and written."""
    size, found = 8192, {}
    a, b = torch.randn(2, size, size, device=GPU).unbind()
    operations = 2 * size**3 / 1e12
    with gpu_arithmetic("float32", GPU):
        found["float32"] = operations / interleaved({"run": lambda: a @ b}, 5)["run"]["median"]
    with gpu_arithmetic("tf32", GPU):
        found["tf32"] = operations / interleaved({"run": lambda: a @ b}, 7, 5)["run"]["median"]
    c, d = a.bfloat16(), b.bfloat16()
    found["bfloat16"] = operations / interleaved({"run": lambda: c @ d}, 9, 10)["run"]["median"]
    e, f = (torch.randint(-128, 128, (size, size), device=GPU).to(torch.int8) for _ in range(2))
    found["int8"] = operations / interleaved({"run": lambda: torch._int_mm(e, f.t())}, 7, 5)["run"]["median"]
    source = torch.randn(2**30, device=GPU)
    target = torch.empty_like(source)
    found["copy"] = 2 * 4 * 2**30 / 1e12 / interleaved({"run": lambda: target.copy_(source)}, 7, 3)["run"]["median"]
    return found


class Setup:
    """One size of network with a batch on the GPU."""

    def __init__(self, size: str) -> None:
        self.config, self.resolution, self.channels, self.batch_size = SIZES[size]
        shape = (self.batch_size, self.channels, self.resolution, self.resolution)
        self.images = torch.randint(0, 256, shape, device=GPU).to(torch.uint8)
        self.sigma, self.noise = torch.rand(self.batch_size, device=GPU) * 3 + 0.1, torch.randn(shape, device=GPU)
        self.pool = torch.cuda.graph_pool_handle()

    def build(self, precision: str = "float32") -> NetworkDenoiser:
        """A network of this size."""
        return build_denoiser(self.config, self.resolution, self.channels, 0, device=GPU, precision=precision)

    def gigaflops(self) -> float:
        """Of one image's forward and backward pass, counted from the operations; on the CPU, for one image."""
        network = build_denoiser(self.config, self.resolution, self.channels, 0).train()
        with FlopCounterMode(display=False) as counter:
            image = to_float(self.images[:1].cpu())
            denoising_loss(network, image, None, self.sigma[:1].cpu(), self.noise[:1].cpu()).backward()  # type: ignore[no-untyped-call]
        return float(counter.get_total_flops() / 1e9)

    def ours(self, precision: str, mode: str, scope: Callable[[], AbstractContextManager[None]] = nullcontext) -> Run:
        """Our step; mode as `training.compile`, what `scope` returns is entered inside of its arithmetic."""
        state = TrainingState.create(self.build(precision).train(), self.build(precision))
        step = training_step
        if mode != "none":
            loss = compiled_loss(GPU) if mode == "full" else denoising_loss
            step = CapturedStep(loss, pool=self.pool)  # type: ignore[assignment]

        def run() -> None:
            with gpu_arithmetic(precision, GPU), scope():
                step(state, self.images, None, self.sigma, self.noise, 1e-4, 0.99)

        return run

    def published(self, tf32_convolutions: bool) -> Run:
        """The published kind of loop."""
        return published_loop(self.build(), Batch(self.images, self.sigma, self.noise), tf32_convolutions)


def measure_steps(size: str, peaks: dict[str, float]) -> dict[str, Any]:
    """Seconds a step of each kind, with its share of the bf16 peak and its speed relative to the published loop."""
    setup = Setup(size)
    gigaflops = setup.gigaflops()
    small = size == "small"
    rounds, repeats = (9, 20) if small else (5, 1)
    best = setup.ours("bfloat16", "full")
    uncaptured: dict[str, Run] = {
        "ours bfloat16 full": best,
        "published float32": setup.published(False),
        "published float32, TF32 convolutions": setup.published(True),
        "ours float32 none": setup.ours("float32", "none"),
        "ours float32 none, any kernels": setup.ours("float32", "none", lambda: kernels_by_trial(False)),
        "ours tf32 none": setup.ours("tf32", "none"),
        "ours bfloat16 none": setup.ours("bfloat16", "none"),
    }
    found = interleaved(uncaptured, rounds, repeats)
    del uncaptured
    torch.cuda.empty_cache()
    captured: dict[str, Run] = {
        "ours bfloat16 full": best,
        "ours bfloat16 graph": setup.ours("bfloat16", "graph"),
        "ours tf32 full": setup.ours("tf32", "full"),
        "ours tf32 graph": setup.ours("tf32", "graph"),
        "ours float32 graph": setup.ours("float32", "graph"),
        **({"ours float32 full": setup.ours("float32", "full")} if small else {}),
    }
    again = interleaved(captured, rounds, repeats)
    if "ours bfloat16 full" in again:
        again["ours bfloat16 full (second time)"] = again.pop("ours bfloat16 full")
    found = {**found, **again}
    published = found.get("published float32", {}).get("median", float("nan"))
    for numbers in found.values():
        rate = setup.batch_size * gigaflops / 1e3 / numbers["median"]
        numbers |= {
            "images_per_second": setup.batch_size / numbers["median"],
            "teraflops": rate,
            "share_of_bfloat16_peak": rate / peaks.get("bfloat16", float("nan")),
            "published_over_this": published / numbers["median"],
        }
    return {"gigaflops_per_image": gigaflops, "steps": found, "memory_gib": torch.cuda.max_memory_reserved() / 2**30}


def measure_sampling() -> dict[str, float]:
    """Images a second of the paper's network, 18 steps, 500 at once."""
    setup, found = Setup("large"), {}
    for precision in ("float32", "tf32", "bfloat16"):
        network = setup.build(precision).eval().requires_grad_(False)
        generate(network, range(500), steps=2)
        start = time.perf_counter()
        generate(network, range(500))
        found[precision] = 500 / (time.perf_counter() - start)
    return found


def measure_neighbors() -> dict[str, dict[str, float]]:
    """Seconds for 10,000 among 50,000 images of 3,072 values: ours, cdist + topk in blocks, the bare products."""
    generator = torch.Generator(GPU).manual_seed(0)

    def draw(count: int, values: int) -> Tensor:
        return torch.randint(0, values, (count, 3, 32, 32), generator=generator, device=GPU).to(torch.uint8)

    training = draw(50_000, 256)
    queries = training[:10_000] ^ draw(10_000, 64)
    a, b = (images.flatten(1).float() for images in (queries, training))
    c, d = ((images.flatten(1).short() - 128).to(torch.int8) for images in (queries, training))

    def blocks(run: Callable[[Tensor], object], rows: Tensor) -> None:
        for part in rows.split(2048):  # type: ignore[no-untyped-call]
            run(part)

    runs: dict[str, Run] = {
        "ours, 2 neighbors": lambda: nearest_neighbors(queries, training, 2),
        "ours, 50 neighbors": lambda: nearest_neighbors(queries, training, 50),
        "ours, float32, 2 neighbors": lambda: nearest_neighbors(queries, training, 2, Float32Products()),
        "ours, float32, 50 neighbors": lambda: nearest_neighbors(queries, training, 50, Float32Products()),
        "ours, int8, 50 neighbors": lambda: nearest_neighbors(queries, training, 50, Int8Products()),
        "cdist + topk, 2 neighbors": lambda: blocks(lambda p: torch.cdist(p, b).topk(2, largest=False), a),
        "cdist + topk, 50 neighbors": lambda: blocks(lambda p: torch.cdist(p, b).topk(50, largest=False), a),
        "bare product float32": lambda: blocks(lambda p: p @ b.T, a),
        "bare product int8": lambda: blocks(lambda p: torch._int_mm(p, d.T), c),
    }
    return interleaved(runs, 5)


def fill_cache(size: str, precision: str) -> None:
    """Compile one kind of step, so that the next process finds it."""
    setup = Setup(size)
    network = setup.build(precision).train()
    with gpu_arithmetic(precision, GPU):
        compiled_loss(GPU)(network, to_float(setup.images), None, setup.sigma, setup.noise).backward()  # type: ignore[no-untyped-call]


def start_compilers() -> list[subprocess.Popen[bytes]]:
    """Start a process for each of `COMPILED`."""
    command = [sys.executable, "-m", "benchmarks.gpu_step", "--fill-cache"]
    return [subprocess.Popen([*command, size, precision]) for size, precision in COMPILED]


def _table(results: dict[str, Any]) -> str:
    lines = []
    for part, found in results.items():
        lines.append(f"== {part}")
        for name, numbers in found.get("steps", found).items() if isinstance(found, dict) else [("", found)]:
            row = numbers.items() if isinstance(numbers, dict) else [("", numbers)]
            text = "  ".join(f"{k} {v:.5g}" if isinstance(v, float) else f"{k} {v}" for k, v in row)
            lines.append(f"{name:40} {text}")
    return "\n".join(lines)


def main() -> None:
    """Measure the parts, write the JSON after each, print one table at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--golden", type=Path, help="folder with the golden training steps")
    parser.add_argument("--parts", default="peaks,golden,large,neighbors,resume,small,sampling")
    parser.add_argument("--budget", type=float, default=270, help="seconds after which no part is begun")
    parser.add_argument("--fill-cache", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill_cache:
        return fill_cache(*options.fill_cache)
    began = time.perf_counter()
    results: dict[str, Any] = {"device": {"name": torch.cuda.get_device_name(), "torch": torch.__version__}}
    compilers: list[subprocess.Popen[bytes]] = []

    def wait() -> None:
        while compilers:
            compilers.pop().wait()

    def after_compilers(measure: Callable[[], Any]) -> Any:
        wait()
        return measure()

    parts: dict[str, Callable[[], Any]] = {
        "peaks": measure_peaks,
        "golden": lambda: golden_agreement(options.golden, GPU) if options.golden else {},
        "resume": lambda: after_compilers(lambda: resume_agreement(GPU)),
        "small": lambda: after_compilers(lambda: measure_steps("small", results.get("peaks", {}))),
        "large": lambda: after_compilers(lambda: measure_steps("large", results.get("peaks", {}))),
        "neighbors": lambda: after_compilers(measure_neighbors),
        "sampling": lambda: after_compilers(measure_sampling),
    }
    asked = options.parts.split(",")
    for name in asked:
        start = time.perf_counter()
        if start - began > options.budget:
            results[name] = "not begun: out of time"
            continue
        print(f"{name} ...", flush=True)
        try:
            results[name] = parts[name]()
        except Exception as error:
            traceback.print_exc()
            results[name] = f"{type(error).__name__}: {str(error)[:300]}"
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
        torch.cuda.empty_cache()
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))
        if name == "peaks" and {"small", "large"} & {*asked}:
            compilers += start_compilers()
    wait()
    print(_table(results))
    return None


if __name__ == "__main__":
    main()
