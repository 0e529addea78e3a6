"""Adapters (LoRA) of a file of diffusers, peft or kohya, added to a pipeline; a file that fits in part is refused."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from peft import LoraConfig
from safetensors import safe_open
from torch import Tensor, nn

from memo_core.errors import MemosweepError, first_line, quoted
from memo_core.text.pipeline import Pipeline, stable_diffusion

_PEFT_PREFIX = "base_model.model."
_PEFT_CONFIG = "adapter_config.json"
_SETTINGS = (
    "r",
    "lora_alpha",
    "rank_pattern",
    "alpha_pattern",
    "target_modules",
    "use_rslora",
    "use_dora",
    "lora_bias",
)
"""What peft's configuration says of adapters that have been trained."""
_NETWORKS = ("unet", "text_encoder")

_log = logging.getLogger(__name__)


def add_lora(parts: Pipeline, file: Path) -> None:
    """Add adapters to the U-Net, and to the text encoder where the file has some for it, in place.

    Args:
        parts: without adapters.
        file: safetensors of diffusers (`unet.` before the names of layers, or none), peft (whose `adapter_config.json`
            is read where it lies beside the file) or kohya.

    Raises:
        MemosweepError: it cannot be read, or holds tensors that the pipeline has no place for.
    """
    if file.suffix != ".safetensors" or not file.is_file():
        raise MemosweepError(f"--lora {file}: expected a file ending in .safetensors")
    pipeline = stable_diffusion(parts)
    # Files that are damaged or of other networks: the libraries have many errors for them.
    try:
        with safe_open(file, "pt") as content:
            names = list(content.keys())
        # Kohya's names are converted.
        stored, alphas, metadata = pipeline.lora_state_dict(
            str(file.resolve().parent), weight_name=file.name, use_safetensors=True, local_files_only=True,
            return_lora_metadata=True,
        )  # fmt: skip
    except Exception as error:
        raise MemosweepError(f"--lora {file}: does not fit {parts.name} ({first_line(error)})") from None
    if any("dora_scale" in name for name in names):
        raise MemosweepError(f"--lora {file}: is a DoRA of kohya's kind, whose scales diffusers leaves out; not read")
    weights = _by_network(stored, parts.unet, file)
    if metadata is None and any(_PEFT_PREFIX in name for name in stored):
        metadata = _peft_settings(file)
    # Nothing is initialized, which would draw from the default generator.
    options = {"_pipeline": pipeline, "low_cpu_mem_usage": True}
    try:
        pipeline.load_lora_into_unet(weights, alphas, parts.unet, metadata=metadata, **options)
        if metadata is not None and not any(key.startswith("text_encoder.") for key in metadata):
            metadata = None
        pipeline.load_lora_into_text_encoder(weights, alphas, parts.text_encoder, metadata=metadata, **options)
    except Exception as error:
        raise MemosweepError(f"--lora {file}: does not fit {parts.name} ({first_line(error)})") from None
    # The libraries pass over what they have no place for.
    for prefix, title, network in (("unet", "U-Net", parts.unet), ("text_encoder", "text encoder", parts.text_encoder)):
        expected = sum(name.startswith(f"{prefix}.") for name in weights)
        loaded = _count_adapters(network)
        if loaded != expected:
            raise MemosweepError(
                f"--lora {file}: does not fit {parts.name} ({loaded:,} of its {expected:,} tensors have a place in "
                f"the {title}); name the pipeline that it was trained for"
            )


def _by_network(stored: Mapping[str, Tensor], unet: nn.Module, file: Path) -> dict[str, Tensor]:
    """Return adapters by the names that diffusers loads, which begin with the network."""
    layers = {name for name, _ in unet.named_children()}
    weights, others = {}, []
    for name, value in stored.items():
        # `processor` is in the names of old versions of diffusers.
        plain = name.replace(_PEFT_PREFIX, "").replace(".processor.", ".")
        first = plain.partition(".")[0]
        if first in layers:
            plain = f"unet.{plain}"
        elif first not in _NETWORKS:
            others.append(name)
        weights[plain] = value
    if others or not weights:
        raise MemosweepError(f"--lora {file}: {_what_else(others)}, expected adapters of a Stable Diffusion 1 or 2")
    return weights


def _what_else(others: Iterable[str]) -> str:
    first = min(others, default=None)
    return "holds no tensors" if first is None else f"{quoted(first)} is no layer of the U-Net or the text encoder"


def _peft_settings(file: Path) -> dict[str, Any] | None:
    """Return what peft's file beside the adapters says of their strength, as diffusers' metadata."""
    if not (file.parent / _PEFT_CONFIG).is_file():
        _log.info("%s: no %s beside it, alpha is taken to equal the rank", file.name, _PEFT_CONFIG)
        return None
    try:
        settings = LoraConfig.from_pretrained(str(file.parent)).to_dict()
    except Exception as error:
        raise MemosweepError(f"--lora {file}: {_PEFT_CONFIG} beside it cannot be read ({first_line(error)})") from None
    return {f"unet.{key}": settings[key] for key in _SETTINGS if key in settings}


def _count_adapters(network: nn.Module) -> int:
    return sum(".lora_" in name for name, _ in network.named_parameters())
