"""The parts that run a network: the training step, sampling, and how the cost grows with the network's size."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from benchmarks.speed.comparison import Contender, Part, Row, compare, exponent
from benchmarks.speed.loops import (
    WITHOUT_DIFFUSERS,
    Batch,
    build,
    count_gflop,
    diffusers_gflop,
    diffusers_loop,
    diffusers_network,
    has_diffusers,
    our_step,
    published_step,
    training_gflop,
)
from benchmarks.speed.machine import Machine, Run, Size, Sizes
from benchmarks.speed.own_process import OwnProcess
from memo_core.model.precision import gpu_arithmetic
from memo_core.model.unet import count_parameters
from memo_core.sampling import generate

STEPS = 18
EVALUATIONS = 2 * STEPS - 1
"""Passes of the network for one image by Heun's method."""


def measure_steps(machine: Machine, sizes: Sizes) -> Part:
    """Compare training steps."""
    rows: list[Row] = []
    for size in sizes.steps:
        rows += _with_diffusers(str(size), lambda size=size: _steps(machine, size))  # type: ignore[misc]
    return Part("Training step", "ours, float32", rows)


def _steps(machine: Machine, size: Size) -> list[Row]:
    device, count = machine.device, size.batch_size
    gflop = training_gflop(size) * count
    pool = torch.cuda.graph_pool_handle() if machine.has_gpu else None

    def ours(name: str, precision: str, mode: str | None = None) -> Contender:
        run = our_step(size, device, precision, mode, pool)
        return Contender(f"ours, {name}", run, gflop, precision, count)

    contenders = [
        ours("float32", "float32"),
        Contender("published loop, float32", _elsewhere(machine, partial(published_step, size, device)), gflop,
                  images=count, note="this network; Adam, clean-up and average for each parameter"),
    ]  # fmt: skip
    if machine.has_gpu:
        contenders += [
            ours("tf32, compiled", "tf32", "full"),
            ours("bfloat16, captured", "bfloat16", "graph"),
            ours("bfloat16, compiled", "bfloat16", "full"),
        ]
    elif machine.has_bfloat16:
        contenders.append(ours("bfloat16", "bfloat16"))
    if has_diffusers():
        network = diffusers_network(size)
        own = diffusers_gflop(size)
        note = _beside(network, own, build(size), training_gflop(size))
        kinds = (False, True) if machine.has_gpu else (False,)
        for bfloat16 in kinds:
            name = "bfloat16" if bfloat16 else "float32"
            contenders.append(
                Contender(f"diffusers UNet2DModel, {name}",
                          _elsewhere(machine, partial(diffusers_loop, size, device, bfloat16)), own * count, name,
                          count, note)
            )  # fmt: skip
    return compare(str(size), contenders, "ours, float32", machine)


def _beside(network: nn.Module, gflop: float, ours: nn.Module, our_gflop: float) -> str:
    parameters = count_parameters(network) / count_parameters(ours)
    return f"{parameters:.2f} times our parameters, {gflop / our_gflop:.2f} times our operations"


def measure_sampling(machine: Machine, sizes: Sizes) -> Part:
    """Compare the drawing of images by 18 steps of Heun's method."""
    rows: list[Row] = []
    for size in sizes.sampling:
        rows += _with_diffusers(str(size), lambda size=size: _sampling(machine, size))  # type: ignore[misc]
    return Part("Sampling, 18 steps of Heun's method", "ours, float32", rows)


def _sampling(machine: Machine, size: Size) -> list[Row]:
    device, count = machine.device, size.batch_size
    network = build(size, device).eval().requires_grad_(False)
    gflop = EVALUATIONS * count * forward_gflop(size)

    def ours(precision: str) -> Contender:
        own = build(size, device, precision).eval().requires_grad_(False)
        run = lambda: generate(own, range(count), STEPS, count)  # noqa: E731
        return Contender(f"ours, {precision}", run, gflop, precision, count)

    batch = Batch.draw(size, device)

    @torch.inference_mode()
    def passes() -> None:
        with gpu_arithmetic("float32", device):
            for _ in range(EVALUATIONS):
                network(batch.noise, batch.sigma)

    contenders = [ours("float32"), Contender(f"{EVALUATIONS} passes of the network alone", passes, gflop, images=count)]
    if machine.has_bfloat16:
        contenders.append(ours("bfloat16"))
    if has_diffusers():
        other = diffusers_network(size).eval().requires_grad_(False)
        own = EVALUATIONS * count * _diffusers_forward_gflop(other, size)
        run = _elsewhere(machine, partial(_diffusers_sampling, size, device))
        note = f"HeunDiscreteScheduler; {own / gflop:.2f} times our operations"
        contenders.append(Contender("diffusers UNet2DModel, float32", run, own, images=count, note=note))
    return compare(str(size), contenders, "ours, float32", machine)


