import math

import pytest
import torch
import torch.nn.functional as F

from memo_core.model.layers import (
    Conv2d,
    FourierEmbedding,
    GroupNorm,
    LabelEmbedding,
    Linear,
    PositionalEmbedding,
    UNetBlock,
    repeat,
    shifts,
)

TAPS = ((1, 1), (1, 3, 3, 1))


def separable(taps):
    """The filter as a depthwise kernel of sum 1."""
    row = torch.tensor(taps, dtype=torch.float32)
    return (row[:, None] * row[None] / row.sum() ** 2)[None, None]


def filter_down(x, taps, padding):
    channels = [F.conv2d(x[:, i : i + 1], separable(taps), stride=2, padding=padding) for i in range(x.shape[1])]
    return torch.cat(channels, 1)


def filter_up(x, taps):
    """Zeros between the pixels, then the filter at four times its sum."""
    n, c, h, w = x.shape
    spread = torch.zeros(n, c, 2 * h, 2 * w)
    spread[:, :, ::2, ::2] = x
    before = len(taps) // 2
    padded = F.pad(spread, (before, before - 1, before, before - 1))
    channels = [F.conv2d(padded[:, i : i + 1], 4 * separable(taps)) for i in range(c)]
    return torch.cat(channels, 1)


def convolution(kernel, taps, **options):
    torch.manual_seed(0)
    layer = Conv2d(3, 5, kernel, taps=taps, **options)
    torch.nn.init.normal_(layer.bias)
    return layer


