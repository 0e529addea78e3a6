"""One door for files that hold a trained denoiser: our checkpoint, an EDM pickle, EDM-named safetensors."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from memo_core.errors import MemosweepError, first_line
from memo_core.experiment import Experiment, FlatExperiment, ModelConfig
from memo_core.files import write_atomically
from memo_core.interop.edm import (
    Network,
    attention_resolution,
    model_config,
    network_from_pickle,
    skip_mask,
    whole_number,
)
from memo_core.interop.inert_pickle import load_inert
from memo_core.model.denoiser import NetworkDenoiser, build_denoiser
from memo_core.model.unet import count_parameters

Format = Literal["checkpoint", "edm-pickle", "safetensors"]

_CHECKPOINT_KEYS = ("experiment", "resolution", "channels", "num_labels", "ema")
_JSON_MODEL_KEYS = (
    "architecture",
    "preconditioning",
    "time_embedding",
    "width",
    "depth",
    "attention_resolution",
    "skip_connections",
    "channel_multipliers",
)


@dataclass(frozen=True)
class Snapshot:
    """A trained denoiser, ready to sample, and what the file says of it."""

    denoiser: NetworkDenoiser
    """In evaluation mode, without gradients."""
    config: ModelConfig
    resolution: int
    channels: int
    num_labels: int
    """C of the condition; 0 for an unconditional network."""
    source: Format
    experiment: FlatExperiment | None = None
    """The dotted keys of the run, which only our own checkpoints know."""

    @property
    def description(self) -> dict[str, Any]:
        """What JSON beside a safetensors file holds: architecture, preconditioning, sizes."""
        return describe(self.config, self.resolution, self.channels, self.num_labels, self.denoiser)


def describe(
    config: ModelConfig, resolution: int, channels: int, num_labels: int, denoiser: NetworkDenoiser
) -> dict[str, Any]:
    """The JSON description of a snapshot, in the order of the format."""
    kept = [1] * config.num_skip_connections
    return {
        "architecture": config.architecture,
        "preconditioning": config.preconditioning,
        "resolution": resolution,
        "channels": channels,
        "num_labels": num_labels,
        "time_embedding": config.time_embedding,
        "width": config.width,
        "depth": config.depth,
        "attention_resolution": config.attention_at(resolution),
        "skip_connections": list(config.skip_connections or kept),
        "num_params": count_parameters(denoiser),
        "channel_multipliers": list(config.channel_multipliers),
    }


def load_snapshot(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Snapshot:
    """Read a snapshot, whatever its name; no code from the file is run.

    Args:
        path: our checkpoint, an EDM network pickle, or EDM-named safetensors with the JSON of the same name
            beside it. The content decides, not the ending.
        device: where the denoiser will live.

    Raises:
        MemosweepError: not such a file, something in it that is not admitted, or a network that our U-Net
            does not implement.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise MemosweepError(f"{path}: {error.strerror}; a snapshot file is needed") from None
    if head.startswith(b"PK\x03\x04"):
        return _from_checkpoint(path, device)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size:
        network = _from_safetensors(path)
        return _snapshot(network, "safetensors", path, device)
    if head.startswith(b"\x80") or head[:1] in b"(}cd":
        network = network_from_pickle(load_inert(path.read_bytes(), path), path)
        return _snapshot(network, "edm-pickle", path, device)
    raise MemosweepError(f"{path}: not a snapshot; a checkpoint, an EDM pickle or safetensors is needed")


