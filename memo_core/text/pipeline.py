"""A Stable Diffusion pipeline from a folder or the Hugging Face hub: its parts, read from safetensors alone."""

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from huggingface_hub import snapshot_download
from transformers import CLIPTextModel, CLIPTokenizer

from memo_core.errors import MemosweepError, first_line, quoted
from memo_core.experiment import TINY_PIPELINE

INDEX = "model_index.json"
_MODELS = {"unet": "U-Net", "vae": "VAE", "text_encoder": "text encoder"}
PARTS = {**_MODELS, "tokenizer": "tokenizer", "scheduler": "noise schedule"}
_CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}
_WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}
"""What the libraries read, or beside it an index of its shards."""
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_HOW_TO_SAVE = "save it with save_pretrained(..., safe_serialization=True)"
_PIXELS_UNIT = 8
"""Of the sides of images, as `StableDiffusionPipeline` requires."""
_PREDICTIONS = ("epsilon", "v_prediction")

_log = logging.getLogger(__name__)


def quiet() -> None:
    """Switch off progress bars and advice of the libraries: what matters is raised, or logged here."""
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


@dataclass(frozen=True)
class Pipeline:
    """The parts of a pipeline, in evaluation mode and without gradients."""

    name: str
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    noise_schedule: Any
    """`DDPMScheduler`: adds noise in training."""
    sampler: Any
    """`DDIMScheduler` of the same configuration."""
    sha256: str
    """Of the files that the parts were read from."""

    @property
    def latent_scale(self) -> int:
        """Pixels a side that one latent stands for."""
        return _latent_scale(self.vae.config)

    def to(self, device: torch.device | str) -> "Pipeline":
        """Move the networks to a device, in place."""
        for part in (self.unet, self.vae, self.text_encoder):
            part.to(device)
        return self


def _latent_scale(vae_config: Mapping[str, Any]) -> int:
    return int(2 ** (len(vae_config["block_out_channels"]) - 1))


def check_resolution(folder: Path, name: str, resolution: int) -> None:
    """Refuse images that a pipeline cannot take; log where they are not of the size that it was made for.

    Args:
        folder: of the pipeline.
        name: of the pipeline, for messages.
        resolution: pixels a side.

    Raises:
        MemosweepError: `resolution` is not a multiple of what the networks halve.
    """
    unet, vae = (_json(folder / part / "config.json", name) for part in ("unet", "vae"))
    scale, halvings = _latent_scale(vae), len(unet["block_out_channels"]) - 1
    unit = max(_PIXELS_UNIT, scale * 2**halvings)
    if resolution % unit:
        raise MemosweepError(
            f"data.resolution = {resolution}: {name} takes multiples of {unit} pixels a side; set data.resolution"
        )
    own = unet["sample_size"] * scale
    if resolution != own:
        _log.info("%s was made for images of %s pixels a side, these have %d", name, own, resolution)


def find_pipeline(name: str, revision: str | None = None) -> Path:
    """Return the folder of a pipeline, whose parts were found there; one of the hub is downloaded first.

    Args:
        name: a folder, a name on the Hugging Face hub such as `lambdalabs/miniSD-diffusers`, or `tiny`.
        revision: branch, tag or commit on the hub.

    Raises:
        MemosweepError: there is no such pipeline, it is of another kind, or its weights are not safetensors.
    """
    if name == TINY_PIPELINE:
        from memo_core.text.tiny import tiny_pipeline  # noqa: PLC0415 - it uses this module

        return tiny_pipeline()
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if folder.exists() or name.startswith(("/", ".", "~")) or name.count("/") != 1:
            raise MemosweepError(
                f"pipeline {name}: neither the folder of a diffusers pipeline nor a name on the Hugging Face "
                "hub, such as lambdalabs/miniSD-diffusers"
            )
        folder = _downloaded(name, revision)
    check_folder(folder, name)
    return folder


def _downloaded(name: str, revision: str | None) -> Path:
    patterns = [INDEX, *(f"{part}/*.{ending}" for part in PARTS for ending in ("json", "txt", "safetensors"))]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns, ignore_patterns="*.fp16.*"))
    # No network, no such name, no right to read it: the hub's client has an error for each.
    except Exception as error:
        raise MemosweepError(
            f"pipeline {name}: neither a folder, nor could it be had from the Hugging Face hub ({first_line(error)})"
        ) from None


def check_folder(folder: Path, name: str) -> None:
    """Check without loading weights that a folder holds a pipeline that can be fine-tuned.

    Raises:
        MemosweepError: what is missing, or of another kind.
    """
    index = _json(folder / INDEX, name)
    for part, title in PARTS.items():
        if not (folder / part).is_dir() or not index.get(part) or index[part][-1] is None:
            raise MemosweepError(f"pipeline {name}: has no {title} (folder {part})")
    for part, title in _MODELS.items():
        if index[part][-1] != _CLASSES[part]:
            raise MemosweepError(
                f"pipeline {name}: its {title} is a {quoted(index[part][-1])}, only {_CLASSES[part]} is "
                "fine-tuned (Stable Diffusion 1 and 2)"
            )
        _check_weights(folder / part, part, name)
    if "text_encoder_2" in index:
        raise MemosweepError(f"pipeline {name}: has two text encoders, only Stable Diffusion 1 and 2 are fine-tuned")
    prediction = _json(folder / "scheduler" / "scheduler_config.json", name).get("prediction_type", "epsilon")
    if prediction not in _PREDICTIONS:
        raise MemosweepError(
            f"pipeline {name}: prediction_type = {quoted(prediction)}, expected {' or '.join(_PREDICTIONS)}"
        )
    _check_sizes(folder, name)