@pytest.mark.parametrize("taps", TAPS)
@pytest.mark.parametrize("kernel", [1, 3])
def test_downsampling_filters_then_convolves(kernel, taps):
    layer, x = convolution(kernel, taps, resample="down"), torch.randn(2, 3, 8, 8)
    filtered = filter_down(x, taps, padding=(len(taps) - 1) // 2)
    expected = F.conv2d(filtered, layer.weight, layer.bias, padding=kernel // 2)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    assert layer(x).shape == (2, 5, 4, 4)


@pytest.mark.parametrize("taps", TAPS)
@pytest.mark.parametrize("kernel", [1, 3])
def test_upsampling_filters_then_convolves(kernel, taps):
    layer, x = convolution(kernel, taps, resample="up"), torch.randn(2, 3, 4, 4)
    expected = F.conv2d(filter_up(x, taps), layer.weight, layer.bias, padding=kernel // 2)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    assert layer(x).shape == (2, 5, 8, 8)


@pytest.mark.parametrize("taps", TAPS)
def test_the_residual_encoder_convolves_then_filters(taps):
    layer, x = convolution(3, taps, resample="down", convolve_first=True), torch.randn(2, 3, 8, 8)
    padded = F.conv2d(x, layer.weight, padding=1 + (len(taps) - 1) // 2)
    expected = filter_down(padded, taps, padding=0) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    other = convolution(3, taps, resample="down")
    assert (layer(x) - other(x)).abs().max() > 1e-3


@pytest.mark.parametrize("taps", TAPS)
def test_filters_keep_a_constant_image_inside_the_borders(taps):
    layer = convolution(1, taps, resample="down")
    x = torch.ones(1, 3, 16, 16)
    inside = layer(x)[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(
        inside, (layer.weight.sum((1, 2, 3)) + layer.bias)[None, :, None, None].expand_as(inside)
    )


def test_filters_are_buffers_and_plain_convolutions_have_none():
    assert torch.equal(convolution(3, (1, 3, 3, 1), resample="up").resample_filter, separable((1, 3, 3, 1)))
    assert "resample_filter" not in convolution(3, (1, 1)).state_dict()


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_label_look_up_equals_the_one_hot_product(count):
    layer = LabelEmbedding(count, 16)
    torch.nn.init.normal_(layer.bias)
    labels = torch.randint(count, (64,), generator=torch.Generator().manual_seed(0))
    one_hot = F.one_hot(labels, count).float() * math.sqrt(count)
    torch.testing.assert_close(layer(labels), F.linear(one_hot, layer.weight, layer.bias))
    torch.testing.assert_close(layer(None), F.linear(torch.zeros(count), layer.weight, layer.bias))


def test_label_look_up_has_the_gradient_of_the_one_hot_product():
    layer, labels = LabelEmbedding(7, 4), torch.tensor([3, 3, 0])
    scale = torch.randn(3, 4)
    (layer(labels) * scale).sum().backward()
    found = layer.weight.grad.clone()
    layer.weight.grad = None
    one_hot = F.one_hot(labels, 7).float() * math.sqrt(7)
    (F.linear(one_hot, layer.weight, layer.bias) * scale).sum().backward()
    torch.testing.assert_close(found, layer.weight.grad)


def test_fifty_thousand_labels_need_no_one_hot():
    layer = LabelEmbedding(50_000, 8)
    labels = torch.arange(0, 50_000, 100)
    expected = layer.weight[:, labels].T * math.sqrt(50_000) + layer.bias
    torch.testing.assert_close(layer(labels), expected)


def test_positional_embedding_spans_frequencies_1_to_1e_4():
    condition = torch.tensor([0.0, 1.0, 500.0])
    embedding = PositionalEmbedding(8)(condition)
    for i in range(4):
        frequency = 10_000 ** -(i / 3)
        torch.testing.assert_close(embedding[:, i], (condition * frequency).cos(), rtol=0, atol=1e-4)
        torch.testing.assert_close(embedding[:, 4 + i], (condition * frequency).sin(), rtol=0, atol=1e-4)


def test_fourier_embedding_has_random_frequencies_of_scale_16():
    torch.manual_seed(0)
    layer = FourierEmbedding(4096)
    assert layer.freqs.std().item() == pytest.approx(16, rel=0.05)
    assert not list(layer.parameters())
    condition = torch.tensor([0.3, -1.2])
    angles = condition[:, None] * (2 * math.pi * layer.freqs)
    torch.testing.assert_close(layer(condition), torch.cat([angles.cos(), angles.sin()], 1))


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (32, 8), (64, 16), (128, 32), (256, 32), (640, 32)])
def test_group_normalization_has_four_channels_a_group_and_32_groups_at_most(channels, groups):
    layer = GroupNorm(channels)
    assert (layer.num_groups, layer.eps) == (groups, 1e-6)


def test_initial_weights_are_xavier_uniform_times_their_gain():
    torch.manual_seed(0)
    block = UNetBlock(64, 128, 256, 0.0, (1, 1), attention=True)
    for layer, fan, gain in (
        (Linear(300, 200), 500, 1.0),
        (block.conv0, 9 * 192, 1.0),
        (block.conv1, 9 * 256, 1e-5),
        (block.skip, 192, 1.0),
        (block.affine, 384, 1.0),
        (block.qkv, 512, math.sqrt(0.2)),
        (block.proj, 256, 1e-5),
    ):
        bound = math.sqrt(6 / fan) * gain
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
        assert not layer.bias.any()


def reference_block(block, x, embedding):
    """UNetBlock term by term, attention as a softmax over all pairs of pixels."""
    y = block.conv0(F.silu(block.norm0(x)))
    y = y + block.affine(embedding)[:, :, None, None]
    y = block.conv1(F.silu(block.norm1(y)))
    x = (y + (block.skip(x) if block.skip is not None else x)) / math.sqrt(2)
    if not block.attention:
        return x
    n, c, h, w = x.shape
    # Channel k of query, key and value stand side by side at 3 k, 3 k + 1 and 3 k + 2.
    qkv = block.qkv(block.norm2(x)).flatten(2)
    q, k, v = qkv[:, 0::3], qkv[:, 1::3], qkv[:, 2::3]
    weights = (torch.einsum("ncq,nck->nqk", q, k) / math.sqrt(c)).softmax(2)
    attended = torch.einsum("nqk,nck->ncq", weights, v).reshape(n, c, h, w)
    return (block.proj(attended) + x) / math.sqrt(2)


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("resample", ["none", "up", "down"])
@pytest.mark.parametrize("out_channels", [8, 16])
def test_a_block_is_what_its_equations_say(attention, resample, out_channels):
    torch.manual_seed(0)
    block = UNetBlock(8, out_channels, 12, 0.0, (1, 1), resample=resample, attention=attention)
    for parameter in block.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    x, embedding = torch.randn(2, 8, 4, 4), torch.randn(2, 12)
    torch.testing.assert_close(
        block(x, shifts([block], embedding)[0]), reference_block(block, x, embedding), rtol=1e-4, atol=1e-5
    )
    assert (block.skip is None) == (resample == "none" and out_channels == 8)


def test_embeddings_shift_several_blocks_as_they_shift_each():
    torch.manual_seed(0)
    blocks = [UNetBlock(8, channels, 12, 0.0, (1, 1)) for channels in (8, 16, 4)]
    for block in blocks:
        torch.nn.init.normal_(block.conv0.bias)
        torch.nn.init.normal_(block.affine.bias)
    embedding = torch.randn(2, 12)
    for block, shift in zip(blocks, shifts(blocks, embedding), strict=True):
        torch.testing.assert_close(shift, block.affine(embedding) + block.conv0.bias)


def test_dropout_acts_in_training_only():
    block = UNetBlock(8, 8, 12, 0.5, (1, 1))
    torch.nn.init.normal_(block.conv1.weight)
    x, shift = torch.randn(2, 8, 4, 4), torch.randn(2, 8)
    assert not torch.equal(block(x, shift), block(x, shift))
    block.eval()
    assert torch.equal(block(x, shift), block(x, shift))


def test_repetition_is_nearest_neighbor_interpolation_and_so_is_its_gradient():
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weight = torch.randn(2, 3, 8, 10, generator=torch.Generator().manual_seed(1))
    interpolated, repeated = F.interpolate(x, scale_factor=2, mode="nearest"), repeat(x)
    assert torch.equal(interpolated, repeated)
    expected, found = (torch.autograd.grad((y * weight).sum(), x)[0] for y in (interpolated, repeated))
    torch.testing.assert_close(found, expected)
