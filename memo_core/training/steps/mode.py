"""How the steps of one training compute: `training.precision` and `training.compile`, with `auto` decided."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

import torch

from memo_core.data.training_set import TrainingSet
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.experiment.sections import Compile, Precision
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


@dataclass(frozen=True)
class StepMode:
    """How the steps of one training compute, from its first step to its last.

    Attributes:
        precision: `float32`, `tf32` or `bfloat16`.
        compile: as `choose_step` takes it; `auto` on a GPU alone.
        device: kind that it was decided for, such as `cpu` or `cuda`.
    """

    precision: str
    compile: str
    device: str

    @classmethod
    def of(cls, precision: str, experiment: Experiment, data: TrainingSet, device: torch.device) -> "StepMode":
        """Decide `training.compile` for a precision.

        On a CPU `auto` is `full` where it saves more than a compilation takes: by the number of steps and the size of
        the network, so that an experiment is computed in one way on every machine with a C++ compiler.
        """
        mode = experiment.training.compile
        if mode == "auto" and device.type == "cpu":
            mode = "full" if _compiling_pays(precision, experiment, data) and _has_compiler() else "none"
        return cls(precision, mode, device.type)

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> "StepMode | None":
        """Read the mode that a checkpoint's training began in; None in older ones.

        Raises:
            MemosweepError: it is damaged.
        """
        stored = content.get("step_mode")
        if stored is None:
            return None
        if not isinstance(stored, dict) or stored.keys() != {"precision", "compile", "device"}:
            raise MemosweepError("a damaged checkpoint, 'step_mode' is not a precision, a way to compile and a device")
        for name, values in (("precision", get_args(Precision)), ("compile", get_args(Compile))):
            if stored[name] not in values:
                raise MemosweepError(f"a damaged checkpoint, {name!r} of 'step_mode' is none of {', '.join(values)}")
        return cls(**stored)

    @classmethod
    def continued(
        cls, content: Mapping[str, Any], experiment: Experiment, data: TrainingSet, device: torch.device
    ) -> "StepMode":
        """Return how a training goes on: as it began; on another kind of device, compiled as `auto` means there.

        Args:
            content: of the checkpoint, with its `experiment`.
            experiment: that goes on.
            data: on the device.
            device: where it goes on.

        Raises:
            MemosweepError: the checkpoint is damaged.
        """
        stored, asked = cls.stored(content), experiment.training.compile
        if stored is None:
            # Before modes were stored, `auto` was `none` on a CPU.
            mode = "none" if asked == "auto" and device.type == "cpu" else asked
            return cls(content["experiment"]["training.precision"], mode, device.type)
        if stored.device != device.type and asked == "auto":
            return cls.of(stored.precision, experiment, data, device)
        return stored

    def to_dict(self) -> dict[str, str]:
        """Return what a checkpoint holds."""
        return asdict(self)


def compiles_otherwise(experiment: Experiment, content: Mapping[str, Any], data: TrainingSet) -> bool:
    """Return whether an experiment asked for at once would be compiled where its checkpoint's training was not.

    Or the other way around: budgets may lie on two sides of where compiling pays.
    """
    stored = StepMode.stored(content)
    if stored is None or stored.device != "cpu" or experiment.training.compile != "auto":
        return False
    theirs = Experiment.from_flat(dict(content["experiment"]))
    if theirs.total_images == experiment.total_images:
        return False
    then, now = (_compiling_pays(stored.precision, budget, data) for budget in (theirs, experiment))
    return then != now


def _compiling_pays(precision: str, experiment: Experiment, data: TrainingSet) -> bool:
    channels, resolution, _ = data.image_shape
    flops = forward_flops(experiment.model, resolution, channels, data.num_labels)
    seconds = TRAINING_PASSES * flops * experiment.total_images / CPU_FLOPS_PER_SECOND
    return saved_by_compiling(precision, flops) * seconds > _COMPILATION_SECONDS


def saved_by_compiling(precision: str, flops: int) -> float:
    """Return the share of a step's time on a CPU that compiling saves at least.

    Args:
        precision: of the step.
        flops: of an image, forward.
    """
    return _SAVED[precision if precision in _SAVED else "small" if flops <= _SMALL_FLOPS else "large"]


def _has_compiler() -> bool:
    """Whether there is a C++ compiler, as PyTorch looks for one."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))
