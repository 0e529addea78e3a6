"""Read any file that holds a trained denoiser: our checkpoint, an EDM pickle, EDM-named safetensors."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor

from memo_core.data.file_kinds import HEAD_SIZE, identify
from memo_core.errors import MemosweepError, first_line, quoted, reason_of
from memo_core.experiment import Experiment, FlatExperiment, ModelConfig
from memo_core.files import refuse_url, write_atomically
from memo_core.interop.edm import (
    Network,
    attention_resolution,
    model_config,
    network_from_pickle,
    skip_mask,
    whole_number,
)
from memo_core.interop.foreign import from_names, in_folder, in_safetensors, in_zip, pickle_names, snapshot_beside
from memo_core.interop.inert_pickle import load_inert
from memo_core.interop.weights import check_fit, check_weights
from memo_core.model.denoiser import NetworkDenoiser, build_denoiser
from memo_core.model.unet import count_parameters
from memo_core.training.saving.checkpoint import read_checkpoint
from memo_core.training.steps.mode import StepMode

Format = Literal["checkpoint", "edm-pickle", "safetensors"]

_NEEDED = "name a checkpoint, an EDM pickle or safetensors"

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


class FineTunedError(MemosweepError):
    """A checkpoint holds what was trained of a pipeline, and not a network on its own."""

    def __init__(self, message: str, content: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.content = content
        """Of the checkpoint."""


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
    """Return the JSON description of a snapshot, in the order of the format."""
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
            does not implement. Files of other projects are named, with what to do instead.
    """
    refuse_url(os.fspath(path), "snapshots")
    path = Path(path)
    kind = identify(_read_head(path))
    if kind.name == "zip":
        return _from_checkpoint(path, device)
    if kind.name == "safetensors":
        return _from_safetensors(path, device)
    if kind.name == "pickle":
        return _from_pickle(path, device)
    if kind.name == "torch-legacy" and (foreign := from_names(pickle_names(path.read_bytes()))):
        raise MemosweepError(f"{path}: {foreign}")
    raise MemosweepError(f"{path}: is {kind.what}, not a snapshot; {kind.advice or _NEEDED}")


def _read_head(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise MemosweepError(f"{path}: {in_folder(path)}")
        if path.exists() and not path.is_file():
            raise MemosweepError(f"{path}: is not a regular file; a snapshot file is needed")
        with path.open("rb") as file:
            return file.read(HEAD_SIZE)
    # Beside the file system's errors: a zero byte in the name.
    except (OSError, ValueError) as error:
        if isinstance(error, MemosweepError):
            raise
        reason = reason_of(error, path) if isinstance(error, OSError) else first_line(error)
        raise MemosweepError(f"{path}: {reason}; a snapshot file is needed") from None


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
    state = {name: value.detach().to("cpu", torch.float32).contiguous() for name, value in denoiser_state.items()}
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
    if config.architecture == "optimum":
        raise MemosweepError(f"{path}: architecture = 'optimum' has no weights; it must be ddpmpp or ncsnpp")
    check_weights(network.state, path)
    misfit = (
        f"{path}: weights do not fit {config.architecture}, width {config.width}, depth {config.depth} "
        f"at {network.resolution} pixels"
    )
    # The sizes are only what the file claims: nothing of that size is made before they prove to be the weights'.
    blocks = len(config.channel_multipliers) * (2 * config.depth + 1)
    if blocks > len(network.state):
        raise MemosweepError(f"{misfit}: {len(network.state)} tensors for {blocks} blocks")
    try:
        with torch.device("meta"):
            denoiser = build_denoiser(config, *sizes, device="meta", precision=precision)
    except MemosweepError as error:
        raise MemosweepError(f"{path}: {error}") from None
    # Sizes beyond what any tensor has.
    except (RuntimeError, TypeError, OverflowError) as error:
        raise MemosweepError(f"{misfit}: {first_line(error)}") from None
    check_fit(denoiser, network.state, misfit)
    denoiser = denoiser.to_empty(device=device)
    denoiser.load_state_dict(network.state)
    denoiser = denoiser.eval().requires_grad_(False)
    return Snapshot(denoiser, config, *sizes, source=source)


def _from_pickle(path: Path, device: torch.device | str) -> Snapshot:
    data = path.read_bytes()
    try:
        network = network_from_pickle(load_inert(data, path), path)
    except MemosweepError:
        foreign = from_names(pickle_names(data))
        if foreign is None:
            raise
        raise MemosweepError(f"{path}: {foreign}") from None
    return _snapshot(network, "edm-pickle", path, device)


def _from_safetensors(path: Path, device: torch.device | str) -> Snapshot:
    beside = path.with_suffix(".json")
    foreign = None if beside.exists() else in_safetensors(path)
    if foreign is not None:
        raise MemosweepError(f"{path}: {foreign}")
    description = _description(beside)
    try:
        state = safetensors.torch.load_file(path)
    # Damage, or kinds of numbers that PyTorch does not know.
    except Exception as error:
        raise MemosweepError(f"{path}: damaged ({first_line(error)})") from None
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
    snapshot = _snapshot(Network(config, *sizes, state=state), "safetensors", path, device)
    claimed, found = description.get("num_params"), count_parameters(snapshot.denoiser)
    if claimed is not None and claimed != found:
        raise MemosweepError(f"{beside}: num_params = {quoted(claimed)}, but the network has {found}")
    return snapshot


def _description(beside: Path) -> dict[str, Any]:
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
    except OSError as error:
        raise MemosweepError(f"{beside}: {error.strerror or error}; safetensors need their description") from None
    except (ValueError, RecursionError) as error:
        raise MemosweepError(f"{beside}: not JSON ({first_line(error)})") from None
    if not isinstance(description, dict):
        raise MemosweepError(f"{beside}: a JSON object is needed")
    return description


def _from_checkpoint(path: Path, device: torch.device | str) -> Snapshot:
    try:
        content = read_checkpoint(path)
    except MemosweepError:
        foreign = in_zip(path)
        if foreign is None:
            raise
        beside = snapshot_beside(path)
        raise MemosweepError(f"{path}: {foreign}{f': {beside}' if beside else ''}") from None
    experiment = Experiment.from_flat(content["experiment"])
    if experiment.model.architecture == "pipeline":
        raise FineTunedError(
            f"{path}: of a fine-tuned pipeline ({experiment.text.pipeline}), not of a network on its own; "
            "`python -m memo_core export` makes a pipeline or a LoRA of it, for sample --pipeline",
            content,
        )
    network = Network(experiment.model, *_sizes(content, path), state=content["ema"])
    try:
        mode = StepMode.stored(content)
    except MemosweepError as error:
        raise MemosweepError(f"{path}: {error}") from None
    precision = experiment.training.precision if mode is None else mode.precision
    snapshot = _snapshot(network, "checkpoint", path, device, precision)
    return replace(snapshot, experiment=experiment.to_flat())


def _sizes(values: Mapping[str, Any], path: Path) -> tuple[int, int, int]:
    return (
        whole_number(values.get("resolution"), "resolution", path, least=1),
        whole_number(values.get("channels"), "channels", path, least=1),
        whole_number(values.get("num_labels"), "num_labels", path),
    )
