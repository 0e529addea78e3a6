"""Networks of EDM whose classes were pickled without `torch_utils.persistence`: their settings, from their weights.

Published pickles store the arguments that a network was built with; one of a fork that dropped the decorator holds
only attributes and weights. The names and shapes of the weights say the rest.

Source: the construction of `SongUNet` in the published EDM code (Karras et al. 2022).
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from memo_core.errors import MemosweepError, as_name, first_line, quoted
from memo_core.interop.admitted import Record

_STORED = ("img_resolution", "img_channels", "label_dim", "use_fp16", "beta_d", "beta_min", "M", "epsilon_t")
"""Arguments that a preconditioner keeps as attributes of the same name."""

_STORED_BY = {"VEPrecond": ("sigma_min", "sigma_max"), "EDMPrecond": ("sigma_min", "sigma_max", "sigma_data")}
"""VP keeps a `sigma_min` that it computes."""


def arguments_of(
    class_name: str, attributes: Mapping[str, Any], state: Mapping[str, Tensor], path: object
) -> dict[str, Any]:
    """Return the arguments with which the published code builds such a network.

    Args:
        class_name: of the preconditioner.
        attributes: of the preconditioner, `model` among its `_modules`.
        state: all weights and buffers under their dotted names.
        path: of the file, for messages.

    Raises:
        MemosweepError: weights that every SongUNet has are missing or of another shape.
    """
    modules = attributes.get("_modules")
    model = modules.get("model") if isinstance(modules, dict) else None
    if not isinstance(model, Record) or not isinstance(model.state, dict):
        raise MemosweepError(f"{path}: {class_name} lacks its network `model`")
    stored = (*_STORED, *_STORED_BY.get(class_name, ()))
    arguments = {key: attributes[key] for key in stored if key in attributes}
    arguments["model_type"] = model.kind.rpartition(".")[2]
    if arguments["model_type"] != "SongUNet":
        return arguments
    resolution = arguments.get("img_resolution")
    if not isinstance(resolution, int):
        raise MemosweepError(f"{path}: {class_name} lacks its img_resolution")
    try:
        return {**arguments, **_from_weights(state, resolution), **_from_attributes(model)}
    except (LookupError, ZeroDivisionError, ValueError, RuntimeError, TypeError) as error:
        reason = f"{as_name(str(error.args[0]))} is missing" if isinstance(error, KeyError) else first_line(error)
        raise MemosweepError(
            f"{path}: weights do not fit a SongUNet at {quoted(resolution)} pixels: {reason}"
        ) from None


def _from_weights(state: Mapping[str, Tensor], resolution: int) -> dict[str, Any]:
    def outputs(name: str) -> int:
        return int(state[f"model.{name}"].shape[0])

    def blocks(side: str) -> int:
        return len({name.split(".")[2] for name in state if name.startswith(f"model.{side}_block")})

    sides = [
        f"{value}x{value}" for value in _halved(resolution) if f"model.enc.{value}x{value}_block0.conv0.weight" in state
    ]
    if sides[:1] != [f"{resolution}x{resolution}"]:
        raise ValueError("it has no encoder of that size")
    width = outputs(f"enc.{resolution}x{resolution}_conv.weight")
    embedding, noise = state["model.map_layer0.weight"].shape
    augmentation = state.get("model.map_augment.weight")
    auxiliary = {found[1] for name in state if (found := re.match(r"model\.enc\.\d+x\d+_aux_(residual|skip)\.", name))}
    lower = [name for name in state if re.match(r"model\.dec\.\d+x\d+_aux_conv\.", name)]
    top = f"model.dec.{sides[0]}_aux_conv."
    return {
        "model_channels": width,
        "channel_mult": [_whole(outputs(f"enc.{side}_block0.conv0.weight"), width) for side in sides],
        "channel_mult_emb": _whole(embedding, width),
        "channel_mult_noise": _whole(noise, width),
        "num_blocks": blocks(f"enc.{sides[0]}"),
        "attn_resolutions": [
            int(side.split("x")[0]) for side in sides if f"model.enc.{side}_block0.qkv.weight" in state
        ],
        "embedding_type": "fourier" if "model.map_noise.freqs" in state else "positional",
        "encoder_type": max(auxiliary, default="standard"),
        "decoder_type": "standard" if all(name.startswith(top) for name in lower) else "skip",
        "resample_filter": _taps(state),
        "augment_dim": 0 if augmentation is None else int(augmentation.shape[1]),
    }


def _from_attributes(model: Record) -> dict[str, Any]:
    """Return what no weight shows: the skip mask of the paper's fork, and dropout, which every block keeps."""
    found: dict[str, Any] = {}
    if "skip_connections" in model.state:
        found["skip_connections"] = model.state["skip_connections"]
    pending: list[Any] = [model]
    while pending:
        module = pending.pop()
        state = module.state if isinstance(module, Record) and isinstance(module.state, dict) else {}
        if isinstance(module, Record) and module.kind.endswith(".UNetBlock") and "dropout" in state:
            return {**found, "dropout": state["dropout"]}
        children = state.get("_modules")
        pending.extend(children.values() if isinstance(children, dict) else ())
    return found


def _halved(resolution: int) -> list[int]:
    return [resolution >> level for level in range(resolution.bit_length())] if 0 < resolution < 2**16 else []


def _whole(channels: int, width: int) -> int:
    times, rest = divmod(channels, width)
    if rest:
        raise ValueError(f"{channels} channels are not a multiple of {width}")
    return times


def _taps(state: Mapping[str, Tensor]) -> list[int]:
    """Return the resampling filter, of which the network stores the normalized outer product with itself."""
    stored = next((value for name, value in state.items() if name.endswith(".resample_filter")), None)
    if stored is None:
        return [1, 1]
    row = stored.reshape(stored.shape[-2:]).sum(0)
    return [int(tap) for tap in torch.nan_to_num(row / row.min()).clamp(0, 1000).round()]
