"""A tiny EDM network pickle, written as the published code writes one, without that code."""

import pickle
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from memo_core.experiment import ModelConfig
from memo_core.model import build_denoiser

RESOLUTION = 8
CONFIG = ModelConfig(preconditioning="edm", width=8, depth=1, channel_multipliers=(1, 1))

_ARGUMENTS: dict[str, Any] = {
    "img_resolution": RESOLUTION, "img_channels": 3, "label_dim": 0, "use_fp16": False, "sigma_min": 0,
    "sigma_max": float("inf"), "sigma_data": 0.5, "model_type": "SongUNet", "model_channels": 8, "channel_mult": [1, 1],
    "num_blocks": 1, "attn_resolutions": [4], "embedding_type": "positional", "encoder_type": "standard",
    "decoder_type": "standard", "channel_mult_noise": 1, "resample_filter": [1, 1], "dropout": 0.13,
    "skip_connections": [],
}  # fmt: skip
_BUFFERS = ("resample_filter", "freqs")


def weights() -> dict[str, Tensor]:
    """The weights of the tiny network, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(build_denoiser(CONFIG, RESOLUTION, 3, 0).state_dict())


class _Persistent:
    """Pickles as an object of torch_utils.persistence."""

    def __init__(self, class_name: str, attributes: dict[str, Any]) -> None:
        self.class_name, self.attributes = class_name, attributes

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild = sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj
        meta = {"type": "class", "version": 6, "module_src": "raise SystemExit", "class_name": self.class_name}
        return rebuild, ({**meta, "state": self.attributes},)


@contextmanager
def _modules(names: dict[str, Any]) -> Iterator[None]:
    """Modules with one attribute each, for as long as something is pickled that refers to them."""
    added: list[str] = []
    try:
        for module_name in names:
            parts = module_name.split(".")
            for name in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
                if name not in sys.modules:
                    sys.modules[name] = types.ModuleType(name)
                    added.append(name)
        for module_name, things in names.items():
            for thing in things:
                thing.__module__ = module_name
                setattr(sys.modules[module_name], thing.__name__, thing)
        yield
    finally:
        for name in added:
            del sys.modules[name]


def _reconstruct_persistent_obj(meta: Any) -> None:
    raise NotImplementedError("only its name is used")


def _tree(state: dict[str, Tensor], make: Callable[[str, dict[str, Any]], Any]) -> dict[str, Any]:
    """Attributes of a module that holds these weights; `make` builds a child from its class and attributes."""
    direct: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    below: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        first, dot, rest = name.partition(".")
        if dot:
            below.setdefault(first, {})[rest] = value
        elif name in _BUFFERS:
            direct["_buffers"][name] = value
        else:
            direct["_parameters"][name] = nn.Parameter(value, requires_grad=False)
    direct["_modules"] = {name: _child(name, inner, make) for name, inner in below.items()}
    return direct


def _child(name: str, state: dict[str, Tensor], make: Callable[[str, dict[str, Any]], Any]) -> Any:
    """A module below another, of the class that its name says."""
    attributes = _tree(state, make)
    if name == "model":
        return make("SongUNet", attributes)
    if "block" in name:
        return make("UNetBlock", {**attributes, "dropout": 0.13})
    return make("Conv2d", attributes)


def edm_pickle(change: Callable[[Any], Any] = lambda tree: tree, plain: bool = False) -> bytes:
    """Return an EDM network pickle.

    Args:
        change: of the arguments, weights and metadata before they are pickled.
        plain: classes by their names in a package of another project, instead of torch_utils.persistence.
    """
    content = change({"arguments": dict(_ARGUMENTS), "weights": weights(), "dataset_kwargs": {"path": "data.zip"}})
    parts = content if isinstance(content, dict) else {"arguments": content}
    arguments = parts.get("arguments", {})
    stored = parts.get("weights")
    tensors = {str(name): value for name, value in stored.items()} if isinstance(stored, dict) else {}
    only = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    odd = {name: value for name, value in tensors.items() if not isinstance(value, Tensor)}
    package = "project.vendored.training.networks"
    classes = {name: type(name, (), {}) for name in ("EDMPrecond", "SongUNet", "UNetBlock", "Conv2d")}

    def make_plain(class_name: str, attributes: dict[str, Any]) -> Any:
        made = classes[class_name]()
        vars(made).update(attributes)
        return made

    make = make_plain if plain else _Persistent
    attributes = _tree(only, make)
    attributes["_parameters"].update(odd)
    if plain:
        attributes.update(arguments if isinstance(arguments, dict) else {"img_resolution": arguments})
    else:
        attributes |= {"_init_args": (), "_init_kwargs": arguments}
    content = {"ema": make("EDMPrecond", attributes), "dataset_kwargs": parts.get("dataset_kwargs")}
    with _modules({"torch_utils.persistence": [_reconstruct_persistent_obj], package: classes.values()}):
        return pickle.dumps(content)
