"""The embedded pipeline: a Stable Diffusion of a million parameters for digits, made and trained where it is needed."""

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from filelock import FileLock
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from memo_core.data.sources import data_root, open_source
from memo_core.files import write_errors
from memo_core.randomness import named_generator, named_seed
from memo_core.text.class_names import class_names
from memo_core.text.latents import as_rgb
from memo_core.text.pipeline import quiet
from memo_core.text.prompts import PLAIN, embed
from memo_core.text.step import LatentBatch, cosine_learning_rate, noise_loss
from memo_core.threads import one_thread
from memo_core.training.steps.step import to_float

VERSION = 1
"""Of the pipeline: another recipe makes another folder."""
VAE_STEPS, UNET_STEPS = 1000, 1000
_BATCH_SIZE = 64
_VAE_RATE, _UNET_RATE = 3e-3, 1e-3
_KL_WEIGHT = 1e-6
_MAX_TOKENS = 16
_SPECIAL = ("<|startoftext|>", "<|endoftext|>")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,-'"

_log = logging.getLogger(__name__)


def tiny_pipeline() -> Path:
    """Return the folder of the embedded pipeline, in the folder of downloads; it is made where it is not there yet.

    Raises:
        MemosweepError: the folder cannot be written.
    """
    folder = data_root() / f"tiny-pipeline-{VERSION}"
    with write_errors(folder, 0):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                _log.info("the tiny pipeline is made in %s, once: about three minutes", folder)
                unfinished = folder.with_name(f".{folder.name}.part")
                shutil.rmtree(unfinished, ignore_errors=True)
                start = time.monotonic()
                make_tiny_pipeline(unfinished)
                unfinished.rename(folder)
                _log.info("the tiny pipeline is made, in %d s", time.monotonic() - start)
    return folder


def make_tiny_pipeline(folder: Path, vae_steps: int = VAE_STEPS, unet_steps: int = UNET_STEPS) -> None:
    """Assemble, train and save the pipeline.

    Its VAE is trained on all digits, its U-Net on mirrored ones with their prompts: a trial fine-tunes it on images
    that it has never seen. The text encoder stays as it is initialized: each word has an embedding of its own.

    Args:
        folder: to be made.
        vae_steps: of the VAE's training, with 64 images each.
        unet_steps: of the U-Net's, likewise.
    """
    quiet()
    with one_thread():
        _make(folder, vae_steps, unet_steps)


def _make(folder: Path, vae_steps: int, unet_steps: int) -> None:
    source = open_source("digits")
    assert source.labels is not None
    images = torch.stack([torch.from_numpy(source.read(index)) for index in range(source.size)])
    labels = torch.from_numpy(source.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(named_seed(0, "tiny pipeline"))
        vae, text_encoder, unet = _vae(), _text_encoder(), _unet()
    start = time.monotonic()
    _train_vae(vae.train(), images, vae_steps)
    _log.info("the tiny pipeline: its VAE is trained, in %d s; its U-Net is next", time.monotonic() - start)
    schedule = DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1
    )
    tokenizer = _tokenizer()
    prompts = [f"{PLAIN} of {name}" for name in class_names("digits")]
    embedded = embed([*prompts, PLAIN, ""], tokenizer, text_encoder.eval())
    _train_unet(unet.train(), vae.eval(), images.flip(-1), labels, embedded, schedule, unet_steps)
    pipeline: Any = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=schedule,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)


def _vae() -> Any:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=8,
        mid_block_add_attention=False,
    )


def _unet() -> Any:
    return UNet2DConditionModel(
        sample_size=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=8,
    )


def _text_encoder() -> Any:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(_vocabulary()[0]),
            hidden_size=32,
            intermediate_size=64,
            projection_dim=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=_MAX_TOKENS,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return tokens and merges: letters, and the words of the prompts, each of which becomes one token."""
    tokens = [*_SPECIAL, *_LETTERS, *(f"{letter}</w>" for letter in _LETTERS)]
    merges: list[tuple[str, str]] = []
    for word in ("picture", "of", *class_names("digits")):
        left = word[0]
        for letter in [*word[1:-1], f"{word[-1]}</w>"]:
            if (left, letter) not in merges:
                merges.append((left, letter))
                tokens.append(left + letter)
            left += letter
    return {token: number for number, token in enumerate(tokens)}, merges


def _tokenizer() -> Any:
    vocabulary, merges = _vocabulary()
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=_MAX_TOKENS)


def _batches(count: int, steps: int, *names: str) -> Iterator[Tensor]:
    generator = named_generator(0, "tiny pipeline", *names)
    for _ in range(steps):
        yield torch.randint(count, (_BATCH_SIZE,), generator=generator)


def _train_vae(vae: Any, images: UInt8[Tensor, "n c h w"], steps: int) -> None:
    pixels = to_float(as_rgb(images))
    generator = named_generator(0, "tiny pipeline", "vae noise")
    optimizer = torch.optim.Adam(vae.parameters())
    for step, indices in enumerate(_batches(len(images), steps, "vae order")):
        batch = pixels[indices]
        distribution = vae.encode(batch).latent_dist
        noise = torch.randn(distribution.mean.shape, generator=generator)
        decoded = vae.decode(distribution.mean + distribution.std * noise, return_dict=False)[0]
        loss = F.mse_loss(decoded, batch) + _KL_WEIGHT * distribution.kl().mean()
        _descend(optimizer, vae, loss, cosine_learning_rate(step, _VAE_RATE, 50, steps))
    vae.requires_grad_(False)
    latents = vae.encode(pixels).latent_dist.mean
    # As for published pipelines: the U-Net sees latents of unit variance.
    vae.register_to_config(scaling_factor=round(1 / float(latents.std()), 5))


def _train_unet(
    unet: Any,
    vae: Any,
    images: UInt8[Tensor, "n c h w"],
    labels: Tensor,
    embedded: Float[Tensor, "p t d"],
    schedule: Any,
    steps: int,
) -> None:
    latents = vae.encode(to_float(as_rgb(images))).latent_dist.mean * vae.config.scaling_factor
    generator = named_generator(0, "tiny pipeline", "unet noise")
    optimizer = torch.optim.Adam(unet.parameters())
    plain = len(embedded) - 2
    for step, indices in enumerate(_batches(len(images), steps, "unet order")):
        # Half with the class, the rest with the plain prompt or, for guidance, with none.
        kind = torch.rand(len(indices), generator=generator)
        prompts = torch.where(kind < 0.5, labels[indices], plain + (kind > 0.9).long())
        batch = LatentBatch(
            latents[indices],
            torch.randn(latents[indices].shape, generator=generator),
            torch.randint(1000, (len(indices),), generator=generator),
            embedded[prompts],
        )
        loss = noise_loss(unet, batch, schedule)
        _descend(optimizer, unet, loss, cosine_learning_rate(step, _UNET_RATE, 50, steps))
    unet.requires_grad_(False)


def _descend(optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor, learning_rate: float) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.param_groups[0]["lr"] = learning_rate
    optimizer.step()
