import pytest
import torch
import torch.nn.functional as F

from memo_core.model import cpu_kernels
from memo_core.model.cpu_kernels import convolve, group_norm

CONVOLUTIONS = [
    # channels in and out, height, width, kernel
    (8, 12, 2, 2, 3),
    (8, 1, 1, 2, 3),
    (3, 8, 1, 1, 3),
    (8, 12, 4, 4, 3),
    (8, 12, 5, 3, 1),
    (300, 200, 6, 6, 1),
    (96, 96, 2, 2, 3),
    (1, 8, 8, 8, 3),
]
MAPS = [(32, 8, 16, 16), (64, 16, 20, 13), (48, 12, 31, 33), (32, 8, 4, 4), (8, 2, 16, 16)]
"""Channels, groups, height, width."""


def maps(*shape, channels_last=True):
    drawn = 1 + 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return drawn.contiguous(memory_format=torch.channels_last) if channels_last else drawn


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).requires_grad_()


def with_gradients(function, x, *parameters):
    """The values of a function, and the gradients of a weighted sum of them."""
    x = x.detach().requires_grad_()
    values = function(x, *parameters)
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(2))
    return values, *torch.autograd.grad((values * weights).sum(), (x, *parameters))


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(("channels", "out", "height", "width", "kernel"), CONVOLUTIONS)
def test_convolutions_and_their_gradients_are_those_of_pytorch(
    channels, out, height, width, kernel, channels_last, with_bias
):
    x, weight = maps(3, channels, height, width, channels_last=channels_last), drawn(out, channels, kernel, kernel)
    parameters = (weight, drawn(out)) if with_bias else (weight,)
    own = with_gradients(lambda x, weight, bias=None: convolve(x, weight, bias), x, *parameters)
    other = with_gradients(lambda x, weight, bias=None: F.conv2d(x, weight, bias, padding=kernel // 2), x, *parameters)
    for found, expected in zip(own, other, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(("channels", "groups", "height", "width"), MAPS)
def test_normalization_and_its_gradients_are_those_of_float64(channels, groups, height, width, channels_last):
    x, weight, bias = maps(3, channels, height, width, channels_last=channels_last), drawn(channels), drawn(channels)
    own = with_gradients(lambda *given: group_norm(given[0], groups, *given[1:], 1e-6), x, weight, bias)
    wide = with_gradients(
        lambda *given: F.group_norm(given[0], groups, *given[1:], 1e-6),
        x.double(), weight.detach().double().requires_grad_(), bias.detach().double().requires_grad_(),
    )  # fmt: skip
    for found, expected in zip(own, wide, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=5e-6 * expected.abs().max().item())


def test_own_kernels_are_what_the_tests_above_look_at(monkeypatch):
    taken = []

    def watched(name, apply):
        return lambda *given: taken.append(name) or apply(*given)

    for name in ("_DenseConvolution", "_GroupNorm"):
        kernel = getattr(cpu_kernels, name)
        monkeypatch.setattr(kernel, "apply", watched(name, kernel.apply))
    convolve(maps(3, 8, 2, 2), drawn(12, 8, 3, 3), None)
    group_norm(maps(3, 32, 16, 16), 8, drawn(32), drawn(32), 1e-6)
    assert taken == ["_DenseConvolution", "_GroupNorm"]


@pytest.mark.parametrize("size", [8, 16, 24])
def test_samples_are_normalized_as_in_training(size):
    x, weight, bias = maps(3, 32, size, size), drawn(32), drawn(32)
    expected = group_norm(x, 8, weight, bias, 1e-6)
    with torch.inference_mode():
        torch.testing.assert_close(group_norm(x, 8, weight, bias, 1e-6), expected, rtol=1e-5, atol=1e-5)


def test_what_sampling_prepared_serves_training():
    weight = drawn(12, 8, 3, 3)
    with torch.inference_mode():
        convolve(maps(2, 8, 2, 1), weight, None)
        group_norm(maps(2, 32, 17, 16), 8, drawn(32), drawn(32), 1e-6)
    assert with_gradients(lambda x, w: convolve(x, w, None), maps(2, 8, 2, 1), weight)[2].any()
    norm = with_gradients(lambda x, w, b: group_norm(x, 8, w, b, 1e-6), maps(2, 32, 17, 16), drawn(32), drawn(32))
    assert norm[1].any()


@pytest.mark.parametrize("size", [2, 16])
def test_a_map_does_not_depend_on_its_batch(size):
    x, weight = maps(64, 32, size, size), drawn(32, 32, 3, 3).detach()
    together = group_norm(convolve(x, weight, None), 8, torch.ones(32), torch.zeros(32), 1e-6)
    alone = group_norm(convolve(x[:1], weight, None), 8, torch.ones(32), torch.zeros(32), 1e-6)
    torch.testing.assert_close(together[:1], alone, rtol=1e-5, atol=1e-5)


def test_bfloat16_stays_with_the_kernels_of_pytorch():
    x, weight = maps(3, 8, 2, 2), drawn(12, 8, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = convolve(x, weight, None), F.conv2d(x, weight, padding=1)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)


def own_kernels():
    return (
        (lambda x, w: convolve(x, w, None), maps(3, 8, 2, 2), drawn(12, 8, 3, 3)),
        (lambda x, w: group_norm(x, 8, w, torch.zeros(32), 1e-6), maps(3, 32, 16, 16), drawn(32)),
    )


@pytest.mark.parametrize("index", [0, 1])
def test_second_derivatives_are_refused(index):
    function, x, weight = own_kernels()[index]
    (gradient,) = torch.autograd.grad(function(x, weight).square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("index", [0, 1])
def test_transforms_of_torch_func_are_served(index):
    function, x, weight = own_kernels()[index]

    def loss(weight, image):
        return function(image[None], weight).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weight.detach(), x)
    whole = torch.autograd.grad(function(x, weight).square().sum(), weight)[0]
    torch.testing.assert_close(each.sum(0), whole, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("index", [0, 1])
def test_an_empty_batch_stays_empty(index):
    function, x, weight = own_kernels()[index]
    found = function(x[:0], weight)
    assert found.shape == (0, *function(x, weight).shape[1:])
    assert not torch.autograd.grad(found.sum(), weight)[0].any()
