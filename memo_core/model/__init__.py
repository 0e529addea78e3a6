"""Networks and preconditioning: from an experiment to a denoiser, a function of (x, sigma, labels)."""

from memo_core.model.denoiser import Denoiser, NetworkDenoiser, build_denoiser, build_network
from memo_core.model.preconditioning import PRECONDITIONINGS, Preconditioning
from memo_core.model.unet import UNet

__all__ = [
    "PRECONDITIONINGS",
    "Denoiser",
    "NetworkDenoiser",
    "Preconditioning",
    "UNet",
    "build_denoiser",
    "build_network",
]