def _check_weights(folder: Path, part: str, name: str) -> None:
    title, expected = _MODELS[part], _WEIGHTS[part]
    files = sorted(file.name for file in folder.iterdir())
    if expected in files:
        return
    index = f"{expected}.index.json"
    if index in files:
        shards = _json(folder / index, name).get("weight_map")
        missing = sorted(set(shards.values()) - set(files)) if isinstance(shards, dict) else [index]
        if missing:
            raise MemosweepError(f"pipeline {name}: the weights of its {title} lack {missing[0]} (folder {part})")
        return
    variant = next((file for file in files if file.endswith(".safetensors")), None)
    if variant is not None:
        raise MemosweepError(
            f"pipeline {name}: the weights of its {title} are in {variant}, not in {expected}; load it with the "
            f"variant of that name, such as fp16, and {_HOW_TO_SAVE}"
        )
    if any(file.endswith(_PICKLED) for file in files):
        raise MemosweepError(
            f"pipeline {name}: the weights of its {title} are pickled, which can run code and is not read; "
            f"{_HOW_TO_SAVE}"
        )
    # Pickled ones, and variants, are not downloaded from the hub.
    raise MemosweepError(
        f"pipeline {name}: its {title} has no {expected} (folder {part}); pickled weights are not read: {_HOW_TO_SAVE}"
    )


def _check_sizes(folder: Path, name: str) -> None:
    """Refuse networks that do not fit each other, or that take more than noisy latents, a step and a prompt."""
    unet, vae, text = (_json(folder / part / "config.json", name) for part in _MODELS)
    inputs, latents = unet.get("in_channels", 4), vae.get("latent_channels", 4)
    if inputs != latents:
        raise MemosweepError(
            f"pipeline {name}: its U-Net has in_channels = {quoted(inputs)}, where the VAE has {quoted(latents)}: it "
            "takes a picture besides (inpainting, editing or enlarging), only text-to-image pipelines are fine-tuned"
        )
    for key in ("class_embed_type", "num_class_embeds", "addition_embed_type"):
        if unet.get(key) is not None:
            raise MemosweepError(
                f"pipeline {name}: its U-Net has {key} = {quoted(unet[key])}, it takes more than a prompt; only "
                "Stable Diffusion 1 and 2 are fine-tuned"
            )
    if "sample_size" not in unet or type(unet["sample_size"]) is not int or unet["sample_size"] < 1:
        raise MemosweepError(
            f"pipeline {name}: unet/config.json has sample_size = {quoted(unet.get('sample_size'))}, expected the "
            "latents a side of its images, such as 64"
        )
    width, context = text.get("hidden_size"), unet.get("cross_attention_dim")
    if type(width) is int and type(context) is int and width != context:
        raise MemosweepError(
            f"pipeline {name}: its text encoder has hidden_size = {width}, its U-Net cross_attention_dim = {context}: "
            "they are of different pipelines"
        )
    for part, config in (("unet", unet), ("vae", vae)):
        if not isinstance(config.get("block_out_channels"), list):
            raise MemosweepError(f"pipeline {name}: {part}/config.json has no list block_out_channels")


def _json(file: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise MemosweepError(
            f"pipeline {name}: not the folder of a diffusers pipeline ({file.name}: {error.strerror or error})"
        ) from None
    except (ValueError, RecursionError) as error:
        raise MemosweepError(f"pipeline {name}: {file.name} is not JSON ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise MemosweepError(f"pipeline {name}: {file.name} is not a JSON object")
    return content


def load_pipeline(name: str, revision: str | None = None) -> Pipeline:
    """Read a pipeline's parts in float32, on the CPU; a local one without network.

    Raises:
        MemosweepError: see `find_pipeline`, or a part cannot be read.
    """
    quiet()
    folder = find_pipeline(name, revision)
    options: dict[str, Any] = {"local_files_only": True}
    weights: dict[str, Any] = {**options, "use_safetensors": True}
    try:
        unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", **weights)
        vae = AutoencoderKL.from_pretrained(folder, subfolder="vae", **weights)
        text_encoder = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder", **weights)
        tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer", **options)
        schedule = DDPMScheduler.from_pretrained(folder, subfolder="scheduler", **options)
    # The libraries fail in many ways over damaged or unfitting files.
    except Exception as error:
        raise MemosweepError(f"pipeline {name}: cannot be read ({first_line(error)})") from None
    for network in (unet, vae, text_encoder):
        network.to(torch.float32).eval().requires_grad_(False)
    sampler = DDIMScheduler.from_config(schedule.config)
    return Pipeline(name, unet, vae, text_encoder, tokenizer, schedule, sampler, _sha256(folder))


def stable_diffusion(parts: Pipeline) -> Any:
    """Return diffusers' own pipeline of these parts, without a safety checker and without a progress bar."""
    with warnings.catch_warnings():
        # Over folders of old versions, whose settings it then replaces.
        warnings.simplefilter("ignore", FutureWarning)
        pipeline: Any = StableDiffusionPipeline(
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            unet=parts.unet,
            scheduler=parts.sampler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _sha256(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of the files of all parts."""
    found = hashlib.sha256()
    for part in sorted(PARTS):
        for file in sorted((folder / part).iterdir()):
            if file.suffix in (".json", ".txt", ".safetensors"):
                with file.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                found.update(f"{part}{os.sep}{file.name} {digest}\n".encode())
    return found.hexdigest()
