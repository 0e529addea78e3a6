import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from memo_core.experiment import ModelConfig
from memo_core.model import build_denoiser
from memo_core.training.steps.captured import compiled_loss, compiled_step
from memo_core.training.steps.step import TrainingState, denoising_loss, to_float, training_step

# Bounds on the distance to the published weights over the distance moved; the qkv bias of the third has a
# gradient of rounding noise.
NAMES = {"ddpmpp_edm_cond_8": 1e-3, "ddpmpp_vp_16": 1e-3, "ncsnpp_ve_8": 1e-2}


def compiled():
    """Through the whole compiler but for the generated code, which takes a minute a network."""
    return compiled_step(compiled_loss(torch.device("cpu"), "aot_eager"))


PATHS = [(name, lambda: training_step) for name in NAMES] + [("ddpmpp_edm_cond_8", compiled)]


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(("name", "make_step"), PATHS, ids=[*NAMES, "compiled"])
def test_twelve_steps_go_where_the_published_implementation_goes(golden, name, make_step):
    take_step = make_step()
    description = json.loads((golden / f"{name}.json").read_text())
    config = ModelConfig(
        **{key: value for key, value in description.items() if key in ModelConfig.model_fields}, dropout=0
    )
    sizes = description["resolution"], description["channels"], description["num_labels"]
    denoiser = build_denoiser(config, *sizes)
    start = load_file(golden / f"{name}.safetensors")
    denoiser.load_state_dict(start)
    with np.load(golden / f"{name}_training.npz") as arrays:
        run = {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}
    state = TrainingState.create(denoiser.train(), build_denoiser(config, *sizes), float(run["weight_decay"]))
    for step, indices in enumerate(run["indices"]):
        loss = take_step(
            state,
            run["images"][indices],
            run["labels"][indices] if description["num_labels"] else None,
            run["sigma"][step],
            run["noise"][step],
            float(run["learning_rate"][step]),
            float(run["ema_decay"][step]),
        )
        assert loss.item() == pytest.approx(run["loss"][step].item(), rel=1e-4)
    expected = load_file(golden / f"{name}_training.safetensors")
    for kind, network in (("trained", state.denoiser), ("ema", state.ema)):
        found = network.state_dict()
        names = [key for key in found if f"{kind}.{key}" in expected]
        assert len(names) >= len(list(network.parameters()))

        def distance(other, found=found, names=names):
            return sum((other(key) - found[key]).double().square().sum() for key in names).sqrt()

        off = distance(lambda key, kind=kind: expected[f"{kind}.{key}"])
        assert off < NAMES[name] * distance(start.__getitem__)


def small(**settings):
    config = ModelConfig(width=8, depth=1, channel_multipliers=(2, 2), **settings)
    denoiser, ema = (build_denoiser(config, 8, 1, 0, seed=seed) for seed in (1, 2))
    return denoiser, ema


def batch(count=4):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)
    noise = torch.randn(count, 1, 8, 8, generator=generator)
    return images, torch.tensor([0.1, 0.5, 2.0, 30.0])[:count], noise


def test_images_enter_as_minus_one_to_one():
    assert to_float(torch.tensor([[[[0, 255]]]], dtype=torch.uint8)).flatten().tolist() == [-1, 1]


@pytest.mark.parametrize("preconditioning", ["vp", "ve", "edm"])
def test_the_loss_is_summed_over_pixels_and_averaged_over_the_batch(preconditioning):
    denoiser, _ = small(preconditioning=preconditioning, dropout=0)
    images, sigma, noise = batch()
    clean = to_float(images)
    total = denoising_loss(denoiser, clean, None, sigma, noise)
    each = []
    for i in range(4):
        error = denoiser(clean[i : i + 1] + sigma[i] * noise[i : i + 1], sigma[i : i + 1]) - clean[i : i + 1]
        each.append(denoiser.preconditioning.loss_weight(sigma[i]) * error.square().sum())
    torch.testing.assert_close(total, torch.stack(each).mean())


def test_the_average_starts_as_a_copy_and_takes_no_gradient():
    denoiser, ema = small()
    state = TrainingState.create(denoiser, ema)
    assert all(torch.equal(a, b) for a, b in zip(denoiser.parameters(), ema.parameters(), strict=True))
    assert not state.ema.training
    assert not any(parameter.requires_grad for parameter in state.ema.parameters())


@pytest.mark.parametrize("decay", [0.0, 0.25, 1.0])
def test_the_average_keeps_its_share_of_the_old_one(decay):
    denoiser, ema = small()
    state = TrainingState.create(denoiser, ema)
    before = state.ema_parameters.values.detach().clone()
    training_step(state, batch()[0], None, *batch()[1:], learning_rate=1e-2, ema_decay=decay)
    moved = state.parameters.values.detach()
    expected = decay * before + (1 - decay) * moved
    torch.testing.assert_close(state.ema_parameters.values.detach(), expected, rtol=1e-5, atol=1e-7)
    assert not torch.equal(before, moved)


def test_a_step_at_rate_zero_moves_nothing():
    denoiser, ema = small()
    state = TrainingState.create(denoiser, ema, weight_decay=0.1)
    before = state.parameters.values.detach().clone()
    loss = training_step(state, batch()[0], None, *batch()[1:], learning_rate=0.0, ema_decay=0.9)
    assert torch.equal(before, state.parameters.values.detach())
    assert loss.isfinite()
    assert not loss.requires_grad


def test_steps_are_adam_with_weight_decay_added_to_the_gradient():
    denoiser, ema = small(dropout=0)
    twin, _ = small(dropout=0)
    state = TrainingState.create(denoiser, ema, weight_decay=0.05)
    optimizer = torch.optim.Adam(twin.parameters(), betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05)
    images, sigma, noise = batch()
    for rate in (0.0, 1e-3, 2e-3):
        training_step(state, images, None, sigma, noise, rate, 0.9)
        optimizer.zero_grad()
        denoising_loss(twin, to_float(images), None, sigma, noise).backward()
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    for ours, reference in zip(denoiser.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, reference, rtol=0, atol=2e-4)


def test_gradients_that_are_not_finite_do_not_spoil_the_weights():
    denoiser, ema = small()
    state = TrainingState.create(denoiser, ema)
    images, sigma, noise = batch()
    noise[0, 0, 0, 0] = float("nan")
    training_step(state, images, None, sigma, noise, learning_rate=1e-3, ema_decay=0.9)
    assert state.parameters.gradients.isfinite().all()
    assert state.parameters.values.isfinite().all()


def test_bfloat16_trains():
    config = ModelConfig(width=8, depth=1, channel_multipliers=(2, 2), dropout=0)
    denoiser, ema = (build_denoiser(config, 8, 1, 0, precision="bfloat16") for _ in range(2))
    state = TrainingState.create(denoiser, ema)
    images, sigma, noise = batch()
    losses = [training_step(state, images, None, sigma, noise, 3e-3, 0.9).item() for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(parameter.dtype == torch.float32 for parameter in denoiser.parameters())


def test_unconditional_and_labeled_steps_draw_nothing_from_the_global_generator():
    denoiser, ema = small(dropout=0)
    state = TrainingState.create(denoiser, ema)
    before = torch.get_rng_state()
    training_step(state, batch()[0], None, *batch()[1:], learning_rate=1e-3, ema_decay=0.9)
    assert torch.equal(before, torch.get_rng_state())
