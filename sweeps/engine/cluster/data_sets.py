"""Data sets of the driver's machine on the other nodes of a cluster, each brought there once.

The driver puts each file, or folder as an archive, into Ray's object store. The first trial of a node fetches it into
the folder of downloads (`$MEMOSWEEP_DATA`), under a lock; later ones find it there, by its SHA-256.
"""

import contextlib
import hashlib
import io
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from filelock import FileLock

from memo_core.data.copies import use_copy
from memo_core.data.sources import data_root
from memo_core.errors import MemosweepError
from memo_core.experiment import DataConfig, TextConfig

_CIFAR10 = "cifar-10-batches-py"
"""The folder that torchvision makes of CIFAR-10 in the folder of downloads."""


@dataclass(frozen=True)
class _Parcel:
    content: Any
    """Ray's reference to the bytes."""
    sha256: str
    name: str
    is_folder: bool


@dataclass(frozen=True)
class DataSets:
    """Data sets in Ray's object store, by the names that experiments have for them."""

    parcels: Mapping[str, _Parcel]
    node: str
    """The driver's, which has them."""

    def provide(self, config: DataConfig) -> None:
        """Make the data sets of an experiment readable on this node, where it is not the driver's.

        Raises:
            MemosweepError: there is no room for them.
        """
        if ray.get_runtime_context().get_node_id() == self.node:
            return
        for dataset in _named(config):
            if dataset in self.parcels:
                self._provide(dataset, self.parcels[dataset])

    def _provide(self, dataset: str, parcel: _Parcel) -> None:
        root = data_root()
        folder = root if dataset == "cifar10" else root / "copies" / parcel.sha256[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # CIFAR-10's own lock: whatever downloads it meets whatever brings it.
            lock = root / "cifar10.lock" if dataset == "cifar10" else folder.with_suffix(".lock")
            with FileLock(lock):
                if not (folder / parcel.name).exists():
                    _unpack(parcel, folder)
        except OSError as error:
            reason = error.strerror or error
            raise MemosweepError(f"{dataset}: cannot be brought to {folder} of this node ({reason})") from None
        if dataset != "cifar10":
            use_copy(dataset, folder / parcel.name)


def data_sets_of(configs: Iterable[DataConfig]) -> DataSets:
    """Put the data sets of experiments into Ray's object store; they must have been read before.

    Digits come with a package. Raises MemosweepError where one cannot be read.
    """
    parcels = {}
    for dataset in dict.fromkeys(name for config in configs for name in _named(config)):
        path = data_root() / _CIFAR10 if dataset == "cifar10" else Path(dataset).expanduser()
        if path.exists():
            try:
                content = _packed(path) if path.is_dir() else path.read_bytes()
            except OSError as error:
                raise MemosweepError(f"{path}: cannot be read ({error.strerror or error})") from None
            sha256 = hashlib.sha256(content).hexdigest()
            parcels[dataset] = _Parcel(ray.put(content), sha256, path.name, path.is_dir())
    return DataSets(parcels, ray.get_runtime_context().get_node_id())


def check_text_files(text: TextConfig) -> None:
    """Refuse the folder of a pipeline, or captions, that this node lacks: these are not brought along.

    Raises:
        MemosweepError: what is missing here, and what to do.
    """
    for key, path, or_else in (
        ("text.pipeline", text.pipeline, ", or use a name on the Hugging Face hub"),
        ("text.captions", text.captions, ""),
    ):
        # A sweep has made paths absolute; anything else is a name.
        if path is not None and Path(path).is_absolute() and not Path(path).exists():
            # What to do before the path: a long line of a trial's error is cut.
            raise MemosweepError(
                f"{key} is not on the node {socket.gethostname()}; put it on storage that all nodes have{or_else}: "
                f"{path}"
            )


def _named(config: DataConfig) -> Iterator[str]:
    for dataset in (config.dataset, config.blend_dataset):
        if dataset is not None and dataset != "digits":
            yield dataset


def _packed(folder: Path) -> bytes:
    """Return a folder as an archive, equal for equal folders."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(str(Path(folder.name, file.relative_to(folder))))
            entry.size = file.stat().st_size
            with file.open("rb") as content:
                archive.addfile(entry, content)
    return stream.getvalue()


def _unpack(parcel: _Parcel, folder: Path) -> None:
    """Write what was sent into a folder, whole or not at all."""
    content = ray.get(parcel.content)
    unfinished = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
    try:
        if parcel.is_folder:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                archive.extractall(unfinished, filter="data")
        else:
            (unfinished / parcel.name).write_bytes(content)
        (unfinished / parcel.name).replace(folder / parcel.name)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(unfinished)
