"""Where images come from: digits, CIFAR-10, zips and folders of images (EDM's and others), .npz and .npy files."""

import contextlib
import json
import logging
import os
import posixpath
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from jaxtyping import Int64

from memo_core.data.arrays import read_arrays
from memo_core.data.copies import place_of
from memo_core.data.file_kinds import HEAD_SIZE, FileKind, foreign_kind
from memo_core.data.image_sets import IMAGE_ENDINGS, ImageArray, decode_image
from memo_core.data.labels import (
    has_labels_entry,
    labels_of_array,
    labels_of_folders,
    labels_of_index,
)
from memo_core.data.members import INDEX, Members, canonical, find_members, list_files
from memo_core.errors import MemosweepError, did_you_mean, did_you_mean_path, escaped, first_line
from memo_core.files import DATA_ROOT_VARIABLE, refuse_url

_KINDS = "a zip, an .npz, an .npy or a folder"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageSource:
    """A collection whose labels are known at once and whose images are decoded only when asked for."""

    name: str
    size: int
    labels: Int64[np.ndarray, " n"] | None
    """Class of each image, 0, 1, ...; None where the collection has none, or none that can be used."""
    read: Callable[[int], ImageArray]
    """Decode image i, uint8 (C, H, W)."""
    name_of: Callable[[int], str]
    """The name of image i, for messages."""
    labels_problem: str | None = None
    """Why the labels that the collection has cannot be used, in one line; it matters only where they are asked for."""
    class_folders: tuple[str, ...] = ()
    """The names of the classes, where these are the folders that the images lie in."""

    def check_labels(self, asking: str) -> None:
        """Refuse a source whose labels are asked for and are missing or cannot be used.

        Args:
            asking: the setting that asks for them, with its value.

        Raises:
            MemosweepError: no labels; one line.
        """
        if self.labels is not None:
            return
        if self.labels_problem is not None:
            raise MemosweepError(f"{asking}: {self.labels_problem}")
        raise MemosweepError(
            f"{asking}: {self.name} has no labels (EDM format: {INDEX} with `labels`; or a folder for each class)"
        )


def open_source(dataset: str) -> ImageSource:
    """Open `digits`, `cifar10` or a path.

    Labels that cannot be used do not stop anything here: see `ImageSource.check_labels`. Files that are passed over
    are logged in one line.

    Raises:
        MemosweepError: no such data set, or a broken one.
    """
    refuse_url(dataset, "data sets")
    if not dataset.strip():
        raise MemosweepError(f"data set {dataset!r}: an empty name, expected digits, cifar10, {_KINDS}")
    if dataset == "digits":
        return _digits()
    if dataset == "cifar10":
        return _cifar10()
    dataset = place_of(dataset)
    try:
        path = Path(dataset).expanduser()
        exists, is_folder = path.exists(), path.is_dir()
    # A path that is too long, a folder that may not be looked into, or the home of an unknown user.
    except (OSError, RuntimeError) as error:
        raise MemosweepError(f"data set {dataset[:100]!r}: cannot be read ({first_line(error)[:100]})") from None
    if not exists:
        hint = did_you_mean(dataset, ("digits", "cifar10")) or did_you_mean_path(path)
        message = f"data set {dataset!r}: neither digits nor cifar10 nor {_KINDS} that exists"
        raise MemosweepError(f"{message}; {hint}" if hint else message)
    if is_folder:
        return _folder(path)
    ending = path.suffix.lower()
    if ending in (".npz", ".npy"):
        return _arrays(path)
    if ending == ".zip":
        return _zip(path)
    if ending in IMAGE_ENDINGS:
        raise MemosweepError(f"data set {dataset!r}: is a single image, name its folder")
    raise MemosweepError(
        f"data set {dataset!r}: a file of this kind is not read, only .zip and .npz and .npy; "
        "unpack another archive into a folder"
    )


def data_root() -> Path:
    """Return the folder of downloads: $MEMOSWEEP_DATA, else ~/.cache/memosweep."""
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


