"""What a run is computed on, in words: processor, cores, memory, accelerators."""

import os
import platform
from collections import Counter
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def describe_hardware() -> str:
    """Return the machine of this process, such as `AMD EPYC 9354, 16 cores, 128 GiB memory, 2 x NVIDIA H100`.

    What the system does not say is left out; of a cluster it is the machine that the sweep was started on.
    """
    parts = [_processor(), f"{os.cpu_count() or 1} cores", _memory(), *_accelerators()]
    return ", ".join(part for part in parts if part)


def _processor() -> str:
    try:
        lines = CPU_INFO.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named and named[0] else platform.processor() or platform.machine()


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf, others lack the name
        return ""
    return f"{size / 2**30:.3g} GiB memory" if size > 0 else ""


def _accelerators() -> list[str]:
    import torch  # noqa: PLC0415 (seconds to import)

    try:
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    except (RuntimeError, AssertionError):  # a driver that does not answer is no reason to stop a sweep
        return []
    return [f"{count} x {name}" if count > 1 else name for name, count in Counter(names).items()]
