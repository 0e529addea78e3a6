"""Building blocks of the DDPM++ and NCSN++ U-Nets (Song et al. 2021b, as configured by Karras et al. 2022).

Parameter names and shapes are those of published EDM snapshots.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from memo_core.experiment.network_size import norm_groups
from memo_core.model.cpu_kernels import convolve, group_norm
from memo_core.randomness import named_generator

RESIDUAL_SCALE = math.sqrt(0.5)
NORM_EPS = 1e-6
ZERO_GAIN = 1e-5
QKV_GAIN = math.sqrt(0.2)

Resample = Literal["none", "up", "down"]


def _xavier_bound(fan_in: int, fan_out: int, gain: float) -> float:
    return gain * math.sqrt(6 / (fan_in + fan_out))


def _uniform(shape: tuple[int, ...], bound: float) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


class Linear(nn.Module):
    """Affine map, Xavier uniform times `gain`, bias 0."""

    def __init__(self, in_features: int, out_features: int, gain: float = 1.0) -> None:
        super().__init__()
        self.bound = _xavier_bound(in_features, out_features, gain)
        self.weight = _uniform((out_features, in_features), self.bound)
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        """Map (N, in_features) to (N, out_features)."""
        return F.linear(x, self.weight, self.bias)


class Conv2d(nn.Module):
    """Convolution with an optional resampling by 2 through a separable filter.

    The filter [1, 1] is averaging (down) and repetition (up), which is how it is computed here.
    `convolve_first` applies the kernel before the downsampling filter, with the padding of both at once:
    the order of the NCSN++ residual encoder.
    """

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        resample: Resample = "none",
        taps: tuple[int, ...] = (1, 1),
        gain: float = 1.0,
        convolve_first: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.resample, self.taps, self.convolve_first = kernel, resample, taps, convolve_first
        area = kernel * kernel
        shape = (out_channels, in_channels, kernel, kernel)
        self.bound = _xavier_bound(in_channels * area, out_channels * area, gain)
        self.weight = _uniform(shape, self.bound)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        if resample != "none":
            row = torch.tensor(taps, dtype=torch.float32)
            self.register_buffer("resample_filter", (torch.outer(row, row) / row.sum().square())[None, None])

    def forward(self, x: Float[Tensor, "n i h w"], with_bias: bool = True) -> Float[Tensor, "n o h2 w2"]:
        """Resample by 2 where asked, and convolve; borders are padded with zeros.

        Args:
            x: feature maps.
            with_bias: add the bias; without it, the caller does.
        """
        bias = self.bias if with_bias else None
        if self.convolve_first:
            # The bias comes last: added before the filter it would fade at the padded borders.
            x = F.conv2d(x, self.weight, padding=self.kernel // 2 + (len(self.taps) - 1) // 2)
            return self._filter(x, padding=0) + self.bias.to(x.dtype)[:, None, None]
        if self.resample == "up" and self.kernel == 1 and self.taps == (1, 1):
            # Repetition and a 1x1 kernel commute; this order does a quarter of the work.
            return self._up(convolve(x, self.weight, bias))
        if self.resample == "up":
            x = self._up(x)
        elif self.resample == "down":
            x = self._filter(x, padding=(len(self.taps) - 1) // 2)
        return convolve(x, self.weight, bias)

    def _filter(self, x: Tensor, padding: int) -> Tensor:
        if self.taps == (1, 1):
            return F.avg_pool2d(x, 2, padding=padding)
        kernel = self.resample_filter.to(x.dtype).expand(x.shape[1], -1, -1, -1)
        return F.conv2d(x, kernel, stride=2, padding=padding, groups=x.shape[1])

    def _up(self, x: Tensor) -> Tensor:
        if self.taps == (1, 1):
            # Compiled for a GPU, `interpolate` is an index, whose gradient takes a quarter of the step.
            on_gpu = x.is_cuda and torch.compiler.is_compiling()
            return repeat(x) if on_gpu else F.interpolate(x, scale_factor=2, mode="nearest")
        kernel = (4 * self.resample_filter).to(x.dtype).expand(x.shape[1], -1, -1, -1)
        return F.conv_transpose2d(x, kernel, stride=2, padding=(len(self.taps) - 1) // 2, groups=x.shape[1])


def repeat(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Repeat each pixel twice in both directions, as nearest-neighbor interpolation does."""
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


