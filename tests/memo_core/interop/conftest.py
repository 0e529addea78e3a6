import pickle
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from memo_core.experiment import ModelConfig
from memo_core.model import build_denoiser

PRECONDITIONINGS = {"vp": "VPPrecond", "ve": "VEPrecond", "edm": "EDMPrecond"}


def stand_ins(prefix=""):
    """Stand-ins for the modules that an EDM pickle refers to, where a project put them into a package `prefix`."""
    persistence = types.ModuleType(f"{prefix}torch_utils.persistence")
    util = types.ModuleType(f"{prefix}dnnlib.util")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("code of the file's library was run")

    class EasyDict(dict):
        pass

    for thing, module in ((_reconstruct_persistent_obj, persistence), (EasyDict, util)):
        thing.__module__, thing.__qualname__ = module.__name__, thing.__name__
        setattr(module, thing.__name__, thing)
    # Its parents must be there to be imported from.
    parents = [
        ".".join(parts[:end])
        for module in (persistence, util)
        for parts in [module.__name__.split(".")]
        for end in range(1, len(parts))
    ]
    modules = {module.__name__: module for module in (persistence, util, *map(types.ModuleType, parents))}
    # `Persistent` finds it here, whatever it is pickled as.
    return {**modules, "torch_utils.persistence": persistence}


@pytest.fixture
def published_modules():
    """The modules under their published names."""
    return stand_ins()


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


def _write_pickle(
    path, description, state, easy_dict=dict, protocol=None, class_name=None, source="", odd=(), **changes
):
    """An EDM network pickle; `changes` replaces constructor arguments, None removes them, `odd` are more of them."""
    arguments = {**arguments_of(description), **changes}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    class_name = class_name or PRECONDITIONINGS[description["preconditioning"]]
    network = Persistent(class_name, source)
    network._init_kwargs = easy_dict({**arguments, **dict(odd)})
    network.sigma_data = np.float64(0.5)
    network.model = Persistent("SongUNet", source, skip_scale=np.sqrt(0.5))
    plant(network, state)
    content = {
        "ema": network.eval(),
        "loss_fn": Persistent("EDMLoss"),
        "augment_pipe": None,
        "dataset_kwargs": easy_dict(path="data.zip", use_labels=False, weights=np.arange(3)),
    }
    path.write_bytes(pickle.dumps(content, protocol=protocol))


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


@pytest.fixture
def write_pickle(monkeypatch):
    """Writes an EDM network pickle; the modules that it refers to are gone afterwards."""

    def write(*arguments, easy_dict=False, prefix="", **options):
        modules = stand_ins(prefix)
        kind = modules[f"{prefix}dnnlib.util"].EasyDict if easy_dict else dict
        with monkeypatch.context() as patch:
            for name, module in modules.items():
                patch.setitem(sys.modules, name, module)
            _write_pickle(*arguments, easy_dict=kind, **options)

    return write


@pytest.fixture
def assert_denoises(golden):
    """Compares a snapshot with what the published implementation makes of the same input."""

    def compare(snapshot, name):
        with np.load(golden / f"{name}.npz") as reference:
            labels = torch.from_numpy(reference["labels"]) if snapshot.num_labels else None
            x, sigma = torch.from_numpy(reference["x"]), torch.from_numpy(reference["sigma"])
            expected = reference["denoised"]
        result = snapshot.denoiser(x, sigma, labels).numpy()
        assert np.abs(result - expected).max() <= 1e-4 * np.abs(expected).max()

    return compare
