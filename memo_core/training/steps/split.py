"""How a batch is split among ranks, and in memory: into parts whose sizes differ by at most one."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Split:
    """The parts of each batch that one of several processes takes.

    Attributes:
        rank: of the process, 0 up to `ranks` - 1.
        ranks: how many processes share each batch.
        micro_batch_size: the most images of one part; None takes the process's share at once.
    """

    rank: int = 0
    ranks: int = 1
    micro_batch_size: int | None = None

    def parts(self, batch_size: int) -> list[slice]:
        """Return the parts of a batch that this process takes, none where it has fewer images than ranks."""
        share = evenly(0, batch_size, self.ranks)[self.rank]
        count = share.stop - share.start
        pieces = 1 if self.micro_batch_size is None else -(-count // self.micro_batch_size)
        return [part for part in evenly(share.start, share.stop, max(1, pieces)) if part.stop > part.start]


def evenly(start: int, stop: int, pieces: int) -> Sequence[slice]:
    """Return consecutive slices from `start` to `stop` whose lengths differ by at most one, the longer ones first."""
    length, longer = divmod(stop - start, pieces)
    borders = [start + piece * length + min(piece, longer) for piece in range(pieces + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(borders)]
