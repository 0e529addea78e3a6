"""The files of one experiment folder, on a local disk or behind any fsspec URL, and where URLs are joined."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from memo_core.errors import MemosweepError, did_you_mean_path

RESULT_FILE = "result.json"
JOURNAL_FILE = "trials.jsonl"
"""What a run began and how it ended, an event a line."""
_S3_OPTIONS = ("endpoint_override", "region", "scheme")
"""In the query of a URL."""


@dataclass(frozen=True)
class Stamp:
    """Tells whether a file has changed since it was read."""

    size: int
    """Bytes."""
    modified: float
    """Seconds since 1970; 0 where the store does not say."""
    changed: float = 0.0
    """The same of the file's entry (ctime), which no program sets back: a file that was rewritten with its old size
    and time still tells. 0 where the store has none."""

    def as_list(self) -> list[float]:
        """Return it for JSON."""
        return [self.size, self.modified, self.changed]


class Store(Protocol):
    """One experiment folder. Names are relative to it, with `/` between their parts.

    Attributes:
        location: its path or URL, as the user knows it.
        name: its last part.
    """

    location: str
    name: str

    def result_files(self) -> dict[str, Stamp]:
        """Return the trials' `result.json` by trial folder, sorted by name."""

    def files(self) -> dict[str, Stamp]:
        """Return the files directly in the folder, by name."""

    def folders(self) -> list[str]:
        """Return the folders directly in the folder, by name."""

    def read(self, names: Iterable[str]) -> Iterable[tuple[str, bytes | OSError]]:
        """Yield the content of files, one after the other; a file that cannot be read gives its error."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all where the store allows that.

        Raises:
            OSError: the folder cannot be written.
        """


def open_store(path: str | Path) -> Store:
    """The store of a path or URL.

    Raises:
        MemosweepError: there is no such folder, or its file system is not known or not reachable.
    """
    text = str(path)
    return LocalStore(Path(local_path(text))) if is_local(text) else RemoteStore(text.rstrip("/"))


def read_file(store: Store, name: str) -> bytes | OSError:
    """Return the content of one file, or why it cannot be read."""
    ((_, content),) = store.read([name])
    return content


class LocalStore:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            what = "is a file, not a result folder" if folder.exists() else "does not exist"
            wanted = did_you_mean_path(folder) or "give the folder of a sweep"
            raise MemosweepError(f"{folder} {what}: {wanted}")
        self._folder, self.location = folder, str(folder)
        self.name = folder.name or folder.resolve().name

    def result_files(self) -> dict[str, Stamp]:
        """See `Store`."""
        found = {}
        for folder in self.folders():
            with contextlib.suppress(OSError):
                status = os.stat(f"{self._folder}/{folder}/{RESULT_FILE}")  # noqa: PTH116 (20 times faster in 10,000 folders)
                found[folder] = _stat_stamp(status)
        return found

    def files(self) -> dict[str, Stamp]:
        """See `Store`."""
        with os.scandir(self._folder) as entries:
            return dict(sorted((entry.name, _stat_stamp(entry.stat())) for entry in entries if entry.is_file()))

    def folders(self) -> list[str]:
        """See `Store`."""
        with os.scandir(self._folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())

    def read(self, names: Iterable[str]) -> Iterable[tuple[str, bytes | OSError]]:
        """See `Store`."""
        for name in names:
            try:
                with open(f"{self._folder}/{name}", "rb") as file:  # noqa: PTH123
                    yield name, file.read()
            except OSError as error:
                yield name, error

    def write(self, name: str, content: bytes) -> None:
        """See `Store`."""
        target = self._folder / name
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        try:
            partial.write_bytes(content)
            partial.replace(target)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise


