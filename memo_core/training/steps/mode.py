"""How the steps of one training compute: `training.precision` and `training.compile`, with `auto` decided."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from memo_core.data.training_set import TrainingSet
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.model.flops import forward_flops

TRAINING_PASSES = 3
"""Operations of a training step in units of the forward pass."""
CPU_FLOPS_PER_SECOND = 5e10
"""Of a step on a CPU, roughly: it decides only what is worth a compilation."""
_COMPILATION_SECONDS = 240.0
"""Of the step and of sampling, generously."""
_SMALL_FLOPS = 1e8
"""Of an image, forward, up to which a network's step is more than its arithmetic."""
_SAVED = {"small": 0.1, "large": 0.03, "bfloat16": 0.3}
"""What compiling saves of a step on a CPU, at least as measured (docs/performance.md): of float32 in small and in large
networks, and in bfloat16, where it is the conversions."""

_PRECISIONS, _COMPILE = ("float32", "tf32", "bfloat16"), ("auto", "none", "graph", "full")


@dataclass(frozen=True)
class StepMode:
    """How the steps of one training compute, from its first step to its last.

    Attributes:
        precision: `float32`, `tf32` or `bfloat16`.
        compile: as `choose_step` takes it; `auto` on a GPU alone.
    """

    precision: str
    compile: str

    @classmethod
    def of(cls, precision: str, experiment: Experiment, data: TrainingSet, device: torch.device) -> "StepMode":
        """Decide `training.compile` for a precision.

        On a CPU `auto` is `full` where it saves more than a compilation takes: by the number of steps and the size of
        the network, so that an experiment is computed in one way on every machine with a C++ compiler.
        """
        mode = experiment.training.compile
        if mode == "auto" and device.type == "cpu":
            mode = "full" if _compiling_pays(precision, experiment, data) and _has_compiler() else "none"
        return cls(precision, mode)

    def to_dict(self) -> dict[str, str]:
        """Return what a checkpoint holds."""
        return asdict(self)

    @classmethod
    def from_checkpoint(cls, content: Mapping[str, Any], device: torch.device | str) -> "StepMode":
        """Read the mode of a checkpoint's training; older ones do not hold it, and `auto` was `none` on a CPU.

        Args:
            content: of the checkpoint, with its `experiment`.
            device: where the training goes on.

        Raises:
            MemosweepError: it is damaged.
        """
        settings = content["experiment"]
        stored = content.get("step_mode")
        if stored is None:
            mode = settings["training.compile"]
            on_cpu = torch.device(device).type == "cpu"
            stored = {
                "precision": settings["training.precision"],
                "compile": "none" if mode == "auto" and on_cpu else mode,
            }
        if not isinstance(stored, dict) or stored.keys() != {"precision", "compile"}:
            raise MemosweepError("a damaged checkpoint, 'step_mode' is not a precision and a way to compile")
        if stored["precision"] not in _PRECISIONS or stored["compile"] not in _COMPILE:
            raise MemosweepError("a damaged checkpoint, 'step_mode' names no known precision, or no way to compile")
        return cls(**stored)


def _compiling_pays(precision: str, experiment: Experiment, data: TrainingSet) -> bool:
    channels, resolution, _ = data.image_shape
    flops = forward_flops(experiment.model, resolution, channels, data.num_labels)
    seconds = TRAINING_PASSES * flops * experiment.total_images / CPU_FLOPS_PER_SECOND
    kind = precision if precision in _SAVED else "small" if flops <= _SMALL_FLOPS else "large"
    return _SAVED[kind] * seconds > _COMPILATION_SECONDS


def _has_compiler() -> bool:
    """Whether there is a C++ compiler, as PyTorch looks for one."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))
