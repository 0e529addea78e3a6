import collections
import copyreg
import functools
import io
import os
import pickle
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from memo_core.errors import MemosweepError
from memo_core.interop import load_snapshot
from memo_core.interop.inert_pickle import load_inert


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments, state)

    def __reduce__(self):
        return self.call


def storage_bytes(thing):
    """What torch.save wrote for `thing` when tensors were pickled."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(thing, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def touch(path):
    path.write_text("ran")


def attacks(canary):
    """Name, payload, what the message names."""
    shell = f"touch {canary}"
    yield "os.system", pickle.dumps({"ema": Calls(os.system, shell)}), "system"
    yield "subprocess", pickle.dumps(Calls(subprocess.call, ["touch", str(canary)])), "subprocess.call"
    for builtin in (eval, exec, getattr, __import__, open, print):
        for protocol in (0, 2, 4, 5):
            payload = pickle.dumps(Calls(builtin, f"open({str(canary)!r}, 'w')"), protocol=protocol)
            yield f"{builtin.__name__}-{protocol}", payload, rf"(io|builtin\w*)\.{builtin.__name__}"
    yield "torch.hub", pickle.dumps(Calls(torch.hub.load, str(canary), "x")), "torch.hub.load"
    yield "torch.load", pickle.dumps(Calls(torch.load, str(canary))), "torch.*load"
    yield "partial", pickle.dumps(functools.partial(os.system, shell)), "functools.partial"
    yield "reconstructor", pickle.dumps(Calls(copyreg._reconstructor, Calls, object, None)), "copyreg"
    yield "as data", pickle.dumps({"ema": os.system}), "system"
    yield "state", pickle.dumps(Calls(collections.OrderedDict, state=Calls(os.system, shell))), "system"
    yield "OrderedDict", pickle.dumps(collections.OrderedDict(a=Calls(os.system, shell))), "system"
    yield "defaultdict", pickle.dumps(collections.defaultdict(list)), "collections.defaultdict"
    yield "own class", pickle.dumps(Calls(touch, canary)), "touch|pathlib"
    # Written by hand: the pickle module would not produce these.
    yield "dotted", b"\x80\x04\x8c\x05torch\x8c\x0cSize.__doc__\x93.", r"torch\.Size\.__doc__"
    yield "dotted module", b"ctorch.nn.modules.container\nModuleDict.forward\n.", "forward"
    yield "shadowed", b"ctorch_utils\npersistence._reconstruct_persistent_obj\n.", "not admitted"
    yield "INST", f"(S'{shell}'\nios\nsystem\n.".encode(), "INST"
    yield "OBJ", f"(cos\nsystem\nS'{shell}'\no.".encode(), "system"
    yield "extension", b"\x80\x02\x82\x01)R.", "EXT1"
    yield "persistent id", b"\x80\x02X\x01\x00\x00\x00aQ.", "BINPERSID"
    yield "call of data", b"\x80\x02X\x01\x00\x00\x00a)R.", "calls a str"
    yield "call of a type", b"\x80\x02ctorch\nfloat32\n)R.", "calls torch.float32"
    yield "arguments", b"\x80\x02ctorch\nSize\nK\x01R.", "not a tuple"
    yield "build a name", b"\x80\x02ctorch\nSize\n}b.", "sets the state of a Name"
    yield "build a tuple", b"\x80\x02)}b.", "sets the state of a tuple"
    yield "name of no text", b"\x80\x04K\x01K\x02\x93.", "not text"
    yield "unhashable", b"\x80\x02}]K\x01s.", "as a key"
    yield "empty stack", b"\x80\x02R.", "stack"
    yield "no mark", b"\x80\x02e.", "never opened"
    yield "wrong target", b"\x80\x02)K\x01a.", "items of a list to tuple"
    yield "endless", b"\x80\x02N", "damaged"
    yield "too deep a memo", b"\x80\x02h\x07.", "damaged"
    yield "encode", b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "latin1"
    yield "module of a module", b"\x80\x02ctorch.nn.modules.linear\nos\n.", r"linear\.os, which is not admitted"
    yield "function of a module", b"\x80\x02ctorch.nn.modules.module\n_addindent\n.", "not admitted"
    escape = b"\x80\x04\x8c\x0aos\nfake\x1b[3\x8c\x06system\x93."
    yield "terminal sequences", escape, r"'os\\nfake\\x1b\[3\.system', which"
    persistent = (
        b"\x80\x02ctorch_utils.persistence\n_reconstruct_persistent_obj\n}(X\x05\0\0\0state}X\x0a\0\0\0class_name"
    )
    yield "class name that is not text", persistent + b"N" + b"2\x86" * 22 + b"u\x85R.", "class name is not text"
    scalar = b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nN" + b"2\x86" * 22 + b"\x85RU\x01a\x86R."
    yield "type of a tower of tuples", scalar, "NumPy number of type"
    # Code smuggled into the bytes of a tensor, which are a pickle of their own.
    for name, inner in (
        ("system", storage_bytes(Calls(os.system, shell))),
        ("eval", storage_bytes({"a": Calls(eval, f"open({str(canary)!r}, 'w')")})),
        ("plain pickle", pickle.dumps(Calls(os.system, shell))),
        ("no storage", storage_bytes({"a": 1})),
        ("no file", b"nonsense"),
    ):
        load = Calls(torch.storage._load_from_bytes, inner)
        yield f"storage: {name}", pickle.dumps({"ema": load}), "tensor's bytes|bytes are not admitted"
    big = Calls(
        torch._utils._rebuild_tensor_v2,
        Calls(torch.storage._load_from_bytes, storage_bytes(_typed())),
        0,
        (10**9,),
        (0,),
        False,
        {},
    )
    yield "stride 0", pickle.dumps(big), "in 4 bytes"
    odd = np.dtype("O")
    yield "NumPy objects", pickle.dumps(Calls(_scalar(), odd, b"\0" * 8)), "NumPy number of type"


def _typed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ones(1).storage()


def _scalar():
    return np.float64(1).__reduce__()[0]


ATTACKS = [name for name, _, _ in attacks(Path("canary"))]


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


@pytest.mark.parametrize("index", range(len(ATTACKS)), ids=ATTACKS)
def test_pickles_that_smuggle_code_are_refused_and_nothing_runs(tmp_path, canary, monkeypatch, index):
    monkeypatch.setattr(copyreg, "_extension_registry", {("os", "system"): 1})
    monkeypatch.setattr(copyreg, "_inverted_registry", {1: ("os", "system")})
    _, payload, message = list(attacks(canary))[index]
    with pytest.raises(MemosweepError, match=message) as caught:
        load_inert(payload, "x.pkl")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    (tmp_path / "x.pkl").write_bytes(payload)
    with pytest.raises(MemosweepError):
        load_snapshot(tmp_path / "x.pkl")
    assert not canary.exists()


def test_the_attacks_would_work_on_an_unsafe_reader(canary):
    pickle.loads(next(payload for _, payload, _ in attacks(canary)))
    assert canary.exists()


def test_a_checkpoint_that_smuggles_code_is_refused(tmp_path, canary):
    torch.save({"ema": Calls(os.system, f"touch {canary}")}, tmp_path / "checkpoint.pt")
    with pytest.raises(MemosweepError, match="not a readable checkpoint") as caught:
        load_snapshot(tmp_path / "checkpoint.pt")
    assert "\n" not in str(caught.value)
    assert not canary.exists()


def test_objects_of_torch_modules_stay_inert(canary):
    container = nn.ModuleDict({"a": nn.Identity()})
    container.hook = np.float32(1.5)
    record = load_inert(pickle.dumps(container), "x.pkl")
    assert record.kind == "torch.nn.modules.container.ModuleDict"
    assert record.state["hook"] == 1.5
    assert record.state["_modules"]["a"].kind == "torch.nn.modules.linear.Identity"


def test_plain_data_comes_back_as_it_was():
    data = {
        "numbers": [1, -5, 2**70, 1.5, True, None],
        "text": "ä\n",
        "bytes": b"\0\xff" * 300,
        "nested": ({"a": [(), (1, 2, 3, 4)]}, {1, 2}),
        3: [np.float64(0.25), np.int32(-7), np.bool_(True)],
    }
    for protocol in range(6):
        assert load_inert(pickle.dumps(data, protocol=protocol), "x") == data
    shared = [1]
    first, second = load_inert(pickle.dumps([shared, shared]), "x")
    assert first is second


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int64])
def test_tensors_come_back_as_they_were(dtype):
    tensor = torch.arange(24).reshape(2, 3, 4).to(dtype)
    for value in (tensor, tensor.transpose(0, 2), tensor[1, :, 2], torch.empty(0, 3, dtype=dtype)):
        found = load_inert(pickle.dumps({"t": value}), "x")["t"]
        assert found.dtype == dtype
        assert torch.equal(found, value)
