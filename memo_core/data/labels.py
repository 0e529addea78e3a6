"""The classes of images: from EDM's `dataset.json`, from an array, or from the folders that the images lie in."""

import posixpath
import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from memo_core.data.members import INDEX, canonical, common_folder
from memo_core.errors import MemosweepError, quoted

Labels = Int64[np.ndarray, " n"]

_NUMBERED = re.compile(r"(?:^|/)([0-9]{2,18})/[A-Za-z_-]*([0-9]{1,18})\.[A-Za-z0-9]+$")
"""A numbered file in a numbered folder; classes rarely have numbers of two digits and more."""
_PART_SIZES = (100, 1000, 10_000, 100_000, *(2**power for power in range(6, 17)))
"""Images of a folder that only parts a list, and how many such folders there are. Smaller ones would be mistaken for
classes whose images are numbered in turns, such as image 13 of class 3."""


def labels_of_index(index: object, folder: str, names: Sequence[str]) -> Labels | None:
    """Read the labels of EDM's dataset.json: {"labels": [[file name, class], ...]}, or null for none.

    Args:
        index: the content of the file.
        folder: that it lies in; file names are relative to it.
        names: of the images.

    Raises:
        MemosweepError: another layout, an image without a class or with two, or a class that is not an integer from 0.
    """
    if not isinstance(index, dict):
        raise MemosweepError(f'{INDEX} is a {type(index).__name__}, expected {{"labels": [...]}}')
    listed = index.get("labels")
    if listed is None:
        return None
    if not isinstance(listed, list) or any(
        not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str) for entry in listed
    ):
        raise MemosweepError(f"{INDEX}'s labels are not a list of [file name, class]")
    wanted = {_key(canonical(name)) for name in names}
    # The folders that all images lie in: the index may have been put above them later.
    inner = [part for part in _and_above(common_folder([canonical(name) for name in names])) if part]
    classes: dict[str, int] = {}
    for name, value in listed:
        # Some tools list the folder of the index, too.
        keys = {_key(posixpath.join(folder, canonical(name))), _key(canonical(name))} & wanted
        keys = keys or {_key(posixpath.join(above, canonical(name))) for above in inner} & wanted
        for key in keys:
            label = _class_of(value, f"{INDEX}: {quoted(name)}")
            if classes.setdefault(key, label) != label:
                raise MemosweepError(f"{INDEX} lists {quoted(name)} with two classes, {classes[key]} and {label}")
    missing = [name for name in names if _key(canonical(name)) not in classes]
    if missing:
        others = f" and {len(missing) - 1:,} others" if len(missing) > 1 else ""
        raise MemosweepError(f"{INDEX} has no label for {quoted(missing[0])}{others}")
    return np.array([classes[_key(canonical(name))] for name in names], dtype=np.int64)


def labels_of_array(values: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]", count: int) -> Labels:
    """Check an array of `count` classes, one an image; whole floating-point numbers count as integers.

    Raises:
        MemosweepError: another shape, or a class that is not an integer from 0.
    """
    if values.shape not in ((count,), (count, 1)) or values.dtype.kind not in "iuf":
        raise MemosweepError(f"labels of {values.dtype} {values.shape}, expected {count} integers from 0")
    return np.array([_class_of(value, f"image {index}") for index, value in enumerate(values.ravel().tolist())])


def labels_of_folders(names: Sequence[str]) -> tuple[Labels, tuple[str, ...]] | None:
    """Take the folders that the images lie in as their classes, in sorted order, as torchvision's ImageFolder does.

    Folders that only part a long list of numbered files, as EDM's tools and FFHQ do, are not classes.

    Returns:
        The class of each image and the folders' names; None where all images lie in one folder.

    Raises:
        MemosweepError: images lie both in such folders and beside them.
    """
    paths = [canonical(name) for name in names]
    top = common_folder(paths)
    folders = [_first_folder(path[len(top) :].lstrip("/")) for path in paths]
    found = tuple(sorted(set(folders)))
    if len(found) < 2 or _are_parts_of_a_list(paths):
        return None
    if found[0] == "":
        raise MemosweepError(
            f"{quoted(paths[folders.index('')])} lies beside the folders of the classes, in none of them"
        )
    position = {folder: index for index, folder in enumerate(found)}
    return np.array([position[folder] for folder in folders], dtype=np.int64), found


def describe_folders(folders: Sequence[str]) -> str:
    """Describe in one line the classes that `labels_of_folders` found."""
    shown = ", ".join(quoted(name)[1:-1] for name in folders[:10]) + (", ..." if len(folders) > 10 else "")
    return f"{len(folders):,} classes from folder names: {shown} (numbered from 0 in this order)"


def has_labels_entry(index: object) -> bool:
    """Return whether the content of a dataset.json has an entry for labels."""
    return not isinstance(index, Mapping) or "labels" in index


def _class_of(value: object, name: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise MemosweepError(f"{name} has the label {quoted(value)}, expected an integer from 0")
    return value


def _key(name: str) -> str:
    # A Mac writes accented letters as two characters.
    return unicodedata.normalize("NFC", name)


def _first_folder(path: str) -> str:
    folder, slash, _ = path.partition("/")
    return folder if slash else ""


def _and_above(folder: str) -> list[str]:
    """Return a folder and all above it, the deepest first."""
    parts = folder.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _are_parts_of_a_list(paths: Sequence[str]) -> bool:
    """Return whether folders only part numbered files: a folder's number follows from those of its files.

    Such as 00012/img00012345.png (EDM's data sets), 012000/012345.png (its samples), 00012/12345.png or 12000/12345.png
    (FFHQ), or 45/012345.png.
    """
    found = [_NUMBERED.search(path) for path in paths]
    numbers = [(int(match[1]), int(match[2])) for match in found if match is not None]
    if len(numbers) < len(paths):
        return False
    # One image in each folder says little: image 3 of class 3 may be the only one of it.
    folders_repeat = len({folder for folder, _ in numbers}) < len(numbers)
    return any(
        all(folder in (number // size, number // size * size) for folder, number in numbers)
        or (folders_repeat and all(folder == number % size for folder, number in numbers))
        for size in _PART_SIZES
    )
