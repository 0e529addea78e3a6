"""The part on trials that share a machine: k processes that train at the same time, each on one thread."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmarks.speed.comparison import Part, Row, Spread
from benchmarks.speed.loops import our_step, training_gflop
from benchmarks.speed.machine import Machine, Run, Sizes

_SHARES = {"step": 1.0, "product": 0.25}
"""Of the seconds of one measurement."""


def measure_sharing(machine: Machine, sizes: Sizes) -> Part:
    """Compare how many images a second k trials train together.

    Args:
        machine: to measure on.
        sizes: of it.
    """
    size = sizes.sharing
    rates: dict[tuple[int, str], list[float]] = {}
    with _workers(max(sizes.sharing_counts), machine, sizes) as workers:
        for _ in range(machine.repeats):
            for count in sizes.sharing_counts:
                for kind, share in _SHARES.items():
                    seconds = share * sizes.sharing_seconds
                    rates.setdefault((count, kind), []).append(_together(workers[:count], kind, seconds))
    gflop = training_gflop(size)
    _, product_gflop = machine.matrix_product("float32")
    return Part(
        f"Trials that share the machine ({size}, one thread each)",
        "one trial alone",
        rows_of(rates, size.batch_size, gflop * size.batch_size, product_gflop, machine.describe()["cores"]),
    )


def rows_of(
    rates: dict[tuple[int, str], list[float]], batch_size: int, step_gflop: float, product_gflop: float, cores: int
) -> list[Row]:
    """Return the rows of measured rates.

    Args:
        rates: by number of trials and what they did (`step`, `product`), of all of them together, a second, by round.
        batch_size: images of a step.
        step_gflop: operations of a step, 10^9.
        product_gflop: those of a matrix product.
        cores: of the machine.
    """
    rows = []
    for count in sorted({count for count, _ in rates}):
        steps, products, alone = rates[count, "step"], rates[count, "product"], rates[1, "step"]
        images = Spread.of(rate * batch_size for rate in steps)
        together = Spread.of(own / one for own, one in zip(steps, alone, strict=True))
        rows.append(
            Row(
                f"{cores} cores",
                f"{count} at once",
                seconds=Spread.of(count / rate for rate in steps),
                ratio=Spread.of(count * one / own for own, one in zip(steps, alone, strict=True)),
                share_of_peak=Spread.of(
                    step * step_gflop / (product * product_gflop) for step, product in zip(steps, products, strict=True)
                ),
                numbers={"images_per_second_together": images.median, "trained_together": together.median},
                note=f"together {images.median:,.0f} images/s, {together.median:.2f} times those of one",
            )
        )
    return rows


@contextmanager
def _workers(count: int, machine: Machine, sizes: Sizes) -> Iterator[Sequence[Connection]]:
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(count)]
    processes = [
        context.Process(target=_work, args=(theirs, str(machine.device), sizes), daemon=True) for _, theirs in pairs
    ]
    for process in processes:
        process.start()
    for _, theirs in pairs:
        theirs.close()
    connections = [ours for ours, _ in pairs]
    try:
        for connection in connections:
            connection.recv()
        yield connections
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _together(workers: Sequence[Connection], kind: str, seconds: float) -> float:
    for worker in workers:
        worker.send((kind, seconds))
    return sum(float(worker.recv()) for worker in workers)


def _work(connection: Any, device_name: str, sizes: Sizes) -> None:
    torch.set_num_threads(1)
    machine = Machine(torch.device(device_name), matrix=sizes.matrix)
    runs = {"step": our_step(sizes.sharing, machine.device), "product": machine.matrix_product("float32")[0]}
    for run in runs.values():
        rate(run, 0.0, machine)
    connection.send("ready")
    while True:
        kind, seconds = connection.recv()
        connection.send(rate(runs[kind], seconds, machine))


def rate(run: Run, seconds: float, machine: Machine) -> float:
    """Return calls a second, by the clock on the wall: others compute at the same time, which is what is measured."""
    calls, burst = 0, 10 if machine.has_gpu else 1
    start = time.perf_counter()
    while True:
        for _ in range(burst):
            run()
        machine.clock()
        calls += burst
        gone = time.perf_counter() - start
        if gone >= seconds:
            return calls / gone
