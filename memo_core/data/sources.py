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
from memo_core.errors import MemosweepError, first_line

DATA_ROOT_VARIABLE = "MEMOSWEEP_DATA"

_INDEX = "dataset.json"
"""EDM's file of labels."""


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
    if not dataset.strip():
        raise MemosweepError(f"data set {dataset!r}: an empty name, expected digits, cifar10, a zip, .npz or folder")
    if dataset == "digits":
        return _digits()
    if dataset == "cifar10":
        return _cifar10()
    try:
        path = Path(dataset).expanduser()
        exists, is_folder = path.exists(), path.is_dir()
    # A path that is too long, a folder that may not be looked into, or the home of nobody.
    except (OSError, RuntimeError) as error:
        raise MemosweepError(f"data set {dataset[:100]!r}: cannot be read ({first_line(error)[:100]})") from None
    if not exists:
        raise MemosweepError(f"data set {dataset!r}: neither digits nor cifar10 nor an existing zip, .npz or folder")
    if is_folder:
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
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            raise ValueError("a single array, a .npy file")
        with content:
            images = content.get("images")
            labels = content.get("labels")
    # Over damaged bytes, NumPy, zipfile and zlib fail in many ways.
    except Exception as error:
        raise MemosweepError(f"{path}: a broken .npz file ({first_line(error)})") from None
    if images is None or images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        found = "no `images`" if images is None else f"`images` of {images.dtype} {images.shape}"
        raise MemosweepError(f"{path}: {found}, expected `images` (N, C, H, W) of uint8 with C = 1 or 3")
    if not images.size:
        raise MemosweepError(f"{path}: holds no images, `images` is {images.shape}")
    if labels is not None:
        labels = _check_labels(labels, len(images), str(path))
    return _in_memory(path.name, images, labels)


def _check_labels(
    labels: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]", count: int, name: str
) -> Int64[np.ndarray, " n"]:
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise MemosweepError(f"{name}: labels of {labels.dtype} {labels.shape}, expected {count} integers from 0")
    for label in (int(labels.min()), int(labels.max())):
        if not 0 <= label < 2**63:
            raise MemosweepError(f"{name}: label {label}, expected integers from 0")
    return labels.astype(np.int64)


def _zip(path: Path) -> ImageSource:
    try:
        archive = zipfile.ZipFile(path)
    # Over damaged bytes, zipfile fails in many ways; also in `read`, which meets encryption and unknown compression.
    except Exception as error:
        raise MemosweepError(f"{path}: a broken zip file ({first_line(error)})") from None

    def read(name: str) -> ImageArray:
        try:
            with archive.open(name) as file:
                return decode_image(file, f"{path}: {name}")  # type: ignore[arg-type]
        except MemosweepError:
            raise
        except Exception as error:
            raise MemosweepError(f"{path}: {name}: an unreadable zip entry ({first_line(error)})") from None

    return _from_files(str(path), archive.namelist(), archive.read, read)


def _folder(path: Path) -> ImageSource:
    def read(name: str) -> ImageArray:
        try:
            with (path / name).open("rb") as file:
                return decode_image(file, str(path / name))
        except OSError as error:
            raise MemosweepError(f"{path / name}: cannot be read ({error.strerror or error})") from None

    members = [str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()]
    return _from_files(str(path), members, lambda name: (path / name).read_bytes(), read)


def _from_files(
    where: str, members: Sequence[str], content_of: Callable[[str], bytes], read: Callable[[str], ImageArray]
) -> ImageSource:
    names = sorted(name for name in members if name.lower().endswith(IMAGE_ENDINGS))
    if not names:
        raise MemosweepError(f"{where}: holds no images ({', '.join(IMAGE_ENDINGS)})")
    labels = None
    if _INDEX in members:
        try:
            index = json.loads(content_of(_INDEX))
        # Unreadable (see above), no text, no JSON, or nested too deeply.
        except Exception as error:
            raise MemosweepError(f"{where}: {_INDEX} is not readable JSON ({first_line(error)})") from None
        labels = _edm_labels(where, names, index)
    return ImageSource(Path(where).name, len(names), labels, lambda i: read(names[i]), lambda i: f"{where}: {names[i]}")


def _edm_labels(where: str, names: Sequence[str], index: object) -> Int64[np.ndarray, " n"] | None:
    """Labels of EDM's dataset.json: {"labels": [[file name, class], ...]}, or null for none."""
    if not isinstance(index, dict):
        raise MemosweepError(f'{where}: {_INDEX} is a {type(index).__name__}, expected {{"labels": [...]}}')
    listed = index.get("labels")
    if listed is None:
        return None
    if not isinstance(listed, list) or any(
        not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str) for entry in listed
    ):
        raise MemosweepError(f"{where}: {_INDEX}'s labels are not a list of [file name, class]")
    by_name = {name.replace("\\", "/"): label for name, label in listed}
    try:
        labels = np.array([by_name[name.replace("\\", "/")] for name in names])
    except KeyError as missing:
        raise MemosweepError(f"{where}: {_INDEX} has no label for {missing}") from None
    except ValueError:
        raise MemosweepError(f"{where}: {_INDEX}'s classes are not all integers") from None
    return _check_labels(labels, len(names), where)