class RemoteStore:
    """A folder behind an fsspec URL, such as `s3://bucket/results/run`."""

    def __init__(self, url: str) -> None:
        try:
            self._filesystem, self._path = open_location(url)
            found = self._filesystem.isdir(self._path)
        except ImportError as error:
            raise MemosweepError(f"{url}: its file system needs another package ({error})") from None
        except (OSError, ValueError) as error:
            raise MemosweepError(f"{url} cannot be reached ({error})") from None
        if not found:
            raise MemosweepError(f"{url} does not exist: give the folder of a sweep")
        self.location, self.name = url, last_part(self._path)

    def result_files(self) -> dict[str, Stamp]:
        """See `Store`."""
        # Not by a pattern, in which the brackets of a folder's name would have a meaning.
        listed = self._filesystem.find(self._path, maxdepth=2, detail=True)
        prefix = f"{self._path.strip('/')}/"
        found = {path.strip("/").removeprefix(prefix): info for path, info in listed.items()}
        parts = {name: name.split("/") for name in sorted(found)}
        return {inside[0]: _stamp(found[name]) for name, inside in parts.items() if inside[1:] == [RESULT_FILE]}

    def files(self) -> dict[str, Stamp]:
        """See `Store`."""
        listed = self._filesystem.ls(self._path, detail=True)
        found = {last_part(info["name"]): _stamp(info) for info in listed if info["type"] == "file"}
        return dict(sorted(found.items()))

    def folders(self) -> list[str]:
        """See `Store`."""
        listed = self._filesystem.ls(self._path, detail=True)
        return sorted(last_part(info["name"]) for info in listed if info["type"] == "directory")

    def read(self, names: Iterable[str]) -> Iterable[tuple[str, bytes | OSError]]:
        """See `Store`."""
        wanted = list(names)
        if not wanted:
            return
        # One call, so that an object store answers many requests at a time; `cat` would take names for patterns.
        paths = [f"{self._path}/{name}" for name in wanted]
        contents = self._filesystem.cat_ranges(paths, None, None, on_error="return")
        for name, content in zip(wanted, contents, strict=True):
            yield name, content if isinstance(content, bytes) else OSError(str(content))

    def write(self, name: str, content: bytes) -> None:
        """See `Store`."""
        try:
            self._filesystem.pipe_file(f"{self._path}/{name}", content)
        except Exception as error:  # every object store has its own errors of permission
            raise OSError(str(error)) from error


def _stat_stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime, status.st_ctime)


def last_part(path: str) -> str:
    """Return the name of a file or folder from its path, as file systems list it."""
    return path.rstrip("/").rpartition("/")[2]


def _stamp(info: dict[str, Any]) -> Stamp:
    size = int(info.get("size") or 0)
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(key)
        if isinstance(value, datetime):
            value = value.timestamp()
        if isinstance(value, int | float):
            return Stamp(size, float(value))
    return Stamp(size, 0.0)


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

    Options may stand in the query of a URL, under pyarrow's names. S3 with `endpoint_override`, `region` and `scheme`
    is opened by s3fs where that is installed, which can write an object only where there is none (the lock of a run).
    Everything else with a query is opened by pyarrow, and so are URLs whose fsspec package is not installed. Of S3,
    nothing is taken from lists of earlier calls: other machines write too.

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
    base, _, query = location.partition("?")
    options = _s3_options(base, query)
    if options is not None or not query:
        try:
            filesystem, path = fsspec.core.url_to_fs(base, **(options or {}))
        except ImportError:
            pass
        else:
            # What it listed before has changed: trials write from other processes.
            filesystem.invalidate_cache()
            return _OSErrors(filesystem), str(path)
    from pyarrow import fs  # noqa: PLC0415

    filesystem, path = fs.FileSystem.from_uri(location)
    return _OSErrors(ArrowFSWrapper(filesystem)), str(path)


def _s3_options(base: str, query: str) -> dict[str, Any] | None:
    """Return the options of s3fs for a URL; None for one that is not its: of another scheme, or with other options."""
    asked = dict(parse_qsl(query, keep_blank_values=True))
    bucket = base.partition("://")[2].partition("/")[0]
    if not base.startswith(("s3://", "s3a://")) or "@" in bucket or asked.keys() - set(_S3_OPTIONS):
        return None
    options: dict[str, Any] = {"use_listings_cache": False, "config_kwargs": {"connect_timeout": 10}}
    if "region" in asked:
        options["client_kwargs"] = {"region_name": asked["region"]}
    if "endpoint_override" in asked:
        endpoint = asked["endpoint_override"]
        options["endpoint_url"] = endpoint if "://" in endpoint else f"{asked.get('scheme', 'https')}://{endpoint}"
    return options


class _OSErrors:
    """A file system whose errors are OSError: each object store has errors of its own, and no common base."""

    def __init__(self, filesystem: Any) -> None:
        self._filesystem = filesystem

    @property
    def creates_exclusively(self) -> bool:
        """Whether the store itself refuses `pipe_file(..., mode="create")` where an object is."""
        return type(self._filesystem).__module__.partition(".")[0] in ("s3fs", "gcsfs")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._filesystem, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return found(*arguments, **options)
            except (OSError, ValueError):
                raise
            except Exception as error:
                if type(error).__module__ == "builtins":
                    raise
                raise OSError(_in_words(error)) from error

        return call


def _in_words(error: Exception) -> str:
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"):
        return (
            f"{error}: expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws/credentials, or an instance's role"
        )
    return str(error) or type(error).__name__
