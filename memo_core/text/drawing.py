"""Images of any Stable Diffusion, with or without a LoRA, for a list of prompts: to audit what others trained."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from memo_core.errors import MemosweepError
from memo_core.text.lora import add_lora
from memo_core.text.pipeline import check_resolution, find_pipeline, load_pipeline
from memo_core.text.sampler import PipelineSampler, prompt_index

_log = logging.getLogger(__name__)


def read_prompts(path: Path) -> tuple[str, ...]:
    """Read prompts, one a line; empty lines are passed over.

    Raises:
        MemosweepError: no such file, or no prompt in it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise MemosweepError(f"--prompts {path}: cannot be read ({error.strerror or error})") from None
    except ValueError:
        raise MemosweepError(f"--prompts {path}: is not UTF-8 text") from None
    prompts = tuple(line.strip() for line in lines if line.strip())
    if not prompts:
        raise MemosweepError(f"--prompts {path}: holds no prompt, expected one a line")
    return prompts


def draw_images(
    pipeline: str,
    prompts: Sequence[str],
    seeds: Sequence[int],
    lora: Path | None = None,
    resolution: int | None = None,
    steps: int = 50,
    guidance_scale: float = 7.5,
    batch_size: int = 8,
    device: torch.device | str = "cpu",
    on_batch: Callable[[int], None] | None = None,
) -> tuple[UInt8[Tensor, "n c h w"], Int64[Tensor, " n"]]:
    """Draw one image per seed by DDIM; the prompts take turns, seed s has prompt s modulo their number.

    Args:
        pipeline: a folder, or a name on the Hugging Face hub.
        prompts: at least one.
        seeds: one per image.
        lora: safetensors with adapters for it, of diffusers, peft or kohya.
        resolution: pixels a side; None takes the pipeline's own.
        steps: of DDIM.
        guidance_scale: of classifier-free guidance; none up to 1.
        batch_size: images at once.
        device: where.
        on_batch: called with the number of images just finished.

    Returns:
        Images (N, 3, H, W) uint8, and the position of each one's prompt, on the CPU.

    Raises:
        MemosweepError: the pipeline or the LoRA cannot be read, or do not fit each other or the resolution.
    """
    if len(prompts) > len(set(seeds)):
        _log.info("%d seeds for %d prompts: some have no image", len(set(seeds)), len(prompts))
    folder = find_pipeline(pipeline)
    if resolution is not None:
        check_resolution(folder, pipeline, resolution)
    parts = load_pipeline(pipeline)
    # Before diffusers' pipeline is made: for folders of its versions before 0.9 that sets another `sample_size`.
    side = resolution or int(parts.unet.config.sample_size) * parts.latent_scale
    if lora is not None:
        add_lora(parts, lora)
    parts.to(device)
    sampler = PipelineSampler(parts, prompts, side, 3, steps, guidance_scale, batch_size)
    images = sampler(seeds, on_batch)
    return images, torch.tensor([prompt_index(seed, len(prompts)) for seed in seeds])
