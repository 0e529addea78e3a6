"""The endless stream of training indices, a pure function of its position."""

import torch
from jaxtyping import Int64
from torch import Tensor

from memo_core.randomness import named_generator


class IndexStream:
    """Per-epoch permutations of 0..size-1, laid end to end and cut into batches.

    Batches cross epoch borders, so every image is drawn equally often. Epoch k's permutation depends on the
    seed and k alone: a resumed run continues from the number of images seen, without replaying anything.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def batch(self, position: int, count: int) -> Int64[Tensor, " n"]:
        """Indices `position`..`position + count - 1` of the stream."""
        parts: list[Tensor] = []
        while count > 0:
            epoch, offset = divmod(position, self._size)
            part = self._permutation_of(epoch)[offset : offset + count]
            parts.append(part)
            position, count = position + len(part), count - len(part)
        return torch.cat(parts)

    def _permutation_of(self, epoch: int) -> Int64[Tensor, " m"]:
        if epoch != self._epoch:
            generator = named_generator(self._seed, "order", epoch)
            self._epoch, self._permutation = epoch, torch.randperm(self._size, generator=generator)
        return self._permutation
