"""Convolution and group normalization on a CPU, where PyTorch's spend most of their time around the arithmetic.

On the feature maps of small networks a 1x1 convolution is slower than the affine map of the channels that it is, and a
3x3 convolution of 2x2 pixels than one product with a matrix from all values to all values. Group normalization of
channels-last maps takes several times longer than the few passes over them that it needs. All results are those of
PyTorch's functions to rounding. Which one is taken depends on the sizes of a feature map, never on how many there are,
so that an image does not depend on its batch.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

_AFFINE_PRODUCTS = 1 << 19
"""Of a map, up to which a 1x1 convolution is slower than an affine map."""
_DENSE_PIXELS, _DENSE_CHANNELS = 4, 1 << 13
"""Of a map, and the product of the channels of its input and output, up to which the matrix of all values pays."""
_NORM_PIXELS, _NORM_PIXELS_OF_SAMPLES, _NORM_CHANNELS = range(256, 1024), range(64, 1024), 32
"""Of the maps that PyTorch normalizes slowly: from 1,024 pixels on it takes other kernels. Without a gradient there are
fewer operations around the passes over a map, which pay sooner."""


def convolve(
    x: Float[Tensor, "n i h w"], weight: Float[Tensor, "o i k k"], bias: Float[Tensor, " o"] | None
) -> Float[Tensor, "n o h w"]:
    """Convolve with an odd kernel, stride 1 and zeros around, as `torch.nn.functional.conv2d` does.

    Args:
        x: feature maps.
        weight: of the kernel.
        bias: of each output channel; None adds none.
    """
    if x.device.type == "cpu":
        pixels, channels, kernel = x.shape[2] * x.shape[3], weight.shape[0] * weight.shape[1], weight.shape[2]
        if kernel == 1 and pixels * channels <= _AFFINE_PRODUCTS:
            return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
        if kernel == 3 and pixels <= _DENSE_PIXELS and channels <= _DENSE_CHANNELS and _is_eager_on_cpu(x):
            convolved: Tensor = _DenseConvolution.apply(x, weight)
            return convolved if bias is None else convolved + bias[:, None, None]
    return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)


def group_norm(
    x: Float[Tensor, "n c h w"], groups: int, weight: Float[Tensor, " c"], bias: Float[Tensor, " c"], eps: float
) -> Float[Tensor, "n c h w"]:
    """Normalize over groups of channels, as `torch.nn.functional.group_norm` does.

    Args:
        x: feature maps.
        groups: divides C.
        weight: multiplies each channel afterwards.
        bias: is added to it.
        eps: added to the variance.
    """
    pixels = _NORM_PIXELS if torch.is_grad_enabled() else _NORM_PIXELS_OF_SAMPLES
    is_slow = x.shape[2] * x.shape[3] in pixels and x.shape[1] >= _NORM_CHANNELS
    if is_slow and _is_eager_on_cpu(x) and x.is_contiguous(memory_format=torch.channels_last):
        normalized: Tensor = _GroupNorm.apply(x, groups, weight, bias, eps)
        return normalized
    return F.group_norm(x, groups, weight, bias, eps)


def _is_eager_on_cpu(x: Tensor) -> bool:
    is_plain = x.device.type == "cpu" and x.dtype == torch.float32
    # Transforms of torch.func need rules that only PyTorch's functions have.
    is_transformed = torch._C._are_functorch_transforms_active()
    return is_plain and not (is_transformed or torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"))


class _DenseConvolution(torch.autograd.Function):
    """3x3 convolution, padding 1, as one product with the matrix from all input to all output values of a map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        n, i, h, w = x.shape
        o = len(weight)
        values = x.permute(0, 2, 3, 1).reshape(n, h * w * i)
        with_zero = torch.cat([weight.reshape(-1), weight.new_zeros(1)])
        matrix = with_zero.index_select(0, _entries(h, w, o, i)).view(h * w * o, h * w * i)
        ctx.save_for_backward(values, matrix)
        return (values @ matrix.t()).view(n, h, w, o).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        values, matrix = ctx.saved_tensors
        n, o, h, w = gradient.shape
        pixels = h * w
        i = values.shape[1] // pixels
        of_output = gradient.permute(0, 2, 3, 1).reshape(n, pixels * o)
        of_x = (of_output @ matrix).view(n, h, w, i).permute(0, 3, 1, 2)
        of_matrix = (of_output.t() @ values).view(pixels, o, pixels, i).transpose(1, 2).reshape(pixels**2, o * i)
        of_taps = of_matrix.new_zeros(10, o * i).index_add_(0, _taps(h, w), of_matrix)
        return of_x, of_taps[:9].t().reshape(o, i, 3, 3)


class _GroupNorm(torch.autograd.Function):
    """Sums over the pixels of each channel first, which follow the memory; then over the channels of each group.

    A map with an infinite value becomes NaN as a whole, not in the group of that value alone.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        n, c, h, w = x.shape
        average = _averages(c, groups, h * w)
        pixels = x.permute(0, 2, 3, 1).reshape(n, h * w, c)
        centered = pixels - (pixels.sum(1) @ average)[:, None]
        scale = ((centered * centered).sum(1) @ average).add_(eps).rsqrt_()
        normalized = torch.addcmul(bias, centered, (scale * weight)[:, None])
        ctx.save_for_backward(centered, scale, weight)
        ctx.average = average
        return normalized.view(n, h, w, c).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor, Tensor, None]:
        centered, scale, weight = ctx.saved_tensors
        n, c, h, w = gradient.shape
        of_pixels = gradient.permute(0, 2, 3, 1).reshape(centered.shape)
        sums, products = of_pixels.sum(1), (of_pixels * centered).sum(1).mul_(scale)
        of_mean = ((sums * weight) @ ctx.average).mul_(scale).neg_()
        of_variance = ((products * weight) @ ctx.average).mul_(scale).mul_(scale).neg_()
        of_x = torch.addcmul(of_mean[:, None], centered, of_variance[:, None])
        of_x.addcmul_(of_pixels, (scale * weight)[:, None])
        return of_x.view(n, h, w, c).permute(0, 3, 1, 2), None, products.sum(0), sums.sum(0), None


@lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def _taps(height: int, width: int) -> Int[Tensor, " p"]:
    """Return which tap of nine leads from an input to an output pixel, for all pairs (output, input); 9 is none."""
    rows, columns = torch.arange(height).repeat_interleave(width), torch.arange(width).repeat(height)
    down, right = rows - rows[:, None] + 1, columns - columns[:, None] + 1
    is_inside = (down >= 0) & (down < 3) & (right >= 0) & (right < 3)
    return torch.where(is_inside, 3 * down + right, 9).flatten()


@lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def _entries(height: int, width: int, out_channels: int, in_channels: int) -> Int[Tensor, " e"]:
    """Return where each entry of the matrix of a 3x3 convolution lies in its flat weight; one past its end for a 0."""
    pixels = height * width
    taps = _taps(height, width).view(pixels, 1, pixels, 1)
    outputs, inputs = torch.arange(out_channels)[:, None, None], torch.arange(in_channels)
    return torch.where(taps < 9, (outputs * in_channels + inputs) * 9 + taps, out_channels * in_channels * 9).flatten()


@lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def _averages(channels: int, groups: int, pixels: int) -> Float[Tensor, "c c"]:
    """Return the matrix that turns sums over pixels into each channel's average over the values of its group."""
    size = channels // groups
    average: Tensor = torch.block_diag(*[torch.full((size, size), 1 / (pixels * size))] * groups)  # type: ignore[no-untyped-call]
    return average
