"""How products of float32 numbers are computed, for training and sampling alike, and where bfloat16 does not pay."""

import contextlib
import os
from collections.abc import Iterator, Mapping

import torch


@contextlib.contextmanager
def gpu_arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Compute as `training.precision` says, with kernels that give the same numbers in each run.

    On a CPU this changes nothing. On a GPU, PyTorch by itself rounds the factors of float32 convolutions to TF32 (10
    bits) and picks kernels that add in no fixed order.

    Args:
        precision: `float32` is float32 throughout; `tf32` rounds factors of convolutions and matrix products to TF32;
            `bfloat16` does so where autocast leaves float32.
        device: where the network is.
    """
    if device.type != "cuda":
        yield
        return
    matmul, cudnn, deterministic = torch.backends.cuda.matmul, torch.backends.cudnn, torch.utils.deterministic
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark
    mode, fill = torch.get_deterministic_debug_mode(), deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    # cuBLAS reads it when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = precision != "float32"
        cudnn.deterministic, cudnn.benchmark = True, False
        torch.use_deterministic_algorithms(True, warn_only=True)
        deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = before
        torch.set_deterministic_debug_mode(mode)
        deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


_BFLOAT16 = ("avx512_bf16", "amx_bf16", "avx10_2", "arm_bf16", "bf16", "sve_bf16")
"""Instructions for products of bfloat16 numbers, as PyTorch and Linux name them."""


def has_bfloat16(capabilities: Mapping[str, object] | None = None) -> bool | None:
    """Return whether a processor computes products of bfloat16 numbers itself; None where that is not known.

    Args:
        capabilities: of the processor, as `torch.cpu.get_capabilities` names them; None asks this one.
    """
    if capabilities is None:
        # Not in every version of PyTorch that serves.
        asked = getattr(torch.cpu, "get_capabilities", dict)
        capabilities = dict(asked())
    if not any(isinstance(value, bool) for value in capabilities.values()):
        return None
    return any(capabilities.get(name) is True for name in _BFLOAT16)


def emulation_note(precision: str, device: torch.device | str) -> str | None:
    """Return in one line that training in a precision is slow on a device; None where it is not, or not known.

    Args:
        precision: as `training.precision`.
        device: where the network is.
    """
    if precision != "bfloat16" or torch.device(device).type != "cpu" or has_bfloat16() is not False:
        return None
    return (
        "training.precision = bfloat16: this processor has no instructions for it and emulates them, which takes "
        "several times longer than float32"
    )
