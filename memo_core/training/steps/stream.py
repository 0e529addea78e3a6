"""The endless stream of training indices: for each order of the images, a pure function of its position."""

import torch
from jaxtyping import Int64
from torch import Tensor

from memo_core.experiment.sections import Order
from memo_core.randomness import named_generator

_DRAWS_AT_ONCE = 4096
"""Length of a block of draws with replacement; another value would draw other images."""


class IndexStream:
    """Indices 0..size-1 in blocks laid end to end, and cut into batches of any size.

    A block is an epoch, except for draws with replacement, where it is a fixed number of them. It depends on the
    seed and its own number alone: batches cross the borders of blocks, and a resumed run continues from the number
    of images seen, without replaying anything.

    Args:
        size: |D|, the number of training images; at least 1.
        seed: the experiment's seed.
        order: `cyclic`, `reshuffled` or `replacement`, see `TrainingConfig.order`.
        device: where the batches are wanted; the indices are the same everywhere.
    """

    def __init__(self, size: int, seed: int, order: Order, device: torch.device | str = "cpu") -> None:
        self._size, self._seed, self._order, self._device = size, seed, order, torch.device(device)
        self._length = _DRAWS_AT_ONCE if order == "replacement" else size
        self._number, self._block = -1, torch.empty(0, dtype=torch.int64, device=self._device)

    def batch(self, position: int, count: int) -> Int64[Tensor, " n"]:
        """Return the indices `position`..`position + count - 1` of the stream, int64."""
        parts = [torch.empty(0, dtype=torch.int64, device=self._device)]
        while count > 0:
            number, offset = divmod(position, self._length)
            part = self._block_of(number)[offset : offset + count]
            parts.append(part)
            position, count = position + len(part), count - len(part)
        return torch.cat(parts)

    def _block_of(self, number: int) -> Int64[Tensor, " m"]:
        if self._order == "cyclic":
            number = 0
        if number != self._number:
            block = self._draw(number)
            if self._device.type == "cuda":
                # From pinned memory, so that nobody waits for the steps that the GPU has still to do.
                block = block.pin_memory().to(self._device, non_blocking=True)
            self._number, self._block = number, block
        return self._block

    def _draw(self, number: int) -> Int64[Tensor, " m"]:
        if self._order == "replacement":
            generator = named_generator(self._seed, "order", "replacement", number)
            return torch.randint(self._size, (self._length,), generator=generator)
        return torch.randperm(self._size, generator=named_generator(self._seed, "order", number))
