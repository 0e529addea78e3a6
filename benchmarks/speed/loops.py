"""Training steps of one network and batch: ours, the published kind of loop, and diffusers' U-Net under its own."""

import contextlib
import copy
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.machine import Run, Size
from memo_core.memory import keep_freed_memory
from memo_core.model import NetworkDenoiser, build_denoiser, layers
from memo_core.model.precision import gpu_arithmetic
from memo_core.training.steps.captured import CapturedStep, choose_step, compiled_loss
from memo_core.training.steps.step import TrainingState, denoising_loss, to_float

WITHOUT_DIFFUSERS = "diffusers is not installed: pip install diffusers"


@dataclass(frozen=True)
class Batch:
    """What a step is given: images (N, C, H, W) uint8, noise levels (N,) and standard normal noise."""

    images: Tensor
    sigma: Tensor
    noise: Tensor

    @classmethod
    def draw(cls, size: Size, device: torch.device | str = "cpu") -> "Batch":
        """Draw one, the same on every device."""
        generator = torch.Generator().manual_seed(0)
        shape = (size.batch_size, size.channels, size.resolution, size.resolution)
        images = torch.randint(0, 256, shape, generator=generator).to(torch.uint8)
        sigma, noise = torch.rand(len(images), generator=generator) * 3 + 0.1, torch.randn(shape, generator=generator)
        return cls(images.to(device), sigma.to(device), noise.to(device))


def build(size: Size, device: torch.device | str = "cpu", precision: str = "float32") -> NetworkDenoiser:
    """Build our network without labels."""
    return build_denoiser(size.config, size.resolution, size.channels, 0, device=device, precision=precision)


@contextlib.contextmanager
def kernels_of_pytorch() -> Iterator[None]:
    """Let our networks compute with PyTorch's convolution and group normalization everywhere, as others' do."""

    def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)

    with mock.patch.multiple(layers, convolve=convolve, group_norm=F.group_norm):
        yield


def our_step(
    size: Size, device: torch.device, precision: str = "float32", mode: str | None = None, pool: Any = None
) -> Run:
    """Return our training step, as a trial takes it.

    Args:
        size: of network and batch.
        device: of both.
        precision: as `training.precision`.
        mode: as `training.compile`; None is `graph`, which a CPU runs operation by operation.
        pool: memory that steps captured on a GPU share, since they never run at the same time.
    """
    if device.type == "cpu":
        keep_freed_memory()
    batch = Batch.draw(size, device)
    state = TrainingState.create(build(size, device, precision).train(), build(size, device, precision))
    mode = mode or "graph"
    if device.type == "cuda" and mode in ("graph", "full"):
        loss = compiled_loss(device) if mode == "full" else denoising_loss
        step: Any = CapturedStep(loss, pool=pool)
    else:
        step = choose_step(mode, device)

    def run() -> None:
        with gpu_arithmetic(precision, device):
            step(state, batch.images, None, batch.sigma, batch.noise, 1e-4, 0.99)

    return run


def published_step(size: Size, device: torch.device) -> Run:
    """Return `published_loop` over our network."""
    return published_loop(build(size, device), Batch.draw(size, device))


def published_loop(network: NetworkDenoiser, batch: Batch, tf32: bool = False) -> Run:
    """Return the published kind of step: clean-up, Adam and average for each parameter, channels first, float32.

    Its kernels are those of PyTorch. Within a few percent it takes as long as the original network and loop.

    Args:
        network: is trained.
        batch: on its device, where a GPU picks convolutions by trial.
        tf32: let a GPU round the factors of convolutions to TF32.
    """
    network.train()
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, foreach=False, fused=False)
    on_gpu = batch.images.device.type == "cuda"

    def run() -> None:
        with kernels_by_trial(tf32) if on_gpu else kernels_of_pytorch():
            optimizer.zero_grad(set_to_none=True)
            _channels_first_loss(network, to_float(batch.images), batch.sigma, batch.noise).backward()  # type: ignore[no-untyped-call]
            for parameter in network.parameters():
                if parameter.grad is not None:
                    torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
            optimizer.step()
            for own, other in zip(average.parameters(), network.parameters(), strict=True):
                own.copy_(other.detach().lerp(own, 0.99))

    return run