def _arrays(path: Path) -> ImageSource:
    images, stored = read_arrays(path)
    problem = None
    try:
        if isinstance(stored, MemosweepError):
            raise stored
        labels = None if stored is None else labels_of_array(stored, len(images))
    except MemosweepError as error:
        labels, problem = None, f"{path}: {error}"
    name = path.name
    return ImageSource(name, len(images), labels, images.__getitem__, lambda index: f"{name}, image {index}", problem)


def _zip(path: Path) -> ImageSource:
    try:
        archive = zipfile.ZipFile(path)
    # Over damaged bytes, zipfile fails in many ways; also in `read`, which meets encryption and unknown compression.
    except Exception as error:
        kind = _foreign_kind(path)
        if kind is not None:
            raise MemosweepError(f"{path}: is {kind.what}, not a zip{kind.advice and f'; {kind.advice}'}") from None
        raise MemosweepError(f"{path}: a broken zip file ({first_line(error)})") from None

    def read(name: str) -> ImageArray:
        try:
            with archive.open(name) as file:
                return decode_image(file, f"{path}: {escaped(name)}")
        except MemosweepError:
            raise
        except Exception as error:
            raise MemosweepError(f"{path}: {escaped(name)}: an unreadable zip entry ({first_line(error)})") from None

    files = [name for name in archive.namelist() if not name.endswith(("/", "\\"))]
    return _from_files(str(path), files, archive.read, read)


def _foreign_kind(path: Path) -> FileKind | None:
    """Return what a file is that is no zip; None where its beginning does not tell."""
    try:
        with path.open("rb") as file:
            kind = foreign_kind(file.read(HEAD_SIZE), ("zip", "zip-empty", "text"))
    except OSError:
        return None
    return kind


def _folder(path: Path) -> ImageSource:
    def read(name: str) -> ImageArray:
        try:
            with (path / name).open("rb") as file:
                return decode_image(file, str(path / escaped(name)))
        except OSError as error:
            raise MemosweepError(f"{path / escaped(name)}: cannot be read ({error.strerror or error})") from None

    return _from_files(str(path), list_files(path), lambda name: (path / name).read_bytes(), read)


def _from_files(
    where: str, stored: Sequence[str], content_of: Callable[[str], bytes], read: Callable[[str], ImageArray]
) -> ImageSource:
    members = find_members(stored)
    names = members.images
    if not names:
        others = f" but {members.passed_over}" if members.passed_over else ""
        raise MemosweepError(f"{where}: holds no images ({', '.join(IMAGE_ENDINGS)}){others}")
    if members.passed_over:
        count = members.num_passed_over
        files = "1 file is" if count == 1 else f"{count:,} files are"
        _log.info("%s: %s passed over: %s", where, files, members.passed_over)
    problem = None
    try:
        labels, folders = _labels(where, members, content_of)
    except MemosweepError as error:
        labels, folders, problem = None, (), f"{where}: {error}"
    return ImageSource(
        Path(where).name,
        len(names),
        labels,
        lambda i: read(names[i]),
        lambda i: f"{where}: {escaped(names[i])}",
        problem,
        folders,
    )


def _labels(
    where: str, members: Members, content_of: Callable[[str], bytes]
) -> tuple[Int64[np.ndarray, " n"] | None, tuple[str, ...]]:
    """Return the labels of the index or, without one, those of the folders, whose names come second."""
    if members.index is not None:
        try:
            index = json.loads(content_of(members.index))
        # Unreadable (see above), not text, not JSON, or nested too deeply.
        except Exception as error:
            raise MemosweepError(f"{INDEX} is not readable JSON ({first_line(error)})") from None
        if has_labels_entry(index):
            labels = labels_of_index(index, posixpath.dirname(canonical(members.index)), members.images)
            if labels is not None:
                return labels, ()
            # Nothing was promised: folders that cannot be classes are no error here.
            with contextlib.suppress(MemosweepError):
                found = labels_of_folders(members.images)
                if found is not None:
                    _log.info("%s: %s has no labels, so the folders are the classes", where, INDEX)
                    return found
            return None, ()
    return labels_of_folders(members.images) or (None, ())
