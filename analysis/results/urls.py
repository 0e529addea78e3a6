"""Folders by path or URL: the one place where a URL is joined, and where its file system is found."""

import os
from typing import Any
from urllib.parse import unquote


def is_local(location: str) -> bool:
    """Return whether a location is a path of this machine (or a shared file system), and not a URL."""
    return "://" not in location or location.startswith("file://")


def local_path(location: str) -> str:
    """Return a path as it is, and the path that a `file://` URL stands for, whose `%20` is a space."""
    return unquote(location.removeprefix("file://")) if location.startswith("file://") else location


def join_url(location: str, name: str) -> str:
    """Return the location of `name` inside a folder; the query of a URL stays behind the path.

    `s3://bucket/x?region=eu` and `run` make `s3://bucket/x/run?region=eu`. In a path of this machine a question mark
    is a character like any other.
    """
    path, mark, query = (location, "", "") if is_local(location) else location.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def open_location(location: str) -> tuple[Any, str]:
    """Return the fsspec file system of a path or URL, and the path inside it.

    Ray writes through pyarrow, which takes options from a URL's query (`endpoint_override`, `region`, ...); fsspec
    does not. URLs with a query are therefore opened by pyarrow, and so are URLs whose fsspec package is not installed.

    Raises:
        ImportError: a package that the URL needs is missing.
        OSError, ValueError: it cannot be reached, or its scheme is unknown.
    """
    import fsspec  # noqa: PLC0415 - half a second that local results need not wait
    from fsspec.implementations.arrow import ArrowFSWrapper  # noqa: PLC0415
    from fsspec.implementations.local import LocalFileSystem  # noqa: PLC0415

    if is_local(location):
        # Not by `url_to_fs`, which gives `::` and `~` in a path a meaning.
        return LocalFileSystem(), os.path.abspath(local_path(location))  # noqa: PTH100 - a name, not a file
    if "?" not in location:
        try:
            filesystem, path = fsspec.core.url_to_fs(location)
        except ImportError:
            pass
        else:
            return filesystem, str(path)
    from pyarrow import fs  # noqa: PLC0415

    filesystem, path = fs.FileSystem.from_uri(location)
    return ArrowFSWrapper(filesystem), str(path)