class GroupNorm(nn.GroupNorm):
    """Group normalization over min(32, channels / 4) groups, eps 1e-6."""

    def __init__(self, channels: int) -> None:
        super().__init__(norm_groups(channels), channels, eps=NORM_EPS)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Normalize each group of channels of each map, then scale and shift each channel."""
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class UNetBlock(nn.Module):
    """Residual block with an additive noise embedding and optional self-attention (one head)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding_channels: int,
        dropout: float,
        taps: tuple[int, ...],
        resample: Resample = "none",
        attention: bool = False,
        takes_skip: bool = False,
    ) -> None:
        super().__init__()
        self.dropout, self.takes_skip, self.out_channels = dropout, takes_skip, out_channels
        self.norm0 = GroupNorm(in_channels)
        self.conv0 = Conv2d(in_channels, out_channels, 3, resample, taps)
        self.affine = Linear(embedding_channels, out_channels)
        self.norm1 = GroupNorm(out_channels)
        self.conv1 = Conv2d(out_channels, out_channels, 3, gain=ZERO_GAIN)
        needs_skip = in_channels != out_channels or resample != "none"
        self.skip = Conv2d(in_channels, out_channels, 1, resample, taps) if needs_skip else None
        if attention:
            self.norm2 = GroupNorm(out_channels)
            self.qkv = Conv2d(out_channels, 3 * out_channels, 1, gain=QKV_GAIN)
            self.proj = Conv2d(out_channels, out_channels, 1, gain=ZERO_GAIN)
        self.attention = attention

    def forward(self, x: Float[Tensor, "n i h w"], shift: Float[Tensor, "n o"]) -> Float[Tensor, "n o h2 w2"]:
        """Transform feature maps under a noise embedding; the size changes where the block resamples.

        Args:
            x: feature maps.
            shift: of each channel by the noise embedding and the bias of `conv0`, as `shifts` gives it.
        """
        residual = self.conv0(F.silu(self.norm0(x)), with_bias=False)
        residual = residual + shift[:, :, None, None]
        residual = F.silu(self.norm1(residual))
        residual = self.conv1(F.dropout(residual, self.dropout, self.training))
        out: Tensor = ((x if self.skip is None else self.skip(x)) + residual) * RESIDUAL_SCALE
        if self.attention:
            out = (self._attend(out) + out) * RESIDUAL_SCALE
        return out

    def _attend(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        # Published weights interleave query, key and value channel by channel.
        qkv = self.qkv(self.norm2(x)).reshape(n, c, 3, h * w)
        query, key, value = qkv.permute(2, 0, 3, 1).unsqueeze(2).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value).squeeze(1)
        projected: Tensor = self.proj(attended.transpose(1, 2).reshape(n, c, h, w))
        return projected


def shifts(blocks: Sequence[UNetBlock], embedding: Float[Tensor, "n e"]) -> list[Float[Tensor, "n o"]]:
    """Return what a noise embedding adds to the channels of each block, with the bias of its first convolution.

    One product for all blocks, instead of a small one in each.
    """
    weight = torch.cat([block.affine.weight for block in blocks])
    bias = torch.cat([block.affine.bias for block in blocks]) + torch.cat([block.conv0.bias for block in blocks])
    return list(torch.split(F.linear(embedding, weight, bias), [block.out_channels for block in blocks], dim=1))


class PositionalEmbedding(nn.Module):
    """Cosines and sines of the noise condition at frequencies 1 to 1e-4 (Vaswani et al. 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, condition: Float[Tensor, " n"]) -> Float[Tensor, "n c"]:
        """Embed noise conditions (N,) into (N, channels)."""
        half = self.channels // 2
        powers = torch.arange(half, dtype=torch.float32, device=condition.device) / (half - 1)
        angles = condition[:, None] * (1 / 10_000) ** powers
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class FourierEmbedding(nn.Module):
    """Random Fourier features of scale 16, drawn once and kept (Tancik et al. 2020, Song et al. 2021b)."""

    freqs: Tensor

    def __init__(self, channels: int, scale: float = 16.0) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("freqs", torch.randn(channels // 2) * scale)

    def forward(self, condition: Float[Tensor, " n"]) -> Float[Tensor, "n c"]:
        """Embed noise conditions (N,) into (N, channels)."""
        angles = condition[:, None] * (2 * math.pi * self.freqs)
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class LabelEmbedding(nn.Module):
    """Linear layer over one-hot labels x sqrt(C), computed as a look-up of weight rows.

    The look-up gives the numbers of the matrix product without the one-hot matrix, which for C = 50,000
    unique labels would be larger than the batch.
    """

    def __init__(self, num_labels: int, channels: int) -> None:
        super().__init__()
        self.bound = _xavier_bound(num_labels, channels, gain=1.0)
        self.weight = _uniform((channels, num_labels), self.bound)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, labels: Int[Tensor, " n"] | None) -> Float[Tensor, "n c"] | Float[Tensor, " c"]:
        """Embed labels (N,) in 0..C-1; None stands for no label, an all-zero one-hot."""
        if labels is None:
            return self.bias
        rows = self.weight.index_select(1, labels).t()
        return rows * math.sqrt(self.weight.shape[1]) + self.bias


def initialize(model: nn.Module, seed: int) -> None:
    """Draw every weight of a network on the CPU from a stream of its own, named after the layer.

    Networks that share a layer (of the same name and shape) then share its weights, whatever else differs: labels, an
    embedding or attention added leave the other draws as they were.
    """
    for name, layer in model.named_modules():
        generator = named_generator(seed, "initialization", name)
        if isinstance(layer, Linear | Conv2d | LabelEmbedding):
            layer.weight.data.uniform_(-layer.bound, layer.bound, generator=generator)
        elif isinstance(layer, FourierEmbedding):
            layer.freqs.normal_(generator=generator).mul_(layer.scale)
