"""From the stored arguments of a published EDM network to our settings and weights.

Facts from the published EDM code (Karras et al. 2022) and its fork by the paper's authors, which adds
`skip_connections`: the names of the constructor arguments and their defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from memo_core.errors import MemosweepError, as_name, quoted
from memo_core.experiment import ModelConfig
from memo_core.interop.admitted import PersistentObject, Record
from memo_core.interop.unpersisted import arguments_of

_PRECONDITIONINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "VPPrecond": (
        "vp",
        {"model_type": "SongUNet", "beta_d": 19.9, "beta_min": 0.1, "M": 1000, "epsilon_t": 1e-5},
    ),
    "VEPrecond": ("ve", {"model_type": "SongUNet", "sigma_min": 0.02, "sigma_max": 100}),
    "EDMPrecond": (
        "edm",
        {"model_type": "DhariwalUNet", "sigma_min": 0, "sigma_max": float("inf"), "sigma_data": 0.5},
    ),
}
"""Class name: our name, and the arguments that only this class takes with their defaults."""

_COMMON = ("img_resolution", "img_channels", "label_dim", "use_fp16")

_SONG_UNET: dict[str, Any] = {
    "augment_dim": 0,
    "model_channels": 128,
    "channel_mult": [1, 2, 2, 2],
    "channel_mult_emb": 4,
    "num_blocks": 4,
    "attn_resolutions": [16],
    "dropout": 0.10,
    "label_dropout": 0,
    "embedding_type": "positional",
    "channel_mult_noise": 1,
    "encoder_type": "standard",
    "decoder_type": "standard",
    "resample_filter": [1, 1],
    "skip_connections": [],
}

_ARCHITECTURES = {
    ("standard", (1, 1), 1): "ddpmpp",
    ("residual", (1, 3, 3, 1), 2): "ncsnpp",
}
"""Encoder, resampling filter and noise channels over width, which make an architecture together."""

MAX_INTEGER = 2**63 - 1
"""No tensor has a larger size; Python's integers, and with them a file's, may have any number of digits."""

_MAX_DEPTH = 16
"""Modules within modules; a published network has 4."""


@dataclass(frozen=True)
class Network:
    """A network's settings and weights."""

    config: ModelConfig
    resolution: int
    channels: int
    num_labels: int
    state: dict[str, Tensor]


