"""How many GPUs trials on this machine could use, without loading torch."""

import contextlib
import ctypes
import importlib.util
import runpy
from pathlib import Path
from typing import Any

_DRIVER = "libcuda.so.1"


def count_gpus() -> int:
    """Return the GPUs that PyTorch would use here: those that the driver shows within `CUDA_VISIBLE_DEVICES`.

    0 where torch was built for CPUs alone, or no driver answers. Builds for other GPUs than NVIDIA's are asked
    themselves, which loads torch.
    """
    build = torch_build()
    if build.get("cuda"):
        return count_by_driver()
    if not build.get("hip"):
        return 0
    import torch  # noqa: PLC0415 (seconds to import)

    return torch.cuda.device_count()


def torch_build() -> dict[str, Any]:
    """Return what the installed torch was built for (`cuda`, `hip`: a version or None), from its own small file."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return {}
    file = Path(found.origin).with_name("version.py")
    # A module of a few assignments, which imports nothing of torch.
    return runpy.run_path(str(file)) if file.exists() else {}


def count_by_driver(library: str = _DRIVER) -> int:
    """Return the GPUs that NVIDIA's driver shows to this process; 0 where there is no driver or it does not answer."""
    count = ctypes.c_int(0)
    with contextlib.suppress(OSError, AttributeError):
        driver = ctypes.CDLL(library)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0
