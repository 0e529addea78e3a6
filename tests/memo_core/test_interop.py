import collections
import copyreg
import functools
import io
import json
import os
import pickle
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment, ModelConfig
from memo_core.interop import load_snapshot, save_safetensors
from memo_core.interop.inert_pickle import load_inert
from memo_core.model import build_denoiser

NAMES = ("ddpmpp_edm_cond_8", "ddpmpp_vp_16", "ncsnpp_ve_8")
PRECONDITIONINGS = {"vp": "VPPrecond", "ve": "VEPrecond", "edm": "EDMPrecond"}


@pytest.fixture
def published_modules():
    """Stand-ins for the modules that an EDM pickle refers to; gone before anything is read."""
    persistence = types.ModuleType("torch_utils.persistence")
    util = types.ModuleType("dnnlib.util")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("code of the file's library was run")

    class EasyDict(dict):
        pass

    for thing, module in ((_reconstruct_persistent_obj, persistence), (EasyDict, util)):
        thing.__module__, thing.__qualname__ = module.__name__, thing.__name__
        setattr(module, thing.__name__, thing)
    modules = {
        "torch_utils": types.ModuleType("torch_utils"),
        "torch_utils.persistence": persistence,
        "dnnlib": types.ModuleType("dnnlib"),
        "dnnlib.util": util,
    }
    sys.modules.update(modules)
    yield modules
    for name in modules:
        sys.modules.pop(name, None)


class Persistent(nn.Module):
    """A module that pickles itself as torch_utils.persistence does."""

    def __init__(self, class_name, source="raise SystemExit('source was run')", **kwargs):
        super().__init__()
        self.class_name, self.source = class_name, source
        self._init_args, self._init_kwargs = (), kwargs

    def __reduce__(self):
        state = {key: value for key, value in self.__dict__.items() if key not in ("class_name", "source")}
        meta = {
            "type": "class",
            "version": 6,
            "module_src": self.source,
            "class_name": self.class_name,
            "state": state,
        }
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,), None


def plant(module, state):
    """Hang tensors with dotted names into a tree of modules, creating it as published networks are built."""
    for name, value in state.items():
        *path, leaf = name.split(".")
        node = module
        for part in path:
            if part not in node._modules:
                node.add_module(part, nn.ModuleDict() if part in ("enc", "dec") else Persistent("Conv2d"))
            node = node._modules[part]
        if leaf in ("resample_filter", "freqs"):
            node.register_buffer(leaf, value)
        else:
            node.register_parameter(leaf, nn.Parameter(value, requires_grad=False))


def arguments_of(description):
    """The constructor arguments with which the published code builds such a network."""
    ncsnpp = description["architecture"] == "ncsnpp"
    return {
        "img_resolution": description["resolution"],
        "img_channels": description["channels"],
        "label_dim": description["num_labels"],
        "use_fp16": False,
        "model_type": "SongUNet",
        "embedding_type": description["time_embedding"],
        "encoder_type": "residual" if ncsnpp else "standard",
        "decoder_type": "standard",
        "channel_mult_noise": 2 if ncsnpp else 1,
        "resample_filter": [1, 3, 3, 1] if ncsnpp else [1, 1],
        "attn_resolutions": [description["attention_resolution"]],
        "model_channels": description["width"],
        "channel_mult": description["channel_multipliers"],
        "num_blocks": description["depth"],
        "skip_connections": description["skip_connections"],
        "dropout": 0.13,
    }


def write_pickle(path, description, state, easy_dict=dict, protocol=None, class_name=None, **changes):
    """An EDM network pickle; `changes` replaces constructor arguments, None removes them."""
    arguments = {**arguments_of(description), **changes}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    class_name = class_name or PRECONDITIONINGS[description["preconditioning"]]
    network = Persistent(class_name, **arguments)
    network._init_kwargs = easy_dict(arguments)
    network.sigma_data = np.float64(0.5)
    network.model = Persistent("SongUNet", skip_scale=np.sqrt(0.5))
    plant(network, state)
    content = {
        "ema": network.eval(),
        "loss_fn": Persistent("EDMLoss"),
        "augment_pipe": None,
        "dataset_kwargs": easy_dict(path="data.zip", use_labels=False, weights=np.arange(3)),
    }
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def forget(modules):
    for name in modules:
        sys.modules.pop(name, None)


