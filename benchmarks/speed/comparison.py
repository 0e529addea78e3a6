"""Contenders measured in turns, so that what else the machine does meets each of them alike."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from benchmarks.speed.machine import Machine, Run
from benchmarks.speed.own_process import OwnProcess
from memo_core.errors import MemosweepError, first_line


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some repeats."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Summarize at least one value."""
        known = list(values)
        return cls(statistics.median(known), min(known), max(known))


@dataclass(frozen=True)
class Contender:
    """Something to be measured.

    Attributes:
        name: unique among those that it is compared with.
        run: one call.
        gflop: operations of a call in 10^9; None where they are not counted.
        peak: the arithmetic of the matrix products that it is held against, one of `ARITHMETICS`.
        images: that a call trains on or draws; 0 where that says nothing.
        note: for the reader.
    """

    name: str
    run: Run
    gflop: float | None = None
    peak: str = "float32"
    images: int = 0
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a part's table.

    Attributes:
        group: what it is compared within.
        name: what was measured.
        seconds: of a call.
        ratio: its time in the unit of the part, round by round.
        share_of_peak: of the speed of the matrix products in the same round, in 0..1 where both compute alike.
        numbers: further figures, by name.
        note: for the reader; why there are no numbers, where there are none.
    """

    group: str
    name: str
    seconds: Spread | None = None
    ratio: Spread | None = None
    share_of_peak: Spread | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Part:
    """One part of the benchmark.

    Attributes:
        title: of its table.
        unit: what `Row.ratio` counts in.
        rows: of its table.
        is_repeated: over several rounds, not measured once.
    """

    title: str
    unit: str
    rows: Sequence[Row]
    is_repeated: bool = True


@dataclass(frozen=True)
class Timings:
    """Seconds of a call by name, one value a round, and why others have none."""

    seconds: Mapping[str, Sequence[float]]
    failures: Mapping[str, str]

    def ratio(self, name: str, unit: str) -> Spread | None:
        """Return the time of one in units of another, round by round; None where either was not measured."""
        if name not in self.seconds or unit not in self.seconds:
            return None
        return Spread.of(own / other for own, other in zip(self.seconds[name], self.seconds[unit], strict=True))


def interleaved(runs: Mapping[str, Run], machine: Machine, calls_a_turn: int | None = None) -> Timings:
    """Measure each run in each round, after two calls to warm up; one that fails is left out.

    Which is first changes from round to round.

    Args:
        runs: by name.
        machine: to measure on.
        calls_a_turn: of each run in a round; None takes as many as fill `machine.turn_seconds`.
    """
    calls: dict[str, int] = {}
    failures: dict[str, str] = {}
    for name, run in runs.items():
        try:
            run()
            fitting = max(1, round(machine.turn_seconds / max(_seconds(run, 1, machine), 1e-6)))
            calls[name] = calls_a_turn or fitting
        # Whatever a compiler, a library or a full memory raises: the others are measured still.
        except Exception as error:
            failures[name] = f"{type(error).__name__}: {first_line(error)}"
            if machine.has_gpu:
                torch.cuda.empty_cache()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(machine.repeats):
        for name in reversed(calls) if number % 2 else calls:
            seconds[name].append(_seconds(runs[name], calls[name], machine))
    return Timings(seconds, failures)


def _seconds(run: Run, calls: int, machine: Machine) -> float:
    if isinstance(run, OwnProcess):
        return run.seconds(calls)
    start = machine.clock()
    for _ in range(calls):
        run()
    return (machine.clock() - start) / calls


def pair(one: tuple[str, Run], other: tuple[str, Run], machine: Machine, calls_a_turn: int) -> dict[str, float]:
    """Measure two runs, each with its name, in turns.

    Returns:
        `ONE_ms` and `OTHER_ms`, medians of a call; `OTHER_over_ONE`, the median of the ratios round by round, and their
        ends as `OTHER_over_ONE_low` and `OTHER_over_ONE_high`.

    Raises:
        MemosweepError: one of them failed.
    """
    timings = interleaved(dict((one, other)), machine, calls_a_turn)
    for name, why in timings.failures.items():
        raise MemosweepError(f"{name}: {why}")
    (unit, _), (name, _) = one, other
    ratio = timings.ratio(name, unit)
    assert ratio is not None
    medians = {f"{each}_ms": 1e3 * statistics.median(timings.seconds[each]) for each in (unit, name)}
    key = f"{name}_over_{unit}"
    return {**medians, key: ratio.median, f"{key}_low": ratio.low, f"{key}_high": ratio.high}


def compare(group: str, contenders: Sequence[Contender], unit: str, machine: Machine) -> list[Row]:
    """Measure contenders and the matrix products that they are held against.

    Args:
        group: names what is compared.
        contenders: of different names.
        unit: the contender in whose time the ratios are.
        machine: to measure on.

    Returns:
        A row for each contender, and one for each kind of matrix product.
    """
    products = {c.peak: machine.matrix_product(c.peak) for c in contenders if c.gflop is not None}
    runs = {_product(peak): run for peak, (run, _) in products.items()} | {c.name: c.run for c in contenders}
    timings = interleaved(runs, machine)
    gflop = {_product(peak): gflop for peak, (_, gflop) in products.items()}
    rows = []
    for contender in [*contenders, *(Contender(_product(p), run, amount, p) for p, (run, amount) in products.items())]:
        name = contender.name
        if name in timings.failures:
            rows.append(Row(group, name, note=timings.failures[name]))
            continue
        seconds = Spread.of(timings.seconds[name])
        product = _product(contender.peak)
        share = None
        if contender.gflop is not None and name != product and product in timings.seconds:
            share = share_of_peak(timings.seconds[name], contender.gflop, timings.seconds[product], gflop[product])
        numbers = {} if contender.gflop is None else {"gflop": contender.gflop}
        if contender.gflop is not None:
            numbers["gflop_per_second"] = contender.gflop / seconds.median
        if contender.images:
            numbers["images_per_second"] = contender.images / seconds.median
        ratio = None if name == product else timings.ratio(name, unit)
        rows.append(Row(group, name, seconds, ratio, share, numbers, contender.note))
    return rows


def share_of_peak(
    seconds: Sequence[float], gflop: float, product_seconds: Sequence[float], product_gflop: float
) -> Spread:
    """Return how fast operations went, relative to matrix products of the same rounds."""
    pairs = zip(seconds, product_seconds, strict=True)
    return Spread.of(gflop / own / (product_gflop / product) for own, product in pairs)


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return p of cost ~ size^p, by least squares in logarithms.

    Args:
        sizes: positive, not all equal.
        costs: positive, as many.
    """
    return statistics.linear_regression([math.log(s) for s in sizes], [math.log(c) for c in costs]).slope


def _product(peak: str) -> str:
    return f"matrix product, {peak}"
