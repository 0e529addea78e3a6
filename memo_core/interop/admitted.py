"""The names that a pickle may mention, and the functions of ours that stand for them.

Nothing here looks a name up: it is compared as text. What has no function is kept as an inert record.
"""

import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from memo_core.errors import first_line, quoted


@dataclass(frozen=True)
class Name:
    """A global that a pickle refers to, as text; it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Record:
    """What a pickle says of an object that is not built: its class, constructor arguments and state."""

    kind: str
    arguments: tuple[Any, ...] = ()
    state: Any = None


@dataclass(eq=False)
class PersistentObject:
    """An object stored with its source code (which is dropped unread): class name and attributes."""

    class_name: str
    state: dict[str, Any]


class Refusal(Exception):  # noqa: N818 -- never leaves this package
    """Why a pickle is not read."""


def plain_key(key: Any) -> Any:
    """Return a key or member of a set, which must be simple: hashing runs code of the value's class."""
    if type(key) not in (str, int, float, bool, bytes, type(None)):
        raise Refusal(f"uses a {type(key).__name__} as a key")
    return key


_TORCH_MODULES = frozenset(
    f"{kind.__module__}.{kind.__name__}"
    for kind in vars(torch.nn).values()
    if isinstance(kind, type) and issubclass(kind, torch.nn.Module) and kind.__module__.startswith("torch.nn.modules.")
)
"""Where the classes of torch.nn are defined, such as `torch.nn.modules.linear.Linear`."""


def is_torch_module(name: Name) -> bool:
    """Return whether a name is that of a class of torch.nn, whose objects become records."""
    return str(name) in _TORCH_MODULES


_NETWORK_CLASSES = frozenset(
    (
        *("VPPrecond", "VEPrecond", "EDMPrecond", "iDDPMPrecond", "SongUNet", "DhariwalUNet", "UNetBlock"),
        *("Conv2d", "Linear", "GroupNorm", "PositionalEmbedding", "FourierEmbedding"),
        *("VPLoss", "VELoss", "EDMLoss", "AugmentPipe"),
    )
)
"""The classes of EDM's `training` package, which a fork may have pickled without their source."""

_MOVED = {
    "_reconstruct_persistent_obj": Name("torch_utils.persistence", "_reconstruct_persistent_obj"),
    "EasyDict": Name("dnnlib.util", "EasyDict"),
}
"""Names of EDM's own modules that say enough wherever a project has put those modules."""


def original_name(name: Name) -> Name:
    """Return the published name of what a project has vendored: `lib.edm.dnnlib.util.EasyDict` is EDM's.

    Whatever it stands for is a function of ours or a record, so that a name that only looks alike does no harm.
    """
    if name.name in _NETWORK_CLASSES and not is_torch_module(name):
        return Name("training.networks", name.name)
    return _MOVED.get(name.name, name)


def is_network_class(name: Name) -> bool:
    """Return whether an original name is of a class of EDM's networks, whose objects become records."""
    return name.module == "training.networks" and name.name in _NETWORK_CLASSES


def _dictionary(pairs: Any = ()) -> dict[Any, Any]:
    if isinstance(pairs, dict):
        return dict(pairs)
    return {plain_key(key): value for key, value in pairs}


def plain_set(items: Any = ()) -> set[Any]:
    """Return a set of simple values."""
    return {plain_key(item) for item in items}


def _persistent(meta: Any) -> PersistentObject:
    """Return an object of torch_utils.persistence as a record; its `module_src` stays text."""
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
        raise Refusal("holds a persistent object without a state")
    if not isinstance(meta.get("class_name"), str):
        raise Refusal("holds a persistent object whose class name is not text")
    return PersistentObject(meta["class_name"], meta["state"])


@dataclass(frozen=True)
class _Storage:
    values: torch.UntypedStorage
    dtype: torch.dtype


def _storage(data: Any) -> _Storage:
    """Read a tensor's bytes, which torch.save wrote: PyTorch's restricted loader reads them."""
    if not isinstance(data, bytes):
        raise Refusal("holds a tensor whose content is not bytes")
    try:
        storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"they refer to {named[1][:100]}" if named else first_line(error)
        raise Refusal(f"holds a tensor whose bytes are not admitted: {reason}") from None
    if not isinstance(storage, torch.storage.TypedStorage):
        raise Refusal(f"holds a {type(storage).__name__} where a tensor's bytes belong")
    return _Storage(storage._untyped_storage, storage.dtype)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, *_: Any) -> torch.Tensor:
    shape = (offset, *size, *stride)
    if not isinstance(storage, _Storage) or any(type(value) is not int or value < 0 for value in shape):
        raise Refusal("holds a tensor of odd shape")
    # PyTorch checks the bounds against the storage; this keeps stride 0 from blowing a few bytes up.
    if math.prod(size) * storage.dtype.itemsize > storage.values.nbytes():
        raise Refusal(f"holds a tensor of shape {quoted(list(size))} in {storage.values.nbytes()} bytes")
    return torch.empty(0, dtype=storage.dtype).set_(storage.values, offset, tuple(size), tuple(stride))


def _parameter(data: Any, *_: Any) -> torch.Tensor:
    if not isinstance(data, torch.Tensor):
        raise Refusal(f"holds a {type(data).__name__} where a parameter belongs")
    return data


def _numpy_scalar(dtype: Any, data: Any) -> Any:
    """Return a NumPy number as Python's; its type is checked here, since NumPy would take that of objects."""
    code = dtype.arguments[0] if isinstance(dtype, Record) and dtype.arguments else None
    state = dtype.state if isinstance(dtype, Record) else None
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    if not (isinstance(code, str) and re.fullmatch(r"[fiu][1248]|b1", code) and order in ("<", ">", "=", "|")):
        raise Refusal(f"holds a NumPy number of type {quoted(code)}")
    if not isinstance(data, bytes):
        raise Refusal("holds a NumPy number whose content is not bytes")
    (value,) = np.frombuffer(data, np.dtype(f"{order}{code}"))
    return value.item()


def _latin1(text: Any, encoding: Any) -> bytes:
    """Return the bytes of a text, which is how pickles of protocol 2 write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise Refusal("encodes something that is not text as latin1")
    return text.encode("latin1")


def _record(kind: str) -> Callable[..., Record]:
    return lambda *arguments: Record(kind, arguments)


CALLS: dict[str, Callable[..., Any]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.storage._load_from_bytes": _storage,
    "torch.Size": lambda values=(): tuple(values),
    "torch.device": _record("torch.device"),
    "dnnlib.util.EasyDict": _dictionary,
    "collections.OrderedDict": _dictionary,
    "builtins.set": plain_set,
    "__builtin__.set": plain_set,
    "_codecs.encode": _latin1,
    "numpy.dtype": _record("numpy.dtype"),
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.core.multiarray._reconstruct": _record("numpy.ndarray"),
    "numpy._core.multiarray._reconstruct": _record("numpy.ndarray"),
}
"""The functions that a pickle may name, and what is called in their place."""

INERT_NAMES = re.compile(r"numpy\.ndarray|torch\.(bool|uint8|int8|int16|int32|int64|float16|bfloat16|float32|float64)")
"""Names that may stand as data and are never called."""