@pytest.fixture
def small():
    """Description and weights of a small network, for what golden files need not show."""
    config = ModelConfig(width=8, depth=1, channel_multipliers=(2, 2), attention_resolution=4)
    denoiser = build_denoiser(config, 8, 3, 4)
    description = {
        "architecture": "ddpmpp",
        "preconditioning": "edm",
        "resolution": 8,
        "channels": 3,
        "num_labels": 4,
        "time_embedding": "positional",
        "width": 8,
        "depth": 1,
        "attention_resolution": 4,
        "skip_connections": [1, 1, 1, 1],
        "channel_multipliers": [2, 2],
    }
    return description, denoiser.state_dict()


def assert_denoises(snapshot, golden, name):
    with np.load(golden / f"{name}.npz") as reference:
        labels = torch.from_numpy(reference["labels"]) if snapshot.num_labels else None
        x, sigma = torch.from_numpy(reference["x"]), torch.from_numpy(reference["sigma"])
        expected = reference["denoised"]
    result = snapshot.denoiser(x, sigma, labels).numpy()
    assert np.abs(result - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", [2, None])
def test_reads_an_edm_pickle(golden, tmp_path, published_modules, name, protocol):
    description = json.loads((golden / f"{name}.json").read_text())
    path = tmp_path / "network-snapshot-000100.pkl"
    easy_dict = published_modules["dnnlib.util"].EasyDict
    write_pickle(path, description, load_file(golden / f"{name}.safetensors"), easy_dict, protocol)
    forget(published_modules)
    before = set(sys.modules)
    snapshot = load_snapshot(path)
    assert not {"torch_utils", "dnnlib"} & (set(sys.modules) - before)
    assert snapshot.source == "edm-pickle"
    assert snapshot.description == description
    assert_denoises(snapshot, golden, name)


@pytest.mark.parametrize("name", NAMES)
def test_reads_and_writes_safetensors_byte_for_byte(golden, tmp_path, name):
    snapshot = load_snapshot(golden / f"{name}.safetensors")
    assert snapshot.source == "safetensors"
    assert not snapshot.denoiser.training
    assert not any(parameter.requires_grad for parameter in snapshot.denoiser.parameters())
    assert_denoises(snapshot, golden, name)
    save_safetensors(
        tmp_path / "copy.safetensors",
        snapshot.denoiser.state_dict(),
        snapshot.config,
        snapshot.resolution,
        snapshot.channels,
        snapshot.num_labels,
    )
    for ending in ("safetensors", "json"):
        assert (tmp_path / f"copy.{ending}").read_bytes() == (golden / f"{name}.{ending}").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.json", "copy.safetensors"]


def test_reads_our_checkpoint(tmp_path):
    experiment = Experiment.from_flat(
        {
            "model.width": 8,
            "model.depth": 1,
            "model.skip_connections": [0, 1, 1, 0, 1, 1],
            "training.images": 100,
            "evaluation.count": 1,
        }
    )
    denoiser = build_denoiser(experiment.model, 8, 1, 0)
    content = {
        "experiment": experiment.to_flat(),
        "resolution": 8,
        "channels": 1,
        "num_labels": 0,
        "ema": denoiser.state_dict(),
        "step": 7,
    }
    # The content decides, not the ending.
    torch.save(content, tmp_path / "checkpoint.anything")
    snapshot = load_snapshot(str(tmp_path / "checkpoint.anything"))
    assert (snapshot.source, snapshot.experiment) == ("checkpoint", experiment.to_flat())
    assert snapshot.config == experiment.model
    x, sigma = torch.randn(2, 1, 8, 8), torch.tensor([0.1, 3.0])
    assert torch.equal(snapshot.denoiser(x, sigma), denoiser.eval()(x, sigma))


def test_weights_that_are_views_of_one_tensor_are_written_whole(small, tmp_path):
    description, state = small
    flat, views, start = torch.cat([value.flatten() for value in state.values()]), {}, 0
    for name, value in state.items():
        views[name] = flat[start : start + value.numel()].view(value.shape)
        start += value.numel()
    config = ModelConfig(
        preconditioning="edm", width=8, depth=1, channel_multipliers=(2, 2), attention_resolution=4
    )
    save_safetensors(tmp_path / "a.safetensors", views, config, 8, 3, 4)
    save_safetensors(tmp_path / "b.safetensors", state, config, 8, 3, 4)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert load_snapshot(tmp_path / "a.safetensors").description.items() >= description.items()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"skip_connections": None}, {"skip_connections": None}),
        ({"skip_connections": []}, {"skip_connections": None}),
        ({"skip_connections": [1, 0, 0, 1]}, {"skip_connections": (1, 0, 0, 1)}),
        ({"dropout": None}, {"dropout": 0.1}),
        ({"label_dropout": 0.1, "use_fp16": True}, {}),
        ({"attn_resolutions": [16, 4]}, {"attention_resolution": 4}),
        ({"sigma_min": 0, "sigma_max": float("inf"), "sigma_data": 0.5}, {}),
    ],
    ids=str,
)
def test_takes_settings_from_the_stored_arguments(small, tmp_path, published_modules, changes, expected):
    description, state = small
    write_pickle(tmp_path / "a.pkl", description, state, **changes)
    config = load_snapshot(tmp_path / "a.pkl").config
    assert config.model_dump() == {**config.model_dump(), **expected}


