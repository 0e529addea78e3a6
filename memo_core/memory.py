"""Memory that does not suffice, said in one line; torch is not loaded for it."""

import contextlib
import re
from collections.abc import Iterator

from memo_core.errors import MemoryExhaustedError

_SIGNS = re.compile(r"(?i)out of memory|can't allocate memory|not enough memory|ALLOC_FAILED")
"""Of PyTorch's errors: a GPU's, those of the CPU, cuBLAS'."""
_REQUEST = re.compile(r"(?i)(?:tried to|unable to) allocate ([0-9.]+ ?[A-Za-z]+)")


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
        text = str(error)
        if not isinstance(error, MemoryError) and not _SIGNS.search(text):
            raise
        request = _REQUEST.search(text)
        needed = "" if request is None else f" ({request[1]} more needed)"
        raise MemoryExhaustedError(f"out of memory {doing}{needed}: {advice}") from None
