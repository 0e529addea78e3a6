import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memo_core.model import PRECONDITIONINGS

KINDS = ("vp", "ve", "edm")
SIGMA = torch.tensor([0.002, 0.02, 0.1, 0.5, 1.0, 7.0, 80.0])


def draw(kind, count=20_000, seed=0):
    return PRECONDITIONINGS[kind].draw_sigma(count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_scalings_are_those_of_table_1(kind):
    skip, out, scale, noise = PRECONDITIONINGS[kind].coefficients(SIGMA)
    s = SIGMA.double()
    expected = {
        "vp": (
            torch.ones(7),
            -s,
            1 / (s**2 + 1).sqrt(),
            999 * ((0.1**2 + 2 * 19.9 * (1 + s**2).log()).sqrt() - 0.1) / 19.9,
        ),
        "ve": (torch.ones(7), s, torch.ones(7), (s / 2).log()),
        "edm": (0.25 / (s**2 + 0.25), s * 0.5 / (0.25 + s**2).sqrt(), 1 / (0.25 + s**2).sqrt(), s.log() / 4),
    }[kind]
    for found, value in zip((skip, out, scale, noise), expected, strict=True):
        torch.testing.assert_close(found.double(), value.double(), rtol=2e-5, atol=1e-3 if found is noise else 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_weight_makes_the_networks_own_error_count_alike(kind):
    # Karras et al. 2022, eq. 8: lambda(sigma) c_out(sigma)^2 = 1.
    preconditioning = PRECONDITIONINGS[kind]
    product = preconditioning.loss_weight(SIGMA) * preconditioning.coefficients(SIGMA).out.square()
    torch.testing.assert_close(product, torch.ones(7))


@settings(max_examples=50)
@given(t=st.floats(1e-3, 1.0))
def test_vp_time_is_the_inverse_of_its_noise_level(t):
    vp = PRECONDITIONINGS["vp"]
    time = torch.tensor([t], dtype=torch.float64)
    torch.testing.assert_close(vp.time(vp.sigma(time)), time, rtol=1e-9, atol=0)
    sigma = vp.sigma(time.float())
    torch.testing.assert_close(vp.sigma(vp.time(sigma)), sigma, rtol=2e-3, atol=0)


@settings(max_examples=50)
@given(sigma=st.floats(1e-3, 150.0))
def test_vp_noise_level_is_the_inverse_of_its_time(sigma):
    vp = PRECONDITIONINGS["vp"]
    level = torch.tensor([sigma], dtype=torch.float64)
    torch.testing.assert_close(vp.sigma(vp.time(level)), level, rtol=1e-8, atol=0)


def test_vp_draws_times_uniformly():
    vp = PRECONDITIONINGS["vp"]
    sigma = draw("vp")
    assert sigma.min() >= vp.sigma_min * 0.99
    assert sigma.max() <= vp.sigma_max
    times = vp.time(sigma.double())
    deciles = torch.quantile(times, torch.linspace(0.1, 0.9, 9, dtype=torch.float64))
    torch.testing.assert_close(deciles, torch.linspace(0.1, 0.9, 9, dtype=torch.float64), rtol=0, atol=0.015)


def test_ve_draws_log_uniformly():
    position = (draw("ve") / 0.02).log() / math.log(100 / 0.02)
    assert 0 <= position.min() < 0.001
    assert 0.999 < position.max() <= 1 + 1e-6
    assert position.mean().item() == pytest.approx(0.5, abs=0.01)
    assert position.std().item() == pytest.approx(math.sqrt(1 / 12), abs=0.01)


def test_edm_draws_log_normally():
    logarithm = draw("edm").log()
    assert logarithm.mean().item() == pytest.approx(-1.2, abs=0.03)
    assert logarithm.std().item() == pytest.approx(1.2, abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_depend_on_their_generator_alone(kind):
    torch.manual_seed(1)
    first = draw(kind, 10, seed=4)
    torch.manual_seed(2)
    assert torch.equal(first, draw(kind, 10, seed=4))
    assert not torch.equal(first, draw(kind, 10, seed=5))
    assert first.dtype == torch.float32


def test_the_samplers_range_is_cut_by_ve_alone():
    ranges = {kind: (p.sigma_min, p.sigma_max) for kind, p in PRECONDITIONINGS.items()}
    assert ranges["ve"] == (0.02, 100)
    assert ranges["edm"] == (0, math.inf)
    assert ranges["vp"][0] == pytest.approx(1e-3, rel=0.01)
    assert ranges["vp"][1] == pytest.approx(152, rel=0.01)
