"""Which skip connections are kept: masks in encoder order, the highest resolution first (paper, section 4.3)."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from memo_core.randomness import named_seed

Mask = tuple[int, ...]


def mask_of(length: int, kept: Iterable[int]) -> Mask:
    """Return the mask that keeps the connections at the given positions."""
    chosen = set(kept)
    return tuple(int(position in chosen) for position in range(length))


def _within_one_resolution(resolutions: int, per_resolution: int) -> list[tuple[int, ...]]:
    groups = [range(index * per_resolution, (index + 1) * per_resolution) for index in range(resolutions)]
    return [
        chosen
        for count in range(1, per_resolution + 1)
        for group in groups
        for chosen in itertools.combinations(group, count)
    ]


def kept_at_one_resolution(resolutions: int, per_resolution: int) -> tuple[Mask, ...]:
    """Return all masks that keep 1, 2, ... connections of a single resolution and no other (Fig. 4a, 4c)."""
    length = resolutions * per_resolution
    return tuple(mask_of(length, chosen) for chosen in _within_one_resolution(resolutions, per_resolution))


def deleted_at_one_resolution(resolutions: int, per_resolution: int) -> tuple[Mask, ...]:
    """Return all masks that remove 1, 2, ... connections of a single resolution and keep the rest (Fig. 8b)."""
    return tuple(tuple(1 - bit for bit in mask) for mask in kept_at_one_resolution(resolutions, per_resolution))


def single_kept(length: int) -> tuple[Mask, ...]:
    """Return the masks that keep one connection (Fig. 4b, 4d)."""
    return tuple(mask_of(length, (position,)) for position in range(length))


def random_kept(length: int, counts: Sequence[int], combinations: int, seed: int = 0) -> tuple[Mask, ...]:
    """Draw distinct random masks that keep each count: `combinations` of them, or all there are (Fig. 8a)."""
    masks: list[Mask] = []
    for count in counts:
        every = [mask_of(length, kept) for kept in itertools.combinations(range(length), count)]
        generator = np.random.default_rng(named_seed(seed, "skip_connections", count))
        chosen = generator.choice(len(every), size=min(combinations, len(every)), replace=False)
        masks.extend(every[index] for index in chosen)
    return tuple(masks)