def model_config(path: object, **settings: Any) -> ModelConfig:
    """Build a ModelConfig, with errors as one line about the file `path`; a mask that keeps all is none."""
    try:
        config = ModelConfig(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        value = f" = {quoted(first['input'])}" if where else ""
        message = first["msg"].removeprefix("Value error, ")
        raise MemosweepError(f"{path}: {where}{value}{': ' if where else ''}{message}") from None
    # Only now, since a mask of the wrong length must not pass.
    if config.skip_connections is not None and all(config.skip_connections):
        return config.model_copy(update={"skip_connections": None})
    return config


def attention_resolution(resolutions: Any, resolution: int, levels: int, path: object) -> int:
    """Return the one resolution of `resolutions` (a number or a list) that the network has, 0 for none.

    Raises:
        MemosweepError: it has several; our U-Net attends at one.
    """
    wanted = resolutions if isinstance(resolutions, list | tuple) else [resolutions]
    present = [resolution >> level for level in range(levels)]
    found = sorted({value for value in wanted if value in present})
    if len(found) > 1:
        raise MemosweepError(f"{path}: self-attention at {found}; this U-Net has it at one resolution at most")
    return int(found[0]) if found else 0


def skip_mask(values: Any) -> Any:
    """Return a skip mask as a tuple, None where it is empty (EDM keeps all); what is not a list stays as it is."""
    if values is not None and not isinstance(values, list | tuple):
        return values
    return tuple(values) if values else None


def network_from_pickle(content: Any, path: object) -> Network:
    """Return the averaged network of an EDM pickle that `load_inert` has read.

    Args:
        content: a dictionary with the network under `ema`.
        path: of the file, for messages.

    Raises:
        MemosweepError: another kind of content, or a network that our U-Net does not implement.
    """
    network = _persistent(content.get("ema") if isinstance(content, dict) else None)
    if not isinstance(network, PersistentObject):
        raise MemosweepError(f"{path}: no network under `ema`; an EDM network pickle is needed")
    if network.class_name not in _PRECONDITIONINGS:
        raise MemosweepError(
            f"{path}: {as_name(network.class_name)} is not supported; it must be one of {', '.join(_PRECONDITIONINGS)}"
        )
    name, own_defaults = _PRECONDITIONINGS[network.class_name]
    state = _state(network, path)
    arguments = _arguments(network, state, path)
    model_type = arguments.get("model_type", own_defaults["model_type"])
    if model_type != "SongUNet":
        raise MemosweepError(
            f"{path}: {as_name(str(model_type))} is not supported; the network must be a SongUNet (DDPM++ or NCSN++)"
        )
    for key, default in own_defaults.items():
        if key != "model_type" and arguments.get(key, default) != default:
            raise MemosweepError(f"{path}: {key} = {quoted(arguments[key])} is not supported; it must be {default}")
    unknown = sorted(set(arguments) - set(_COMMON) - set(own_defaults) - set(_SONG_UNET))
    if unknown:
        raise MemosweepError(f"{path}: the network was built with {quoted(unknown[0])}, which is not supported")
    resolution = whole_number(arguments.get("img_resolution"), "img_resolution", path, least=1)
    channels = whole_number(arguments.get("img_channels"), "img_channels", path, least=1)
    num_labels = whole_number(arguments.get("label_dim", 0), "label_dim", path)
    settings = {key: arguments.get(key, default) for key, default in _SONG_UNET.items()}
    config = _song_unet(settings, name, resolution, path)
    if settings["augment_dim"]:
        # The layer has no bias and its input is zero unless one augments, so that it adds nothing.
        state.pop("model.map_augment.weight", None)
    return Network(config, resolution, channels, num_labels, state)


def _persistent(network: Any) -> Any:
    """Return a network whose class was pickled by its name as if with its source, anything else as it is."""
    if isinstance(network, Record) and isinstance(network.state, dict):
        return PersistentObject(network.kind.rpartition(".")[2], network.state)
    return network


def _arguments(network: PersistentObject, state: Mapping[str, Tensor], path: object) -> dict[str, Any]:
    if "_init_kwargs" not in network.state and "_init_args" not in network.state:
        return _checked(arguments_of(network.class_name, network.state, state, path), path)
    positional, named = network.state.get("_init_args"), network.state.get("_init_kwargs")
    if not isinstance(named, dict) or not isinstance(positional, tuple):
        raise MemosweepError(f"{path}: {network.class_name} lacks the arguments that it was built with")
    if len(positional) > len(_COMMON):
        raise MemosweepError(f"{path}: {network.class_name} was built with {len(positional)} unnamed arguments")
    if any(not isinstance(key, str) for key in named):
        raise MemosweepError(f"{path}: {network.class_name} was built with arguments whose names are not text")
    return _checked({**dict(zip(_COMMON, positional, strict=False)), **named}, path)


def _checked(arguments: dict[str, Any], path: object) -> dict[str, Any]:
    for key, value in arguments.items():
        parts = value if isinstance(value, list | tuple) else [value]
        if any(not isinstance(part, str | int | float | None) for part in parts):
            raise MemosweepError(f"{path}: {as_name(key)} is a {type(value).__name__}, a number or text is needed")
        if any(isinstance(part, int) and abs(part) > MAX_INTEGER for part in parts):
            raise MemosweepError(f"{path}: {as_name(key)} = {quoted(value)}; a number below 2^63 is needed")
    return arguments


def whole_number(value: Any, key: str, path: object, least: int = 0) -> int:
    """Return `value` as an int from `least` to `MAX_INTEGER`, or raise MemosweepError about `key` of `path`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_INTEGER:
        needed = f"a whole number of at least {least} and below 2^63"
        raise MemosweepError(f"{path}: {key} = {quoted(value)}; {needed} is needed")
    return int(value)


def _song_unet(settings: Mapping[str, Any], preconditioning: str, resolution: int, path: object) -> ModelConfig:
    taps = settings["resample_filter"]
    kind = (settings["encoder_type"], tuple(taps) if isinstance(taps, list | tuple) else taps)
    found = (*kind, settings["channel_mult_noise"])
    architecture = next((name for key, name in _ARCHITECTURES.items() if key == found), None)
    if architecture is None:
        encoder, taps_found, noise = (quoted(part) for part in found)
        raise MemosweepError(
            f"{path}: encoder {encoder} with filter {taps_found} and {noise} x "
            "width noise channels is not supported; it must be DDPM++ ('standard', (1, 1), 1) or NCSN++ "
            "('residual', (1, 3, 3, 1), 2)"
        )
    for key, needed in (("channel_mult_emb", 4), ("decoder_type", "standard")):
        if settings[key] != needed:
            raise MemosweepError(f"{path}: {key} = {quoted(settings[key])} is not supported; it must be {needed!r}")
    multipliers = settings["channel_mult"]
    if not isinstance(multipliers, list | tuple) or not multipliers:
        raise MemosweepError(f"{path}: channel_mult = {quoted(multipliers)}, a list is needed")
    attention = attention_resolution(settings["attn_resolutions"], resolution, len(multipliers), path)
    return model_config(
        path,
        architecture=architecture,
        preconditioning=preconditioning,
        width=settings["model_channels"],
        depth=settings["num_blocks"],
        time_embedding=settings["embedding_type"],
        skip_connections=skip_mask(settings["skip_connections"]),
        dropout=settings["dropout"],
        attention_resolution=attention,
        channel_multipliers=tuple(multipliers),
    )


def _state(network: PersistentObject, path: object) -> dict[str, Tensor]:
    """Return the network's parameters and buffers under their dotted names."""
    state: dict[str, Tensor] = {}

    def collect(module: Any, prefix: str, depth: int) -> None:
        attributes = module.state if isinstance(module, PersistentObject | Record) else None
        if not isinstance(attributes, dict) or depth > _MAX_DEPTH:
            raise MemosweepError(f"{path}: {as_name(prefix) if prefix else 'the network'} is not a module")
        for group in ("_parameters", "_buffers"):
            for name, value in _entries(attributes, group):
                if not isinstance(value, Tensor) or not value.dtype.is_floating_point:
                    raise MemosweepError(f"{path}: {as_name(prefix + name)} is not a tensor of numbers")
                state[f"{prefix}{name}"] = value.to(torch.float32)
        for name, child in _entries(attributes, "_modules"):
            collect(child, f"{prefix}{name}.", depth + 1)

    def _entries(attributes: dict[str, Any], group: str) -> list[tuple[str, Any]]:
        entries = attributes.get(group, {})
        if not isinstance(entries, dict):
            raise MemosweepError(f"{path}: {group} is not a dictionary")
        if any(not isinstance(name, str) for name in entries):
            raise MemosweepError(f"{path}: {group} has names that are not text")
        return [(name, value) for name, value in entries.items() if value is not None]

    collect(network, "", 0)
    return state
