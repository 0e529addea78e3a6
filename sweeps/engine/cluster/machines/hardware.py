"""What a run is computed on, in words: processor, cores, memory, accelerators."""

import contextlib
import os
import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CPU_INFO = Path("/proc/cpuinfo")


def describe_hardware() -> str:
    """Return the machine of this process, such as `AMD EPYC 9354, 16 cores, 128 GiB memory, 2 x NVIDIA H100`.

    What the system does not say is left out; of a cluster it is the machine that the sweep was started on.
    """
    return ", ".join([describe_machine(), *_accelerators()])


def describe_machine() -> str:
    """Return the machine without its accelerators, which take seconds to ask for."""
    parts = [_processor(), f"{os.cpu_count() or 1} cores", _memory()]
    return ", ".join(part for part in parts if part)


def describe_nodes(seconds: float = 10) -> list[str]:
    """Return the machines of the Ray session, equal ones once, such as `3 x AMD EPYC 9354, 16 cores, 2 x H100`.

    Each node is asked in a task that needs no CPU. Of a node that does not answer in time, what Ray knows is returned;
    without a session, nothing.

    Args:
        seconds: to wait for all answers together.
    """
    import ray  # noqa: PLC0415 (seconds to import)
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415

    if not ray.is_initialized():
        return []
    task = ray.remote(num_cpus=0, max_retries=0)(describe_machine)
    asked = {}
    for node in ray.nodes():
        if node["Alive"]:
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[task.options(scheduling_strategy=here).remote()] = node["Resources"]
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=seconds) if asked else ([], [])
    for answer in late:
        with contextlib.suppress(Exception):
            ray.cancel(answer, force=True)
    texts: Counter[str] = Counter()
    for answer, resources in asked.items():
        text = f"{resources.get('CPU', 0):g} CPUs"
        if answer in ready:
            with contextlib.suppress(Exception):  # a node that was lost, or one without this package
                text = ray.get(answer)
        texts[", ".join([text, *_accelerators_of(resources)])] += 1
    return [f"{count} x {text}" if count > 1 else text for text, count in texts.most_common()]


def _accelerators_of(resources: Mapping[str, Any]) -> list[str]:
    """Return the GPUs of a node as Ray counts them; their type is a resource of its own, `accelerator_type:H100`."""
    count = resources.get("GPU", 0)
    if not count:
        return []
    kinds = sorted(name.partition(":")[2] for name in resources if name.startswith("accelerator_type:"))
    return [f"{count:g} x {' and '.join(kinds) or 'GPU'}" if count != 1 else " and ".join(kinds) or "1 GPU"]


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
