"""Images of a fine-tuned pipeline, by DDIM with classifier-free guidance; each draws from a generator of its own."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from memo_core.model.precision import gpu_arithmetic
from memo_core.sampling import ImageStreams, to_uint8
from memo_core.text.latents import decode
from memo_core.text.pipeline import Pipeline, stable_diffusion
from memo_core.text.prompts import embed


def prompt_index(seed: int, count: int) -> int:
    """Return which of `count` prompts an image is drawn for: in turns, so that any run of seeds has equal shares."""
    return seed % count


class PipelineSampler:
    """Draws images of a pipeline, as `StableDiffusionPipeline` does with its DDIM schedule, and no safety checker.

    Args:
        pipeline: its parts, on one device.
        prompts: image i of an evaluation is drawn for one of them, in turns.
        resolution: pixels a side.
        channels: of the images, 1 or 3.
        steps: of DDIM.
        guidance_scale: of classifier-free guidance against the empty prompt; none up to 1.
        batch_size: images at once.
        precision: `float32`, `tf32` or `bfloat16` (autocast of the U-Net).
    """

    def __init__(
        self,
        pipeline: Pipeline,
        prompts: Sequence[str],
        resolution: int,
        channels: int = 3,
        steps: int = 50,
        guidance_scale: float = 7.5,
        batch_size: int = 50,
        precision: str = "float32",
    ) -> None:
        self._parts, self._resolution, self._channels = pipeline, resolution, channels
        self._steps, self._guidance_scale = steps, guidance_scale
        self._batch_size, self._precision = batch_size, precision
        self._prompts = tuple(prompts)
        # The empty prompt last.
        embedded = embed([*prompts, ""], pipeline.tokenizer, pipeline.text_encoder)
        self._embedded, self._empty = embedded[:-1], embedded[-1:]
        self._pipeline = stable_diffusion(pipeline)

    @torch.inference_mode()
    def __call__(
        self, seeds: Sequence[int], on_batch: Callable[[int], None] | None = None, /
    ) -> UInt8[Tensor, "n c h w"]:
        """Return one image per seed, on the CPU.

        Raises:
            NotFiniteError: a sample is NaN or infinite.
        """
        images = []
        for start in range(0, len(seeds), self._batch_size):
            batch = seeds[start : start + self._batch_size]
            images.append(to_uint8(self._draw(batch), batch).cpu())
            if on_batch is not None:
                on_batch(len(batch))
        return torch.cat(images)

    def _draw(self, seeds: Sequence[int]) -> Float[Tensor, "n c h w"]:
        device = self._embedded.device
        unet = self._parts.unet
        side = self._resolution // self._parts.latent_scale
        noise = ImageStreams(seeds).normal((unet.config.in_channels, side, side)).to(device)
        which = torch.tensor([prompt_index(seed, len(self._prompts)) for seed in seeds], device=device)
        with gpu_arithmetic(self._precision, device):
            with torch.autocast(device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
                latents = self._pipeline(
                    prompt_embeds=self._embedded[which],
                    negative_prompt_embeds=self._empty.expand(len(seeds), -1, -1),
                    latents=noise,
                    height=self._resolution,
                    width=self._resolution,
                    num_inference_steps=self._steps,
                    guidance_scale=self._guidance_scale,
                    output_type="latent",
                ).images
            return decode(self._parts.vae, latents, self._channels)
