"""One training in several processes: every rank draws what the whole batch needs and takes its share of it.

Gradients are summed over the ranks, which then all take the same step. Rank 0 alone evaluates, saves and decides; the
others follow it, and help it to draw samples.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import psutil
import torch
import torch.distributed as dist
from torch import Tensor

from memo_core.errors import NotFiniteError
from memo_core.model.denoiser import Denoiser
from memo_core.sampling import generate
from memo_core.training.steps.split import evenly

_JOINING = timedelta(minutes=10)
"""How long a rank waits for the others at the start: they load PyTorch, and may have to fetch their data."""
_PATIENCE = timedelta(hours=6)
"""How long a rank waits for the others, which may be evaluating or saving; whoever started them notices a dead one."""


class Ranks:
    """The processes that train together, seen from one of them. `joined` makes it.

    Attributes:
        rank: of this process; 0 leads.
        size: how many there are, at least 2.
        group: the connections between them; None takes PyTorch's default group.
    """

    def __init__(self, rank: int, size: int, group: dist.ProcessGroup | None = None) -> None:
        self.rank, self.size, self._group = rank, size, group

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over the ranks, which have tensors of one shape; all get the same numbers."""
        dist.all_reduce(tensor, group=self._group)

    def share(self, message: Any) -> Any:
        """Return what rank 0 gives to all; what others give is not looked at."""
        messages = [message]
        dist.broadcast_object_list(messages, src=0, group=self._group, device=torch.device("cpu"))
        return messages[0]

    def gather(self, part: Any) -> list[Any]:
        """Return the parts of all ranks, in their order, on rank 0; nothing on the others."""
        parts: list[Any] = [None] * self.size
        dist.gather_object(part, parts if self.rank == 0 else None, dst=0, group=self._group)
        return parts if self.rank == 0 else []


@contextlib.contextmanager
def joined(address: str, rank: int, size: int, host: str | None = None) -> Iterator[Ranks]:
    """Join the other processes of a training, which do the same.

    Args:
        address: host:port of rank 0, where it listens for the others.
        rank: of this process.
        size: how many there are.
        host: the address of this machine that the others reach it by. Without it, a host name that leads to the machine
            itself (`127.0.1.1`) would keep those on other machines out. `GLOO_SOCKET_IFNAME` and `NCCL_SOCKET_IFNAME`
            are obeyed where they are set.
    """
    interface = None if host is None else interface_of(host)
    if interface is not None:
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(name, interface)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, init_method=f"tcp://{address}", rank=rank, world_size=size, timeout=_JOINING)
    try:
        # Who can be reached at all is known by now, and evaluations of others take hours.
        group = dist.new_group(timeout=_PATIENCE)
        assert isinstance(group, dist.ProcessGroup)
        yield Ranks(rank, size, group)
    finally:
        dist.destroy_process_group()


def interface_of(host: str) -> str | None:
    """Return the network interface with an address, such as `eth0`; None where there is none."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address.partition("%")[0] == host for address in addresses):
            return str(name)
    return None


def shared_generate(ranks: Ranks) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """Return a function like `sampling.generate` for rank 0, whose images are drawn by all ranks.

    The others must be in `help_to_generate`.
    """

    def generate_together(
        denoiser: Denoiser, seeds: Sequence[int], steps: int, batch_size: int, sampler: str = "ode", **_: Any
    ) -> tuple[Tensor, Tensor | None]:
        ranks.share((list(seeds), steps, batch_size, sampler))
        parts = ranks.gather(_own_part(ranks, denoiser, seeds, steps, batch_size, sampler))
        for part in parts:
            if isinstance(part, NotFiniteError):
                raise part
        drawn = [part for part in parts if part is not None]
        labels = [part[1] for part in drawn if part[1] is not None]
        return torch.cat([part[0] for part in drawn]), torch.cat(labels) if labels else None

    return generate_together


def end_evaluation(ranks: Ranks) -> None:
    """Let the other ranks go on training; rank 0 calls it after each evaluation."""
    ranks.share(None)


def help_to_generate(ranks: Ranks, denoiser: Denoiser) -> None:
    """Draw this rank's part of an evaluation's samples, until rank 0 has enough."""
    while (request := ranks.share(None)) is not None:
        ranks.gather(_own_part(ranks, denoiser, *request))


def _own_part(
    ranks: Ranks, denoiser: Denoiser, seeds: Sequence[int], steps: int, batch_size: int, sampler: str
) -> tuple[Tensor, Tensor | None] | NotFiniteError | None:
    own = seeds[evenly(0, len(seeds), ranks.size)[ranks.rank]]
    if not own:
        return None
    try:
        return generate(denoiser, own, steps, batch_size, sampler=sampler)
    except NotFiniteError as error:
        return error
