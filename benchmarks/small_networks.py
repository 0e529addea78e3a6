"""What compiling, bfloat16 and stacking give the training of small networks on a CPU.

    python -m benchmarks.small_networks [--repeats 5] [--json]

Contenders take turns: the published kind of loop, our step in float32 and, where the processor has instructions for
it, in bfloat16, each also compiled (`training.compile=full`), whose first start compiles for minutes; and K trainings
of one shape stacked in one process by `torch.func.vmap`, with one Adam over all of them. Numbers are seconds that the
process computed for a step of one training; ratios are formed round by round.
"""

import argparse
import copy
import json
import sys
import time
from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from benchmarks.speed.comparison import Spread, interleaved
from benchmarks.speed.loops import Batch, build, our_step, published_step
from benchmarks.speed.machine import CPU_SIZES, Machine, Run, Size
from benchmarks.speed.own_process import OwnProcess
from memo_core.model import NetworkDenoiser
from memo_core.terminal import Parser
from memo_core.training.steps.step import to_float

Tensors = dict[str, Tensor]
COUNTS = (2, 4)
"""Trainings stacked in one process."""
OURS, PUBLISHED = "ours", "published loop"


def stacked_step(size: Size, count: int) -> Run:
    """Return a step of `count` trainings at once.

    Clean-up and average are left out, which favors it.

    Args:
        size: of each network and of its batch.
        count: of trainings.
    """
    networks = [build(size).train() for _ in range(count)]
    stacked, buffers = stack_module_state(networks)
    parameters = {name: values.detach() for name, values in stacked.items()}
    skeleton: NetworkDenoiser = copy.deepcopy(networks[0])
    flat = torch.cat([values.reshape(-1) for values in parameters.values()]).requires_grad_()
    optimizer = torch.optim.Adam([flat], lr=1e-4, fused=True)
    batch = Batch.draw(size)
    images, sigma, noise = (
        tensor.expand(count, *tensor.shape).contiguous()
        for tensor in (to_float(batch.images), batch.sigma, batch.noise)
    )

    def loss(
        own: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor, sigma: Tensor, noise: Tensor
    ) -> Tensor:
        level = sigma[:, None, None, None]
        denoised = functional_call(skeleton, (own, buffers), (images + level * noise, sigma, None))
        weight = skeleton.preconditioning.loss_weight(level)
        total: Tensor = (weight * (denoised - images).square()).sum() / len(images)
        return total

    differentiate = vmap(grad_and_value(loss))

    def run() -> None:
        gradients, _ = differentiate(parameters, buffers, images, sigma, noise)
        flat.grad = torch.cat([values.reshape(-1) for values in gradients.values()])
        optimizer.step()

    return run


def measure(machine: Machine, size: Size, counts: tuple[int, ...] = COUNTS, compile: bool = True) -> dict[str, object]:
    """Return seconds of a training's step, and how many times faster each contender is than the published loop.

    Args:
        machine: to measure on, a CPU.
        size: of network and batch.
        counts: of trainings that are stacked.
        compile: measure compiled steps too.
    """
    cpu = torch.device("cpu")
    runs: dict[str, Run] = {
        PUBLISHED: OwnProcess(partial(published_step, size, cpu), machine),
        OURS: our_step(size, cpu, mode="none"),
    }
    if machine.has_bfloat16:
        runs[f"{OURS}, bfloat16"] = our_step(size, cpu, "bfloat16", "none")
    started = {}
    for name in list(runs)[1:] if compile else ():
        compiled = f"{name}, compiled"
        runs[compiled] = our_step(size, cpu, "bfloat16" if "bfloat16" in name else "float32", "full")
        start = time.perf_counter()
        runs[compiled]()
        started[compiled] = time.perf_counter() - start
    shares = dict.fromkeys(runs, 1)
    for count in counts:
        name = f"{count} stacked"
        runs[name], shares[name] = stacked_step(size, count), count
    timings = interleaved(runs, machine)
    found: dict[str, object] = {"size": str(size), "seconds_to_compile": started} if started else {"size": str(size)}
    found |= {"failures": timings.failures} if timings.failures else {}
    for name, seconds in timings.seconds.items():
        own = [value / shares[name] for value in seconds]
        faster = Spread.of(other / value for other, value in zip(timings.seconds[PUBLISHED], own, strict=True))
        found[name] = {"seconds": asdict(Spread.of(own)), "times_faster": asdict(faster)}
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="rounds (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    machine = Machine(torch.device("cpu"), 1, options.repeats, 0.5, CPU_SIZES.matrix)
    small, larger = CPU_SIZES.steps[:2]
    found = {"machine": machine.describe(), "networks": [measure(machine, small), measure(machine, larger, ())]}
    print(json.dumps(found, indent=None if options.json else 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
