"""The peak memory of a process, for scripts that tests start."""

import sys
from pathlib import Path


def peak_bytes() -> int:
    """Return the most memory that this process has held, in bytes.

    The one of `resource` begins with the peak of the process that started it, such as that of the tests.
    """
    if sys.platform != "linux":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
