"""What is measured on: a device, its clock and matrix products, and the sizes that suit it."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from memo_core.experiment import ModelConfig
from memo_core.experiment.presets import PAPER
from memo_core.model.precision import gpu_arithmetic

Run = Callable[[], object]

ARITHMETICS = ("float32", "tf32", "bfloat16", "int8")


@dataclass(frozen=True)
class Size:
    """A network and its batch.

    Attributes:
        config: of the network.
        resolution: pixels a side.
        channels: of the images.
        batch_size: images of a step, or drawn at once.
    """

    config: ModelConfig
    resolution: int
    channels: int
    batch_size: int

    def __str__(self) -> str:
        return (
            f"{self.resolution}x{self.resolution}x{self.channels}, width {self.config.width}, depth "
            f"{self.config.depth}, batch {self.batch_size}"
        )


@dataclass(frozen=True)
class Sizes:
    """What is measured on one kind of device.

    Attributes:
        steps: of the training step.
        sampling: networks and images drawn at once.
        neighbors: queries, training images, channels, pixels a side.
        growth: what width, depth and resolution change from.
        widths, depths, resolutions: that are compared.
        sharing: of the trials side by side.
        sharing_counts: how many trials at once; the first is 1.
        sharing_seconds: of one measurement of them.
        matrix: rows and columns of the matrix products of the peak.
        preset: of the trial and the sweep.
        trial: settings of the trial that replace the preset's.
        sweep: likewise, of each trial of the sweep.
        sweep_values: weight decays, a trial each.
    """

    steps: tuple[Size, ...]
    sampling: tuple[Size, ...]
    neighbors: tuple[int, int, int, int]
    growth: Size
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    resolutions: tuple[int, ...]
    sharing: Size
    matrix: int
    preset: str
    trial: Mapping[str, Any] = field(default_factory=dict)
    sweep: Mapping[str, Any] = field(default_factory=dict)
    sweep_values: tuple[float, ...] = (0.0, 1e-3)
    sharing_counts: tuple[int, ...] = (1, 2, 4)
    sharing_seconds: float = 2.0


def _network(width: int, depth: int, dropout: float = 0.0) -> ModelConfig:
    return ModelConfig(width=width, depth=depth, dropout=dropout, preconditioning="edm")


_PAPER = ModelConfig(width=PAPER["model.width"], depth=PAPER["model.depth"])

CPU_SIZES = Sizes(
    steps=(
        Size(_network(16, 1), 8, 1, 32),
        Size(_network(32, 2), 16, 3, 16),
        Size(_network(64, 2), 32, 3, 4),
        Size(_PAPER, 32, 3, 2),
    ),
    sampling=(Size(_network(16, 1), 8, 1, 64), Size(_network(32, 2), 16, 3, 8)),
    neighbors=(500, 20_000, 3, 32),
    growth=Size(_network(32, 1), 16, 3, 8),
    widths=(16, 32, 64),
    depths=(1, 2, 4),
    resolutions=(8, 16, 32),
    sharing=Size(_network(16, 1), 8, 1, 32),
    matrix=2048,
    preset="laptop",
    sweep={"training.images": 4000},
)
"""For 2 cores and less than 10 minutes."""

GPU_SIZES = Sizes(
    steps=(Size(_network(16, 1), 8, 1, 64), Size(_PAPER, 32, 3, 512)),
    sampling=(Size(_PAPER, 32, 3, 500),),
    neighbors=(10_000, 50_000, 3, 32),
    growth=Size(_PAPER, 32, 3, 64),
    widths=(64, 128, 256),
    depths=(1, 2, 4),
    resolutions=(16, 32, 64),
    sharing=Size(_network(16, 1), 8, 1, 64),
    matrix=8192,
    preset="paper",
    # 200 steps, where the paper's trial takes 78,000: compilation and start weigh more here.
    trial={"training.images": 102_400, "evaluation.count": 1, "evaluation.num_samples": 1000},
    sweep={"training.images": 102_400, "evaluation.count": 1, "evaluation.num_samples": 1000},
)
"""The paper's."""


@dataclass(frozen=True)
class Machine:
    """A device, and how long to measure on it.

    Attributes:
        device: where everything runs.
        threads: of a CPU.
        repeats: rounds of each comparison.
        turn_seconds: of one contender in a round, at least one call.
        matrix: rows and columns of `matrix_product`.
    """

    device: torch.device
    threads: int = 1
    repeats: int = 5
    turn_seconds: float = 0.5
    matrix: int = 2048

    @property
    def has_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    @property
    def has_bfloat16(self) -> bool:
        """Whether products of bfloat16 are computed by instructions of their own."""
        if self.has_gpu:
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in names)

    def clock(self) -> float:
        """Return a time in seconds: computed by this process on a CPU; on a GPU, of the day, with its work done.

        What other programs compute does not count on a CPU. Times of several threads add up.
        """
        if not self.has_gpu:
            return time.process_time()
        torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def matrix_product(self, arithmetic: str) -> tuple[Run, float]:
        """Return a product of two square matrices of random numbers, and its operations in GFLOP (int8: GOP).

        Args:
            arithmetic: one of `ARITHMETICS`; `tf32` is `float32` on a CPU.
        """
        size, generator = self.matrix, torch.Generator().manual_seed(0)
        gflop = 2 * size**3 / 1e9
        if arithmetic == "int8":
            numbers = torch.randint(-128, 128, (2, size, size), generator=generator).to(torch.int8).to(self.device)
            return (lambda: torch._int_mm(numbers[0], numbers[1].T)), gflop
        a, b = torch.randn(2, size, size, generator=generator).to(self.device)
        if arithmetic == "bfloat16":
            a, b = a.bfloat16(), b.bfloat16()

        def run() -> None:
            with gpu_arithmetic(arithmetic, self.device):
                a @ b

        return run, gflop

    def describe(self) -> dict[str, Any]:
        """Return what else a reader of the numbers must know."""
        return {
            "device": torch.cuda.get_device_name(self.device) if self.has_gpu else _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "threads": self.threads,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }


def load_average() -> list[float]:
    """Return the processes that computed over the last 1, 5 and 15 minutes."""
    return [round(load, 1) for load in os.getloadavg()]


def _processor() -> str:
    with Path("/proc/cpuinfo").open() if Path("/proc/cpuinfo").exists() else Path(os.devnull).open() as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
