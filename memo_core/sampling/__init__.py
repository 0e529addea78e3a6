"""Drawing images of a denoiser: Heun's samplers, and batches of a size that the memory holds."""

from memo_core.sampling.compiled import CompiledDenoiser, compiled_if_it_pays
from memo_core.sampling.generation import generate
from memo_core.sampling.heun import Churn, sample_heun, sample_stochastic, sigma_steps
from memo_core.sampling.pixels import to_uint8
from memo_core.sampling.streams import ImageStreams, draw_latents

__all__ = [
    "Churn",
    "CompiledDenoiser",
    "ImageStreams",
    "compiled_if_it_pays",
    "draw_latents",
    "generate",
    "sample_heun",
    "sample_stochastic",
    "sigma_steps",
    "to_uint8",
]