def forward_gflop(size: Size) -> float:
    """Count the operations of one image's pass through our network, in 10^9."""
    network, batch = build(size).eval(), Batch.draw(Size(size.config, size.resolution, size.channels, 1))
    with torch.no_grad():
        return count_gflop(lambda: network(batch.noise, batch.sigma))


def _diffusers_forward_gflop(network: nn.Module, size: Size) -> float:
    batch = Batch.draw(Size(size.config, size.resolution, size.channels, 1))
    with torch.no_grad():
        return count_gflop(lambda: network(batch.noise, torch.ones(1)))


def _diffusers_sampling(size: Size, device: torch.device) -> Run:
    from diffusers import HeunDiscreteScheduler  # noqa: PLC0415 - optional, and slow to import

    network = diffusers_network(size).to(device).eval().requires_grad_(False)
    scheduler = HeunDiscreteScheduler()
    noise = Batch.draw(size, device).noise

    @torch.inference_mode()
    def run() -> None:
        scheduler.set_timesteps(STEPS, device=device)
        images = noise * scheduler.init_noise_sigma
        with gpu_arithmetic("float32", device):
            for moment in scheduler.timesteps:
                predicted = network(scheduler.scale_model_input(images, moment), moment).sample
                images = scheduler.step(predicted, moment, images).prev_sample

    return run


def _elsewhere(machine: Machine, make: Callable[[], Run]) -> Run:
    """Return what other software computes: on a CPU in a process of its own, whose memory is not kept."""
    return make() if machine.has_gpu else OwnProcess(make, machine)


def _with_diffusers(group: str, measure: Callable[[], list[Row]]) -> list[Row]:
    rows = measure()
    if not has_diffusers():
        rows.append(Row(group, "diffusers UNet2DModel, float32", note=WITHOUT_DIFFUSERS))
    return rows


def measure_growth(machine: Machine, sizes: Sizes) -> Part:
    """Compare our training steps of networks that differ in width, depth or resolution alone."""
    base = sizes.growth
    config = base.config

    def changed(key: str, value: int) -> Size:
        if key == "resolution":
            return Size(config, value, base.channels, base.batch_size)
        return Size(config.model_copy(update={key: value}), base.resolution, base.channels, base.batch_size)

    rows: list[Row] = []
    axes = (("width", sizes.widths), ("depth", sizes.depths), ("resolution", sizes.resolutions))
    for key, values in axes:
        rows += _axis(key, values, [changed(key, value) for value in values], machine)
    return Part(f"Cost of a training image ({base}, one setting changed)", "the smallest", rows)


def _axis(key: str, values: Sequence[int], sizes: Sequence[Size], machine: Machine) -> list[Row]:
    precision = "bfloat16" if machine.has_gpu else "float32"
    pool = torch.cuda.graph_pool_handle() if machine.has_gpu else None
    names = [f"{key} {value}" for value in values]
    contenders = [
        Contender(name, our_step(size, machine.device, precision, pool=pool), training_gflop(size) * size.batch_size,
                  precision, size.batch_size)
        for name, size in zip(names, sizes, strict=True)
    ]  # fmt: skip
    rows = compare(key, contenders, names[0], machine)
    known = [(value, row) for value, row in zip(values, rows, strict=False) if row.seconds is not None]
    if len(known) > 1:
        reached = [value for value, _ in known]
        power = exponent(reached, [row.seconds.median for _, row in known if row.seconds])
        operations = exponent(reached, [row.numbers["gflop"] for _, row in known])
        note = f"time grows as {key}^{power:.2f}, operations as {key}^{operations:.2f}"
        rows.append(Row(key, "growth", numbers={"exponent": power, "exponent_of_operations": operations}, note=note))
    return rows
