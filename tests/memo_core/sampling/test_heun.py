import math

import pytest
import torch

from memo_core.sampling import Churn, sample_heun, sample_stochastic, sigma_steps
from tests.memo_core.sampling.conftest import GaussianData


def test_noise_levels_follow_equation_5():
    sigmas = sigma_steps(18, 0.0, math.inf)
    expected = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    torch.testing.assert_close(sigmas, torch.tensor([*expected, 0.0], dtype=torch.float64), rtol=1e-12, atol=0)
    narrow = sigma_steps(5, 0.02, 50.0)
    assert narrow[0].item() == pytest.approx(50)
    assert narrow[-2].item() == pytest.approx(0.02)


def test_the_ode_is_solved_to_second_order():
    # For Gaussian data the ODE's solution is known: x scales with sqrt(spread^2 + sigma^2).
    denoiser = GaussianData()
    latents = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    exact = latents.double() * 80 * 0.5 / math.hypot(0.5, 80)
    errors = [(sample_heun(denoiser, latents, steps=n) - exact).abs().max().item() for n in (16, 32, 64)]
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3
    assert errors[2] < 5e-3


def test_evaluates_the_denoiser_twice_a_step_but_once_in_the_last():
    for sample in (
        lambda d, z: sample_heun(d, z, steps=7),
        lambda d, z: sample_stochastic(d, z, lambda: torch.zeros(2, 1, 2, 2), steps=7),
    ):
        denoiser = GaussianData()
        sample(denoiser, torch.zeros(2, 1, 2, 2))
        assert len(denoiser.sigmas) == 13


def test_without_churn_the_stochastic_sampler_is_the_deterministic_one():
    denoiser, latents = GaussianData(), torch.randn(3, 1, 2, 2)
    still = sample_stochastic(denoiser, latents, lambda: torch.randn(3, 1, 2, 2), churn=Churn(amount=0.0))
    assert torch.equal(still, sample_heun(denoiser, latents))


def test_stochastic_sampling_is_algorithm_2():
    denoiser, steps, churn = GaussianData(), 9, Churn(amount=3.0, sigma_low=0.1, sigma_high=20.0, scale=1.01)
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, 1, 2, 2, generator=generator)
    noises = torch.randn(steps, 2, 1, 2, 2, generator=generator, dtype=torch.float64)

    def denoise(x, t):
        return denoiser(x.float(), torch.full((2,), t)).double()

    t = sigma_steps(steps, 0.0, math.inf).tolist()
    x = latents.double() * t[0]
    for i in range(steps):
        gamma = min(3 / steps, math.sqrt(2) - 1) if 0.1 <= t[i] <= 20 else 0
        t_hat = t[i] + gamma * t[i]
        x_hat = x + math.sqrt(t_hat**2 - t[i] ** 2) * 1.01 * noises[i]
        d = (x_hat - denoise(x_hat, t_hat)) / t_hat
        x = x_hat + (t[i + 1] - t_hat) * d
        if t[i + 1] != 0:
            x = x_hat + (t[i + 1] - t_hat) * (d + (x - denoise(x, t[i + 1])) / t[i + 1]) / 2
    drawn = iter(noises)
    result = sample_stochastic(denoiser, latents, lambda: next(drawn), steps=steps, churn=churn)
    torch.testing.assert_close(result, x, rtol=1e-9, atol=1e-9)
    assert next(drawn, None) is None


def test_stochastic_samples_follow_the_data_whatever_the_latents():
    # All images start alike, and only the renewed noise tells them apart.
    denoiser = GaussianData(image_shape=(1, 16, 16))
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(1, 1, 16, 16, generator=generator).expand(20, -1, -1, -1)
    samples = sample_stochastic(
        denoiser,
        latents,
        lambda: torch.randn(20, 1, 16, 16, generator=generator, dtype=torch.float64),
        steps=100,
        churn=Churn(amount=1000.0, sigma_low=0.0, sigma_high=math.inf, scale=1.0),
    )
    assert samples.std().item() == pytest.approx(0.5, rel=0.05)
    assert torch.corrcoef(samples[:2].flatten(1))[0, 1].abs() < 0.2
