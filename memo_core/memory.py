"""Memory that does not suffice, said in one line, and memory that a process keeps; torch is not loaded for it."""

import contextlib
import ctypes
import re
import sys
from collections.abc import Callable, Iterator

from memo_core.errors import MemoryExhaustedError

_SIGNS = re.compile(r"(?i)out of memory|can't allocate memory|not enough memory|ALLOC_FAILED")
"""Of PyTorch's errors: a GPU's, those of the CPU, cuBLAS'."""
_REQUEST = re.compile(r"(?i)(?:tried to|unable to) allocate ([0-9.]+ ?[A-Za-z]+)")


def is_memory_error(error: BaseException) -> bool:
    """Return whether an error says that the memory of the device, or of the machine, does not suffice."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_SIGNS.search(str(error))))


@contextlib.contextmanager
def memory_errors(doing: str, advice: str) -> Iterator[None]:
    """Turn an error over memory that does not suffice into one line.

    Args:
        doing: what needs the memory, as in "out of memory in a training step".
        advice: what would be right.

    Raises:
        MemoryExhaustedError: the memory of the device, or of the machine, does not suffice.
    """
    try:
        yield
    # PyTorch raises RuntimeError on the CPU, and a class of its own, derived from it, on a GPU.
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        request = _REQUEST.search(str(error))
        needed = "" if request is None else f" ({request[1]} more needed)"
        raise MemoryExhaustedError(f"out of memory {doing}{needed}: {advice}") from None


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of `mallopt`, from glibc's malloc.h."""
_KEPT, _IN_HEAP, _IN_HEAP_OF_OLD = 2**31 - 1, 2**30, 2**25


def keep_freed_memory() -> bool:
    """Let the process keep the memory that it frees, for the tensors that the next step allocates.

    By default the C library returns large blocks to Linux, which clears every page anew when they are taken again:
    thousands of page faults in each training step of a small network.

    Returns:
        Whether it is kept: glibc does so, other C libraries are left alone.
    """
    mallopt = _c_function("mallopt")
    if mallopt is None:
        return False
    # Before glibc 2.35 the second limit was capped.
    in_heap = mallopt(_MMAP_THRESHOLD, _IN_HEAP) or mallopt(_MMAP_THRESHOLD, _IN_HEAP_OF_OLD)
    return bool(in_heap and mallopt(_TRIM_THRESHOLD, _KEPT))


def return_freed_memory() -> None:
    """Return the memory that the process kept, once: after a peak that does not come again soon."""
    trim = _c_function("malloc_trim")
    if trim is not None:
        trim(0)


def _c_function(name: str) -> Callable[..., int] | None:
    """Return a function of the C library; None where it has none of that name."""
    if sys.platform != "linux":
        return None
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function
