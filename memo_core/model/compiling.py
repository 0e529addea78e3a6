"""The options of torch.compile, for training and sampling alike."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

_Function = TypeVar("_Function", bound=Callable[..., Any])

RECOMPILE_LIMIT = 256
"""Networks compiled by one process: trials of other shapes follow each other in it."""


def compiled(function: _Function, device: torch.device, backend: str = "inductor") -> _Function:
    """Return a function that is compiled as a whole, at the first call for each shape.

    The compiler keeps its kernels on disk, where every trial on the machine finds them.

    Args:
        function: of a network and tensors.
        device: of the network.
        backend: of torch.compile; `aot_eager` follows the whole way without generating code.
    """
    options: dict[str, Any] = {}
    if backend == "inductor" and device.type == "cuda":
        # Group normalization is channels-first by itself, and convolutions would be handed the slow layout.
        options["force_layout_optimization"] = True
        from torch._inductor import config  # noqa: PLC0415

        if hasattr(config, "deterministic"):
            # Otherwise the order of a sum is what was fastest on a busy machine.
            options["deterministic"] = True
    whole: _Function = torch.compile(function, fullgraph=True, dynamic=False, backend=backend, options=options or None)  # type: ignore[assignment]
    return whole