def _channels_first_loss(network: NetworkDenoiser, images: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    level = sigma[:, None, None, None]
    noisy, scale = images + level * noise, network.preconditioning.coefficients(level)
    denoised = scale.skip * noisy + scale.out * network.model(scale.input * noisy, scale.noise.flatten())
    loss: Tensor = (network.preconditioning.loss_weight(level) * (denoised - images).square()).sum() / len(images)
    return loss


@contextlib.contextmanager
def kernels_by_trial(tf32: bool) -> Iterator[None]:
    """Let cuDNN pick kernels by trial, and sums be in any order; float32 throughout unless `tf32`."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    mode = torch.get_deterministic_debug_mode()
    try:
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = False, True, tf32
        torch.set_deterministic_debug_mode(0)
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before
        torch.set_deterministic_debug_mode(mode)


def has_diffusers() -> bool:
    """Whether diffusers is installed."""
    return importlib.util.find_spec("diffusers") is not None


def diffusers_network(size: Size) -> nn.Module:
    """Build diffusers' `UNet2DModel` with our channels, blocks, attention and resampling, as near as it comes."""
    from diffusers import UNet2DModel  # noqa: PLC0415 - optional, and slow to import

    config = size.config
    channels = [config.width * multiplier for multiplier in config.channel_multipliers]
    attention = config.attention_at(size.resolution)
    attends = [size.resolution >> level == attention for level in range(len(channels))]
    network: nn.Module = UNet2DModel(
        sample_size=size.resolution,
        in_channels=size.channels,
        out_channels=size.channels,
        layers_per_block=config.depth,
        block_out_channels=tuple(channels),
        down_block_types=tuple("AttnDownBlock2D" if there else "DownBlock2D" for there in attends),
        up_block_types=tuple("AttnUpBlock2D" if there else "UpBlock2D" for there in reversed(attends)),
        downsample_type="resnet",
        upsample_type="resnet",
        attention_head_dim=None,
        norm_num_groups=min(32, min(channels) // 4),
        dropout=config.dropout,
    )
    return network


def diffusers_loop(size: Size, device: torch.device, bfloat16: bool = False) -> Run:
    """Return a step of diffusers' example for unconditional training: noise prediction, clipping, AdamW, average.

    Args:
        size: of network and batch.
        device: of both.
        bfloat16: compute the network under autocast.
    """
    from diffusers import DDPMScheduler  # noqa: PLC0415
    from diffusers.training_utils import EMAModel  # noqa: PLC0415

    batch = Batch.draw(size, device)
    network = diffusers_network(size).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    average = EMAModel(network.parameters(), decay=0.9999)
    scheduler = DDPMScheduler()
    times = torch.linspace(0, 999, size.batch_size, device=device).long()

    def run() -> None:
        noisy = scheduler.add_noise(to_float(batch.images), batch.noise, times)
        with kernels_by_trial(False) if device.type == "cuda" else contextlib.nullcontext():
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                predicted = network(noisy, times).sample
            nn.functional.mse_loss(predicted.float(), batch.noise).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            average.step(network.parameters())

    return run


def training_gflop(size: Size) -> float:
    """Count the operations of one image's forward and backward pass through our network, in 10^9."""
    network, batch = build(size).train(), Batch.draw(_single(size))
    return count_gflop(
        lambda: denoising_loss(network, to_float(batch.images), None, batch.sigma, batch.noise).backward()  # type: ignore[no-untyped-call]
    )


def diffusers_gflop(size: Size) -> float:
    """Count those of diffusers' network."""
    network, batch = diffusers_network(size).train(), Batch.draw(_single(size))
    return count_gflop(lambda: network(batch.noise, torch.ones(1)).sample.square().sum().backward())


def count_gflop(run: Run) -> float:
    """Count the operations of matrix products and convolutions, and of their gradients, in 10^9.

    Those of PyTorch's kernels, whatever ours compute instead.
    """
    # Attention in one kernel is not counted on a CPU.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), kernels_of_pytorch():
        run()
    return float(counter.get_total_flops() / 1e9)


def _single(size: Size) -> Size:
    return Size(size.config, size.resolution, size.channels, 1)
