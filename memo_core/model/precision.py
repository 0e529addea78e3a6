"""How products of float32 numbers are computed on a GPU, for training and sampling alike."""

import contextlib
import os
from collections.abc import Iterator

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
