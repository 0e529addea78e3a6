"""Checks of a file's weights: plain tensors, no larger than their bytes, and those of the network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memo_core.errors import MemosweepError, quoted
from memo_core.model.denoiser import NetworkDenoiser

_WEIGHT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_weights(state: Mapping[str, Any], path: Path) -> None:
    """Refuse weights that are not tensors of floating-point numbers, or larger than their bytes.

    Raises:
        MemosweepError: such a weight, with the file's `path`.
    """
    for name, value in state.items():
        usual = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
        if not usual or value.dtype not in _WEIGHT_TYPES:
            raise MemosweepError(f"{path}: weight {quoted(name)} is not a tensor of floating-point numbers")
        # Stride 0 would blow a few bytes up to any shape.
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise MemosweepError(
                f"{path}: weight {quoted(name)} claims {quoted(list(value.shape))}, more than its bytes hold"
            )


def check_fit(denoiser: NetworkDenoiser, state: Mapping[str, Tensor], misfit: str) -> None:
    """Refuse weights whose names or shapes differ from the network's.

    Raises:
        MemosweepError: the first difference, after `misfit`.
    """
    expected = denoiser.state_dict()
    for name, value in expected.items():
        if name not in state:
            raise MemosweepError(f"{misfit}: {name} is missing")
        if state[name].shape != value.shape:
            raise MemosweepError(f"{misfit}: {name} is {quoted(list(state[name].shape))}, not {list(value.shape)}")
    for name in state:
        if name not in expected:
            raise MemosweepError(f"{misfit}: it has no {quoted(str(name))}")
