"""Named, separate random generators: changing one factor leaves the other draws as they were."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

IMAGE_SEEDS_PER_EXPERIMENT = 1_000_000


def named_seed(seed: int, *names: str | int) -> int:
    """Derive an independent 63-bit seed from an experiment's seed and a purpose.

    Args:
        seed: the experiment's seed (`seed` or `data.seed`).
        names: the purpose ("subset", "labels", "noise", ...), with an index where there are many.

    Returns:
        An integer in [0, 2^63), the same on every machine and in every Python process.
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def named_generator(seed: int, *names: str | int, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """Return a torch generator on `device` that draws the stream called `names` of `seed`."""
    import torch  # noqa: PLC0415 - seconds that seeds alone need not wait for

    return torch.Generator(device=device).manual_seed(named_seed(seed, *names))


def image_seeds(seed: int, count: int) -> range:
    """Return the per-image sampling seeds of an experiment: seed 0 draws images 0, 1, 2, ... as EDM does."""
    start = seed * IMAGE_SEEDS_PER_EXPERIMENT
    return range(start, start + count)
