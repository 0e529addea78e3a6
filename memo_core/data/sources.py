"""Where images come from: digits, CIFAR-10, EDM-format zips and folders, .npz files, image folders."""

import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from jaxtyping import Int64

from memo_core.data.image_sets import IMAGE_ENDINGS, ImageArray, decode_image
from memo_core.errors import MemosweepError

DATA_ROOT_VARIABLE = "MEMOSWEEP_DATA"


@dataclass(frozen=True)
class ImageSource:
    """A collection whose labels are known at once and whose images are decoded only when asked for."""

    name: str
    size: int
    labels: Int64[np.ndarray, " n"] | None
    """Class of each image, 0, 1, ...; None where the collection has none."""
    read: Callable[[int], ImageArray]
    """Decode image i, uint8 (C, H, W)."""
    name_of: Callable[[int], str]
    """The name of image i, for messages."""


def open_source(dataset: str) -> ImageSource:
    """Open `digits`, `cifar10` or a path.

    Raises:
        MemosweepError: no such data set, or a broken one.
    """
    if dataset == "digits":
        return _digits()
    if dataset == "cifar10":
        return _cifar10()
    path = Path(dataset).expanduser()
    if not path.exists():
        raise MemosweepError(f"data set {dataset!r}: neither digits nor cifar10 nor an existing zip, .npz or folder")
    if path.is_dir():
        return _folder(path)
    if path.suffix == ".npz":
        return _npz(path)
    if path.suffix == ".zip":
        return _zip(path)
    raise MemosweepError(f"data set {dataset!r}: a file of this kind is not read, only .zip and .npz")


def data_root() -> Path:
    """Where downloads live: $MEMOSWEEP_DATA, else ~/.cache/memosweep."""
    return Path(os.environ.get(DATA_ROOT_VARIABLE) or "~/.cache/memosweep").expanduser()


def _in_memory(
    name: str,
    images: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]",
    labels: Int64[np.ndarray, " n"] | None,
) -> ImageSource:
    return ImageSource(name, len(images), labels, images.__getitem__, lambda index: f"{name}, image {index}")


def _digits() -> ImageSource:
    from sklearn.datasets import load_digits  # noqa: PLC0415 - half a second that only this source needs

    values, labels = load_digits(return_X_y=True)
    images = np.rint(values * 255 / 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    return _in_memory("digits", images, labels.astype(np.int64))


def _cifar10() -> ImageSource:
    from torchvision.datasets import CIFAR10  # noqa: PLC0415 - one second that only this source needs

    root = data_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / "cifar10.lock"):
            dataset = CIFAR10(str(root), train=True, download=True)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise MemosweepError(
            f"cifar10 could not be downloaded to {root} ({reason}): put cifar-10-batches-py there, "
            f"or point ${DATA_ROOT_VARIABLE} to a folder that has it"
        ) from None
    images = np.ascontiguousarray(np.moveaxis(dataset.data, 3, 1))
    return _in_memory("cifar10", images, np.asarray(dataset.targets, dtype=np.int64))


def _npz(path: Path) -> ImageSource:
    try:
        with np.load(path, allow_pickle=False) as content:
            images = content.get("images")
            labels = content.get("labels")
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise MemosweepError(f"{path}: a broken .npz file ({error})") from None
    if images is None or images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        found = "no `images`" if images is None else f"`images` of {images.dtype} {images.shape}"
        raise MemosweepError(f"{path}: {found}, expected `images` (N, C, H, W) of uint8 with C = 1 or 3")
    if labels is not None:
        labels = _check_labels(labels, len(images), str(path))
    return _in_memory(path.name, images, labels)


def _check_labels(
    labels: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]", count: int, name: str
) -> Int64[np.ndarray, " n"]:
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or (count and int(labels.min()) < 0):
        raise MemosweepError(f"{name}: labels of {labels.dtype} {labels.shape}, expected {count} integers from 0")
    return labels.astype(np.int64)


def _zip(path: Path) -> ImageSource:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise MemosweepError(f"{path}: a broken zip file ({error})") from None
    members = archive.namelist()
    index = json.loads(archive.read("dataset.json")) if "dataset.json" in members else None

    def read(name: str) -> ImageArray:
        try:
            with archive.open(name) as file:
                return decode_image(file, f"{path}: {name}")  # type: ignore[arg-type]
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            raise MemosweepError(f"{path}: {name}: a broken zip entry ({error})") from None

    return _from_files(str(path), members, index, read)


def _folder(path: Path) -> ImageSource:
    members = [str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()]
    index = json.loads((path / "dataset.json").read_bytes()) if "dataset.json" in members else None

    def read(name: str) -> ImageArray:
        with (path / name).open("rb") as file:
            return decode_image(file, str(path / name))

    return _from_files(str(path), members, index, read)


def _from_files(where: str, members: Sequence[str], index: object, read: Callable[[str], ImageArray]) -> ImageSource:
    names = sorted(name for name in members if name.lower().endswith(IMAGE_ENDINGS))
    if not names:
        raise MemosweepError(f"{where}: holds no images ({', '.join(IMAGE_ENDINGS)})")
    labels = _edm_labels(where, names, index)
    return ImageSource(Path(where).name, len(names), labels, lambda i: read(names[i]), lambda i: f"{where}: {names[i]}")


def _edm_labels(where: str, names: Sequence[str], index: object) -> Int64[np.ndarray, " n"] | None:
    """Labels of EDM's dataset.json: {"labels": [[file name, class], ...]}, or null for none."""
    listed = index.get("labels") if isinstance(index, dict) else None
    if listed is None:
        return None
    try:
        by_name = {name.replace("\\", "/"): label for name, label in listed}
        labels = np.array([by_name[name.replace("\\", "/")] for name in names])
    except KeyError as missing:
        raise MemosweepError(f"{where}: dataset.json has no label for {missing}") from None
    except (TypeError, ValueError):
        raise MemosweepError(f"{where}: dataset.json's labels are not a list of [file name, class]") from None
    return _check_labels(labels, len(names), where)
