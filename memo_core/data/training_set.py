"""The exact training set of an experiment: D = {(x_n, y_n)} of the paper."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from memo_core.data.fingerprint import pixels_sha256
from memo_core.data.image_sets import resize_image
from memo_core.data.labels import describe_folders
from memo_core.data.sources import ImageSource, open_source
from memo_core.data.subset import balanced_order, choose_classes, from_second_source
from memo_core.errors import MemosweepError
from memo_core.experiment import DataConfig
from memo_core.randomness import named_generator

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSet:
    """Images and labels as tensors, and where each image came from."""

    images: UInt8[Tensor, "n c h w"]
    labels: Int[Tensor, " n"] | None
    """Conditions in 0..num_labels-1; None for an unconditional model."""
    num_labels: int
    """C of the condition; 0 for an unconditional model."""
    names: tuple[str, ...]
    """The origin of each image."""
    classes: tuple[int | None, ...]
    """The class of each image in its own source."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def to(self, device: torch.device | str) -> "TrainingSet":
        """Return the same set with its tensors on `device`."""
        labels = None if self.labels is None else self.labels.to(device)
        return TrainingSet(self.images.to(device), labels, self.num_labels, self.names, self.classes)

    @cached_property
    def pixels_sha256(self) -> str:
        """The SHA-256 of shape, pixels and labels, by which a checkpoint knows its images."""
        return pixels_sha256(self.images, self.labels)


def load_training_set(config: DataConfig) -> TrainingSet:
    """Read, choose, resize, blend and label the training images; sizes nest, seeds are named.

    Where a source has classes, they are balanced whether or not the model is conditioned on them. What its classes
    are, or why its labels cannot be used, is logged in one line.

    Raises:
        MemosweepError: the data cannot serve the configuration.
    """
    second = from_second_source(config.size, config.blend_ratio)
    parts: list[list[_Item]] = []
    chosen: list[tuple[int, ...]] = []
    for key, dataset, classes, count in (
        ("data.dataset", config.dataset, config.classes, int((~second).sum())),
        ("data.blend_dataset", config.blend_dataset, config.blend_classes, int(second.sum())),
    ):
        parts.append([])
        if dataset is not None and count:
            source = _open(key, dataset)
            if config.labels == "true" and count == config.size:
                source.check_labels("data.labels = true")
            if source.class_folders:
                _log.info("%s: %s", dataset, describe_folders(source.class_folders))
            order = balanced_order(source, count, classes, config.seed)
            if source.labels_problem is not None:
                _log.info("%s; its labels are not used, and its classes not balanced", source.labels_problem)
            parts[-1] = _read(source, order, config.resolution)
            chosen.append(choose_classes(source, classes, config.seed) or ())
    _check_sources_apart(config, chosen)
    first, blended = iter(parts[0]), iter(parts[1])
    items = [next(blended) if is_second else next(first) for is_second in second]
    labels, num_labels = _labels(config, [item.label for item in items], chosen)
    return TrainingSet(
        torch.from_numpy(_stack(items)),
        None if labels is None else torch.from_numpy(labels),
        num_labels,
        tuple(item.name for item in items),
        tuple(item.label for item in items),
    )


def _open(key: str, dataset: str) -> ImageSource:
    """Open a source; errors over the second one say so."""
    try:
        return open_source(dataset)
    except MemosweepError as error:
        if key == "data.dataset":
            raise
        raise MemosweepError(f"{key}: {error}") from None


def _check_sources_apart(config: DataConfig, chosen: list[tuple[int, ...]]) -> None:
    """Refuse to blend a source with classes that it gives already: both would bring the same images."""
    if len(chosen) < 2 or config.blend_dataset is None or not _is_same(config.dataset, config.blend_dataset):
        return
    first, second = map(set, chosen)
    # Without labels all images are one class.
    if first & second or not first:
        common = sorted(first & second)
        shared = f"classes {common} of both" if common else "images of both"
        raise MemosweepError(
            f"data.blend_dataset = {config.blend_dataset}: is the first source too, and {shared} would be there twice; "
            "set data.classes and data.blend_classes to lists that share none, such as [3] and [5] (5 alone: "
            "five of them)"
        )


def _is_same(dataset: str, other: str) -> bool:
    return dataset == other or Path(dataset).expanduser().resolve() == Path(other).expanduser().resolve()


def load_image_set(dataset: str) -> UInt8[Tensor, "n c h w"]:
    """Read all images of a set in any of the formats of `open_source`, in the order of their names.

    Raises:
        MemosweepError: no such set, a broken image, or images of different shapes.
    """
    return load_named_images(dataset)[0]


def load_named_images(dataset: str) -> tuple[UInt8[Tensor, "n c h w"], tuple[str, ...]]:
    """Read all images of a set as `load_image_set` does, and the origin of each (as `TrainingSet.names`)."""
    source = open_source(dataset)
    items = _read(source, np.arange(source.size), None, "crop the images first")
    return torch.from_numpy(_stack(items, "resize them first")), tuple(item.name for item in items)


@dataclass(frozen=True)
class _Item:
    image: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"
    name: str
    label: int | None


def _read(
    source: ImageSource,
    order: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]",
    resolution: int | None,
    advice: str = "set data.resolution",
) -> list[_Item]:
    items = []
    for index in order.tolist():
        name = source.name_of(index)
        image = resize_image(source.read(index), resolution, name, advice)
        items.append(_Item(image, name, None if source.labels is None else int(source.labels[index])))
    return items


def _stack(
    items: list[_Item], advice: str = "data.resolution makes sizes alike"
) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Return all images as one array; where gray and color meet, also of two blended sources, gray becomes RGB."""
    channels = max(len(item.image) for item in items)
    images = [item.image if len(item.image) == channels else item.image.repeat(channels, axis=0) for item in items]
    for item, image in zip(items, images, strict=True):
        if image.shape != images[0].shape:
            raise MemosweepError(
                f"{item.name}: {image.shape[2]} x {image.shape[1]} pixels differ from {images[0].shape[2]} x "
                f"{images[0].shape[1]} of {items[0].name}; {advice}"
            )
    return np.stack(images)


def _labels(
    config: DataConfig, classes: list[int | None], chosen: list[tuple[int, ...]]
) -> tuple["np.ndarray[tuple[int], np.dtype[np.int64]] | None", int]:
    """Return the conditions of section 6: true classes, C uniform random labels, or one label per image."""
    if config.labels == "none":
        return None, 0
    if config.labels == "unique":
        return np.arange(config.size), config.size
    if config.labels == "random":
        generator = named_generator(config.seed, "labels")
        drawn = torch.randint(config.num_labels, (config.size,), generator=generator)
        return drawn.numpy(), config.num_labels
    if len(chosen) > 1:
        raise MemosweepError("data.labels = true: the classes of two blended sources are not comparable")
    # Numbered over all chosen classes, not those drawn so far: the labels of nested sets then nest too.
    position = {label: index for index, label in enumerate(sorted(chosen[0]))}
    return np.array([position[label] for label in classes if label is not None], dtype=np.int64), len(position)