def test_attention_that_the_network_is_too_small_for_is_none(small, tmp_path, published_modules):
    description, _ = small
    config = ModelConfig(
        preconditioning="edm", width=8, depth=1, channel_multipliers=(2, 2), attention_resolution=0
    )
    state = build_denoiser(config, 8, 3, 4).state_dict()
    write_pickle(tmp_path / "a.pkl", description, state, attn_resolutions=[16])
    assert load_snapshot(tmp_path / "a.pkl").config == config


def test_augmentation_layer_contributes_nothing_and_is_dropped(small, tmp_path, published_modules):
    description, state = small
    write_pickle(tmp_path / "plain.pkl", description, state)
    augmented = {**state, "model.map_augment.weight": torch.randn(8, 9)}
    write_pickle(tmp_path / "augmented.pkl", description, augmented, augment_dim=9)
    plain, with_layer = (load_snapshot(tmp_path / f"{name}.pkl") for name in ("plain", "augmented"))
    x, sigma = torch.randn(2, 3, 8, 8), torch.tensor([0.1, 3.0])
    assert torch.equal(plain.denoiser(x, sigma), with_layer.denoiser(x, sigma))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "DhariwalUNet"}, "DhariwalUNet is not supported"),
        ({"model_type": None}, "DhariwalUNet is not supported"),
        ({"class_name": "iDDPMPrecond"}, "iDDPMPrecond is not supported"),
        ({"attn_resolutions": [8, 4]}, r"self-attention at \[4, 8\]"),
        ({"encoder_type": "skip"}, "encoder 'skip'"),
        ({"resample_filter": [1, 3, 3, 1]}, "encoder 'standard' with filter"),
        ({"channel_mult_noise": 2}, "2 x width noise channels"),
        ({"channel_mult_noise": [1]}, "width noise channels"),
        ({"channel_mult_emb": 2}, "channel_mult_emb = 2"),
        ({"decoder_type": "skip"}, "decoder_type = 'skip'"),
        ({"sigma_data": 1.0}, "sigma_data = 1.0 is not supported"),
        ({"adaptive_scale": True}, "'adaptive_scale'"),
        ({"num_blocks": 0}, "depth = 0"),
        ({"model_channels": "wide"}, "width = 'wide'"),
        ({"channel_mult": 2}, "channel_mult = 2"),
        ({"embedding_type": "learned"}, "time_embedding = 'learned'"),
        ({"img_resolution": None}, "img_resolution = None"),
        ({"img_resolution": 9}, "multiple of 2"),
        ({"skip_connections": [1, 0]}, "2 entries"),
        ({"model_channels": 16}, "weights do not fit ddpmpp, width 16"),
        ({"label_dim": 5}, "weights do not fit"),
        ({"num_blocks": torch.ones(2)}, "num_blocks is a Tensor"),
    ],
    ids=str,
)
def test_networks_that_we_do_not_implement_are_named(small, tmp_path, published_modules, changes, message):
    description, state = small
    write_pickle(tmp_path / "a.pkl", description, state, **changes)
    with pytest.raises(MemosweepError, match=message) as caught:
        load_snapshot(tmp_path / "a.pkl")
    assert "\n" not in str(caught.value)
    assert "a.pkl" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or not a pickle"),
        (b"hello, I am a text file", "not a snapshot"),
        (b"\x80\x04", "damaged"),
        (pickle.dumps([1, 2]), "no network under `ema`"),
        (pickle.dumps({"ema": {"a": 1}}), "no network under `ema`"),
        (b"PK\x03\x04broken", "not a checkpoint"),
        (b"\x02\0\0\0\0\0\0\0{}", "description"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_other_files_are_named(tmp_path, content, message):
    (tmp_path / "file.pkl").write_bytes(content)
    with pytest.raises(MemosweepError, match=message) as caught:
        load_snapshot(tmp_path / "file.pkl")
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path):
    for path in (tmp_path / "absent.pkl", tmp_path):
        with pytest.raises(MemosweepError, match=str(path)):
            load_snapshot(path)
    with pytest.raises(MemosweepError, match="cannot be written"):
        save_safetensors(
            tmp_path / "absent" / "a.safetensors",
            build_denoiser(ModelConfig(width=8, channel_multipliers=(1,)), 8, 1, 0).state_dict(),
            ModelConfig(width=8, channel_multipliers=(1,)),
            8,
            1,
            0,
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 16}, "weights do not fit"),
        ({"channels": "rgb"}, "channels = 'rgb'"),
        ({"architecture": "unet"}, "architecture = 'unet'"),
        ({"skip_connections": 5}, "skip_connections"),
        ({"preconditioning": None}, "preconditioning"),
    ],
    ids=str,
)
def test_a_description_that_does_not_fit_is_named(small, tmp_path, changes, message):
    description, state = small
    save_file(state, tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text(json.dumps({**description, **changes}))
    with pytest.raises(MemosweepError, match=message):
        load_snapshot(tmp_path / "a.safetensors")


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
    assert "\n" not in str(caught.value)
    (tmp_path / "x.pkl").write_bytes(payload)
    with pytest.raises(MemosweepError):
        load_snapshot(tmp_path / "x.pkl")
    assert not canary.exists()


def test_the_attacks_would_work_on_an_unsafe_reader(canary):
    pickle.loads(next(payload for _, payload, _ in attacks(canary)))
    assert canary.exists()


def test_a_damaged_pickle_never_fails_in_another_way(small, tmp_path, published_modules):
    description, state = small
    kept = {name: value[:1] for name, value in state.items() if name.endswith("8x8_conv.bias")}
    write_pickle(tmp_path / "a.pkl", description, kept)
    payload = (tmp_path / "a.pkl").read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(payload)
        for position in generator.integers(len(payload), size=generator.integers(1, 8)):
            damaged[position] = generator.integers(256)
        (tmp_path / "a.pkl").write_bytes(damaged)
        with pytest.raises(MemosweepError):
            load_snapshot(tmp_path / "a.pkl")


def test_source_in_a_network_pickle_is_never_run(small, tmp_path, canary, published_modules):
    description, state = small
    write_pickle(tmp_path / "a.pkl", description, state)
    source = f"open({str(canary)!r}, 'w').close()"
    payload = (tmp_path / "a.pkl").read_bytes()
    network = Persistent("EDMPrecond", source, **arguments_of(description))
    network.model = Persistent("SongUNet", source)
    plant(network, state)
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"ema": network}))
    assert source.encode() in (tmp_path / "b.pkl").read_bytes()
    assert source.encode() not in payload
    forget(published_modules)
    load_snapshot(tmp_path / "b.pkl")
    assert not canary.exists()


def test_a_checkpoint_that_smuggles_code_is_refused(tmp_path, canary):
    torch.save({"ema": Calls(os.system, f"touch {canary}")}, tmp_path / "checkpoint.pt")
    with pytest.raises(MemosweepError, match="not a checkpoint") as caught:
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
