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
    classes: dict[str, int] = {}
    for name, value in listed:
        # Some tools list the folder of the index, too.
        keys = {_key(posixpath.join(folder, canonical(name))), _key(canonical(name))} & wanted
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

    Folders that only part a long list of numbered files, as EDM's tools make them, are not classes.

    Returns:
        The class of each image and the folders' names; None where all images lie in one folder.

    Raises:
        MemosweepError: images lie both in such folders and beside them.
    """
    paths = [canonical(name) for name in names]
    top = common_folder(paths)
    folders = [_first_folder(path[len(top) :].lstrip("/")) for path in paths]
    found = tuple(sorted(set(folders)))
    if len(found) < 2 or all(_is_part_of_a_list(path) for path in paths):
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


def _is_part_of_a_list(path: str) -> bool:
    """Return whether a path is 00012/img00012345.png (EDM's data sets) or 012000/012345.png (its samples)."""
    match = re.search(r"(?:^|/)([0-9]{5,})/(?:img)?([0-9]{6,})\.[A-Za-z]+$", path)
    return match is not None and int(match[1]) in (int(match[2]) // 1000, int(match[2]) // 1000 * 1000)