def save_safetensors(
    path: str | os.PathLike[str],
    denoiser_state: Mapping[str, Tensor],
    config: ModelConfig,
    resolution: int,
    channels: int,
    num_labels: int,
) -> None:
    """Write EDM-named safetensors and the JSON that describes them beside it.

    Equal weights give equal bytes, and each of the two files appears whole or not at all.

    Args:
        path: the safetensors file; the JSON has the same name with the ending `.json`.
        denoiser_state: state dict of a `NetworkDenoiser` (parameters and buffers under EDM's names).
        config: the model's settings.
        resolution: pixels a side.
        channels: of the images.
        num_labels: C of the condition, 0 for none.

    Raises:
        MemosweepError: the state does not belong to such a network, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix == ".json":
        raise MemosweepError(f"{path}: the ending .json is that of the description; use .safetensors")
    state = {name: value.detach().to("cpu", torch.float32) for name, value in denoiser_state.items()}
    snapshot = _snapshot(Network(config, resolution, channels, num_labels, state), "safetensors", path, "cpu")
    weights = {name: value.contiguous().clone() for name, value in snapshot.denoiser.state_dict().items()}
    description = json.dumps(snapshot.description, indent=1)
    # The description first: whoever sees the weights finds it.
    write_atomically(path.with_suffix(".json"), description.encode())
    write_atomically(path, safetensors.torch.save(weights))


def _snapshot(
    network: Network, source: Format, path: Path, device: torch.device | str, precision: str = "float32"
) -> Snapshot:
    config = network.config
    sizes = network.resolution, network.channels, network.num_labels
    for name, value in network.state.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise MemosweepError(f"{path}: weight {name!r} is not a tensor of floating-point numbers")
    try:
        denoiser = build_denoiser(config, *sizes, precision=precision)
        denoiser.load_state_dict(network.state)
    except MemosweepError as error:
        raise MemosweepError(f"{path}: {error}") from None
    except RuntimeError as error:
        problem = " ".join(str(error).split()).partition(": ")[2]
        raise MemosweepError(
            f"{path}: weights do not fit {config.architecture}, width {config.width}, depth {config.depth} "
            f"at {network.resolution} pixels: {problem[:200]}"
        ) from None
    denoiser = denoiser.to(device).eval().requires_grad_(False)
    return Snapshot(denoiser, config, *sizes, source=source)


def _from_safetensors(path: Path) -> Network:
    beside = path.with_suffix(".json")
    try:
        description = json.loads(beside.read_text())
        state = safetensors.torch.load_file(path)
    except OSError as error:
        raise MemosweepError(f"{beside}: {error.strerror or error}; safetensors need their description") from None
    except ValueError as error:
        raise MemosweepError(f"{beside}: not JSON ({first_line(error)})") from None
    except safetensors.SafetensorError as error:
        raise MemosweepError(f"{path}: damaged ({first_line(error)})") from None
    if not isinstance(description, dict):
        raise MemosweepError(f"{beside}: a JSON object is needed")
    sizes = _sizes(description, beside)
    settings = {key: description[key] for key in _JSON_MODEL_KEYS if key in description}
    if "architecture" not in settings or "preconditioning" not in settings:
        raise MemosweepError(f"{beside}: architecture and preconditioning are needed")
    settings["skip_connections"] = skip_mask(settings.get("skip_connections"))
    config = model_config(beside, **settings)
    if config.attention_resolution is not None:
        levels = len(config.channel_multipliers)
        attention = attention_resolution(config.attention_resolution, sizes[0], levels, beside)
        config = config.model_copy(update={"attention_resolution": attention})
    return Network(config, *sizes, state=state)


def _from_checkpoint(path: Path, device: torch.device | str) -> Snapshot:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise MemosweepError(f"{path}: not a checkpoint of memosweep ({first_line(error)})") from None
    if not isinstance(content, dict) or any(key not in content for key in _CHECKPOINT_KEYS):
        raise MemosweepError(f"{path}: a checkpoint of memosweep has {', '.join(_CHECKPOINT_KEYS)}")
    if not isinstance(content["experiment"], dict) or not isinstance(content["ema"], dict):
        raise MemosweepError(f"{path}: `experiment` and `ema` must be dictionaries")
    experiment = Experiment.from_flat(content["experiment"])
    sizes = _sizes(content, path)
    network = Network(experiment.model, *sizes, state=content["ema"])
    snapshot = _snapshot(network, "checkpoint", path, device, experiment.training.precision)
    return replace(snapshot, experiment=experiment.to_flat())


def _sizes(values: Mapping[str, Any], path: Path) -> tuple[int, int, int]:
    return (
        whole_number(values.get("resolution"), "resolution", path, least=1),
        whole_number(values.get("channels"), "channels", path, least=1),
        whole_number(values.get("num_labels"), "num_labels", path),
    )
