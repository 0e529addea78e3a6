"""Nested, class-balanced orders of a source: a training set of size n is the first n of its order."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64

from memo_core.data.sources import ImageSource
from memo_core.errors import MemosweepError, plural
from memo_core.randomness import named_generator

Classes = int | tuple[int, ...] | None


def _permutation(count: int, seed: int, *names: str | int) -> Int64[np.ndarray, " n"]:
    return torch.randperm(count, generator=named_generator(seed, *names)).numpy()


def choose_classes(source: ImageSource, classes: Classes, seed: int) -> tuple[int, ...] | None:
    """Return the class indices that take part, in the order in which they take turns; None without labels.

    A number C takes the first C of a seeded order, so that fewer classes are a part of more.

    Raises:
        MemosweepError: classes were asked of a source without usable labels, or one that it does not have.
    """
    if source.labels is None:
        if classes is not None:
            source.check_labels(f"data.classes = {classes}")
        return None
    present = np.unique(source.labels).tolist()
    if isinstance(classes, tuple):
        missing = sorted(set(classes) - set(present))
        if missing:
            raise MemosweepError(f"data.classes: {source.name} has no class {missing[0]}, but {present}")
        chosen: Sequence[int] = sorted(classes)
    else:
        chosen = present
    if isinstance(classes, int) and classes > len(chosen):
        has = "1 class" if len(chosen) == 1 else f"{len(chosen)} classes"
        raise MemosweepError(f"data.classes = {classes}: {source.name} has {has}")
    turns = [chosen[index] for index in _permutation(len(chosen), seed, "subset", "classes")]
    return tuple(turns[:classes] if isinstance(classes, int) else turns)


def balanced_order(source: ImageSource, size: int, classes: Classes, seed: int) -> Int64[np.ndarray, " n"]:
    """Return the indices of the first `size` images: classes take turns, each in a seeded order of its own.

    Any prefix holds equal shares of the classes, within one image. Where all classes of an unequal source
    are used, an exhausted class drops out of the turns; where `classes` asks for equal shares, it is refused.

    Args:
        source: the images and their labels.
        size: how many.
        classes: a number of classes, class indices, or None for all.
        seed: the data seed.

    Raises:
        MemosweepError: the source, or one of the chosen classes, has too few images.
    """
    turns = choose_classes(source, classes, seed)
    if turns is None or source.labels is None:
        _check_size(size, source.size, source.name)
        return _permutation(source.size, seed, "subset")[:size]
    members = [np.flatnonzero(source.labels == label) for label in turns]
    members = [own[_permutation(len(own), seed, "subset", label)] for own, label in zip(members, turns, strict=True)]
    among = source.name if classes is None else f"{source.name} restricted to {_count(len(turns))}"
    _check_size(size, sum(map(len, members)), among)
    if classes is not None:
        for position, (own, label) in enumerate(zip(members, turns, strict=True)):
            share = (size - position + len(turns) - 1) // len(turns)
            if share > len(own):
                raise MemosweepError(
                    f"data.size = {size}: class {label} of {source.name} has {plural(len(own), 'image')}, "
                    f"equal shares of {len(turns)} classes need {share}"
                )
    rounds = np.concatenate([np.arange(len(own)) for own in members])
    seats = np.concatenate([np.full(len(own), seat) for seat, own in enumerate(members)])
    order = np.lexsort((seats, rounds))
    return np.concatenate(members)[order][:size]


def _check_size(size: int, available: int, what: str) -> None:
    if size > available:
        raise MemosweepError(f"data.size = {size}: {what} has only {available:,} images")


def _count(classes: int) -> str:
    return "1 class" if classes == 1 else f"{classes} classes"


def from_second_source(size: int, blend_ratio: float) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Return for each of `size` positions whether the second source fills it; evenly spread, so prefixes nest."""
    # The tolerance keeps 0.2 x 5 at 1, whatever the rounding of 0.2.
    counts = np.floor(np.arange(size + 1) * blend_ratio + 1e-9).astype(np.int64)
    chosen: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.diff(counts) > 0
    return chosen
