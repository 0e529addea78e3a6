"""How many images are drawn at once: as many as asked for, or as the free memory holds."""

import math
import weakref
from typing import Any
from weakref import WeakKeyDictionary

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from memo_core.memory import is_memory_error
from memo_core.model.denoiser import Denoiser, NetworkDenoiser
from memo_core.model.precision import gpu_arithmetic
from memo_core.sampling.compiled import network_of

_FEW = 4
"""Images that are drawn without a measurement, which takes as many."""
_GPU_PROBES = 8, 16
"""Images of two passes; a GPU's libraries choose their workspaces by the batch."""
_SHARE = {"cpu": 0.5, "cuda": 0.9}
"""Of the free memory. Other trials on the machine take their part of its memory; a GPU's trial has most to itself."""
_SCRATCH = {"cpu": 3.0, "cuda": 1.0}
"""What a pass takes relative to its tensors: a CPU's kernels have buffers of their own, and its heap has holes."""
_STATE_BYTES = 96
"""For each value of an image: a sampler's float64 state with its slopes and its noise, and the network's input."""

_known: WeakKeyDictionary[NetworkDenoiser, int] = WeakKeyDictionary()


def fitting_batch_size(denoiser: Denoiser, most: int) -> int:
    """Return how many images are drawn at once: `most`, halved until the free memory holds them.

    Halves keep the sizes few, since each is compiled by itself where networks are compiled.

    Args:
        denoiser: of a network; whatever else is given `most` images.
        most: at least 1.
    """
    network = network_of(denoiser)
    if network is None or most <= _FEW:
        return most
    try:
        needed = bytes_per_image(network)
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        return _FEW
    free = free_bytes(network.device) * _SHARE[_kind(network.device)]
    count = most
    while count > 1 and count * needed > free:
        count = -(-count // 2)
    return count


def bytes_per_image(network: NetworkDenoiser) -> int:
    """Return the memory that sampling takes for each image of a batch, measured once for a network by small passes."""
    if network not in _known:
        measured = round(_live_bytes_per_image(network) * _SCRATCH[_kind(network.device)])
        if network.device.type == "cuda":
            measured = max(measured, _allocated_bytes_per_image(network))
        _known[network] = measured + _STATE_BYTES * math.prod(network.image_shape)
    return _known[network]


def free_bytes(device: torch.device) -> int:
    """Return the memory that tensors on a device can still take."""
    if device.type != "cuda":
        return int(psutil.virtual_memory().available)
    free, _ = torch.cuda.mem_get_info(device)
    index = torch.cuda.current_device() if device.index is None else device.index
    # What a captured step holds looks free too, but belongs to its graph.
    cached = sum(
        segment["total_size"] - segment["allocated_size"]
        for segment in torch.cuda.memory_snapshot()  # type: ignore[no-untyped-call]
        if segment["device"] == index and tuple(segment.get("segment_pool_id", (0, 0))) == (0, 0)
    )
    return int(free + cached)


def _kind(device: torch.device) -> str:
    return "cuda" if device.type == "cuda" else "cpu"


def _pass(network: NetworkDenoiser, count: int) -> None:
    x = torch.zeros(count, *network.image_shape, device=network.device)
    labels = torch.zeros(count, dtype=torch.int64, device=network.device) if network.num_labels else None
    with torch.no_grad(), gpu_arithmetic(network.precision, network.device):
        network(x, torch.ones(count, device=network.device), labels)


def _live_bytes_per_image(network: NetworkDenoiser) -> int:
    """Return by how much the tensors that live after an operation grow from a pass of two images to one of three.

    What does not grow with the batch, such as weights in another format, drops out, also where it is the peak of small
    batches.
    """
    live: list[list[int]] = []
    # The first pass makes what later ones find in caches.
    for count in (2, 2, 3):
        with _LiveBytes() as counted:
            _pass(network, count)
        live.append(counted.after)
    of_two, of_three = live[1:]
    if len(of_two) != len(of_three):
        # Other operations were taken for more images: what is left is the growth of the peak.
        return max(0, max(of_three) - max(of_two))
    return max(more - fewer for fewer, more in zip(of_two, of_three, strict=True))


def _allocated_bytes_per_image(network: NetworkDenoiser) -> int:
    """Return the growth of the peak of a GPU's memory, which holds the workspaces of its libraries too."""
    device, (fewer, more) = network.device, _GPU_PROBES
    peaks = []
    for count in (fewer, more):
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        _pass(network, count)
        peaks.append(torch.cuda.max_memory_allocated(device) - before)
    return max(0, peaks[1] - peaks[0]) // (more - fewer)


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that operations return, as long as they live.

    Attributes:
        after: each operation, in their order.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.after: list[int] = []
        self._bytes = 0
        self._seen = WeakIdKeyDictionary()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(returned):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        self.after.append(self._bytes)
        return returned

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage not in self._seen:
            size = storage.nbytes()
            self._seen[storage] = size
            self._bytes += size
            weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self._bytes -= size
