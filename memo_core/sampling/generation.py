"""Images of a denoiser, one a seed, drawn in batches that the memory holds."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from memo_core.errors import MemosweepError
from memo_core.memory import is_memory_error
from memo_core.model.denoiser import Denoiser
from memo_core.model.precision import gpu_arithmetic
from memo_core.sampling.compiled import CompiledDenoiser
from memo_core.sampling.heun import sample_heun, sample_stochastic
from memo_core.sampling.pixels import to_uint8
from memo_core.sampling.room import fitting_batch_size
from memo_core.sampling.streams import ImageStreams, latents_and_labels

_log = logging.getLogger(__name__)


def generate(
    denoiser: Denoiser,
    seeds: Sequence[int],
    steps: int = 18,
    batch_size: int = 500,
    on_batch: Callable[[int], None] | None = None,
    sampler: str = "ode",
) -> tuple[UInt8[Tensor, "n c h w"], Int[Tensor, " n"] | None]:
    """Draw one image per seed, in batches; an image does not depend on its neighbors in the batch.

    Args:
        denoiser: any.
        seeds: one per image.
        steps: noise levels.
        batch_size: the most images at once. Fewer are drawn of a network where the free memory holds fewer, and of any
            denoiser where the memory runs out.
        on_batch: called with the number of images just finished.
        sampler: `ode` (`sample_heun`) or `sde` (`sample_stochastic`).

    Returns:
        Images (N, C, H, W) uint8 and labels (N,) or None, on the CPU.

    Raises:
        MemosweepError: no seeds, fewer than two steps, or a sampler of another name.
        NotFiniteError: a sample is NaN or infinite.
    """
    if not seeds or steps < 2 or batch_size < 1:
        raise MemosweepError(
            f"{len(seeds)} seeds, {steps} steps, batches of {batch_size}: at least 1, 2 and 1 are needed"
        )
    if sampler not in ("ode", "sde"):
        raise MemosweepError(f"sampler {sampler!r}: choose ode or sde")
    images: list[Tensor] = []
    labels: list[Tensor] = []
    size, drawn = fitting_batch_size(denoiser, min(batch_size, len(seeds))), 0
    while drawn < len(seeds):
        batch = _draw_if_it_fits(denoiser, seeds[drawn : drawn + size], steps, sampler, size)
        if batch is None:
            _log.warning("out of memory with %d images at once: %d are drawn instead", size, -(-size // 2))
            size = -(-size // 2)
            continue
        images.append(batch[0])
        if batch[1] is not None:
            labels.append(batch[1])
        drawn += len(batch[0])
        if on_batch is not None:
            on_batch(len(batch[0]))
    return torch.cat(images), torch.cat(labels) if labels else None


def _draw_if_it_fits(
    denoiser: Denoiser, seeds: Sequence[int], steps: int, sampler: str, size: int
) -> tuple[Tensor, Tensor | None] | None:
    """Return images and labels; None where the memory does not suffice for them, but may for fewer."""
    try:
        return _draw(denoiser, seeds, steps, sampler, size)
    except (MemoryError, RuntimeError) as error:
        if size == 1 or not is_memory_error(error):
            raise
    # Not before the error is gone, which holds the tensors of all that it passed through.
    if denoiser.device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def _draw(
    denoiser: Denoiser, seeds: Sequence[int], steps: int, sampler: str, size: int
) -> tuple[Tensor, Tensor | None]:
    """Return images (N, C, H, W), uint8, and labels (N,) or None, on the CPU; `size` is that of full batches."""
    count, shape, device = len(seeds), denoiser.image_shape, denoiser.device
    if isinstance(denoiser, CompiledDenoiser):
        # A smaller batch would be compiled by itself.
        seeds = [*seeds, *[seeds[-1]] * (size - count)]
    streams = ImageStreams(seeds)
    latents, labels = latents_and_labels(streams, shape, denoiser.num_labels)
    latents, conditions = latents.to(device), None if labels is None else labels.to(device)
    with gpu_arithmetic(getattr(denoiser, "precision", "float32"), device):
        if sampler == "sde":
            draw = partial(streams.normal, shape, torch.float64)
            batch = sample_stochastic(denoiser, latents, draw, conditions, steps)
        else:
            batch = sample_heun(denoiser, latents, conditions, steps)
    return to_uint8(batch[:count], seeds).cpu(), None if labels is None else labels[:count]
