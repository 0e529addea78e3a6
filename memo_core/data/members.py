"""Which members of a zip or folder are images, where their index of labels is, and what is passed over."""

import os
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memo_core.data.image_sets import IMAGE_ENDINGS
from memo_core.errors import MemosweepError

INDEX = "dataset.json"
"""EDM's file of labels."""

# By operating systems, file servers and archivers; all in lower case.
_FOREIGN = frozenset({
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "#recycle", "@recycle", "$recycle.bin",
    "system volume information", "lost+found",
})  # fmt: skip
_MAX_KINDS = 5
"""Kinds of passed over files that a note names."""


@dataclass(frozen=True)
class Members:
    """The members of a zip or folder; every name stands with slashes and relative to its top."""

    images: tuple[str, ...]
    """The names under which the images are stored, sorted."""
    index: str | None
    """The stored name of `dataset.json` beside the images or in a folder above them all; None without one."""
    passed_over: str
    """What else there is, such as `__MACOSX (12), *.txt (1)`; empty for nothing."""
    num_passed_over: int
    """How many files that are."""


def find_members(stored: Sequence[str]) -> Members:
    """Sort the files of a zip or folder into images, index and the rest.

    Hidden files, what operating systems and editors leave behind, and files of other kinds are not data.

    Args:
        stored: the names of the files, with slashes or, from a zip packed on Windows, backslashes.
    """
    # A zip may list a name twice, where the later entry is the one that is read.
    unique = list(dict.fromkeys(stored))
    passed_over = Counter({"repeated names": len(stored) - len(unique)})
    images, indices = [], []
    for name in unique:
        foreign = _foreign_part(name)
        if foreign is not None:
            passed_over[foreign] += 1
        elif name.lower().endswith(IMAGE_ENDINGS):
            images.append(name)
        elif posixpath.basename(canonical(name)) == INDEX:
            indices.append(name)
        else:
            passed_over[_kind(name)] += 1
    index = _index_of(images, indices)
    passed_over[INDEX] += len(indices) - (index is not None)
    passed_over = +passed_over
    return Members(tuple(sorted(images)), index, _summary(passed_over), passed_over.total())


def canonical(name: str) -> str:
    """Return a member's name with slashes, relative to the top: without a leading `./` or `/`."""
    return posixpath.normpath(name.replace("\\", "/")).lstrip("/")


def common_folder(names: Sequence[str]) -> str:
    """Return the deepest folder that holds all of the canonical names, empty where that is the top."""
    return posixpath.commonpath([posixpath.dirname(name) for name in names]) if names else ""


def list_files(folder: Path) -> list[str]:
    """List the files of a folder and all folders below it, relative to it; linked folders are followed.

    Raises:
        MemosweepError: a folder below may not be read.
    """

    def refuse(error: OSError) -> None:
        raise MemosweepError(f"{error.filename}: cannot be read ({error.strerror or error})")

    files: list[str] = []
    for where, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        here = Path(where).resolve()
        # A link to a folder that it lies in would never end.
        folders[:] = [name for name in folders if not here.is_relative_to((here / name).resolve())]
        paths = [Path(where) / name for name in names]
        # No pipes and sockets; a link to nowhere is kept, and refused by name when it is read.
        files.extend(str(path.relative_to(folder)) for path in paths if path.is_file() or not path.exists())
    return files


def _foreign_part(name: str) -> str | None:
    """Return the part of a path for which it is passed over: hidden, or left behind by a system."""
    for part in canonical(name).split("/"):
        if part.startswith("._"):
            return "._*"
        if (part.startswith(".") and part not in (".", "..")) or part.lower() in _FOREIGN:
            return part
    return None


def _kind(name: str) -> str:
    base = posixpath.basename(canonical(name))
    _, ending = posixpath.splitext(base)
    return f"*{ending.lower()}" if ending else base


def _index_of(images: Sequence[str], indices: Sequence[str]) -> str | None:
    """Return of several indexes the one nearest to the top; it must lie in a folder that holds all images."""
    folder = common_folder([canonical(name) for name in images])
    for name in sorted(indices, key=lambda name: canonical(name).count("/")):
        above = posixpath.dirname(canonical(name))
        if above in ("", folder) or folder.startswith(f"{above}/"):
            return name
    return None


def _summary(passed_over: Counter[str]) -> str:
    most_first = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    kinds = [f"{_printable(kind)} ({count:,})" for kind, count in most_first[:_MAX_KINDS]]
    rest = len(passed_over) - len(kinds)
    return ", ".join(kinds) + (f" and {rest:,} other kinds" if rest else "")


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name[:40])
