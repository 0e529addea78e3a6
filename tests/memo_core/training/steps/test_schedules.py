import numpy as np
import pytest

from memo_core.training.steps.schedules import ema_decay_at, learning_rate_at


@pytest.mark.parametrize("name", ["ddpmpp_edm_cond_8", "ddpmpp_vp_16", "ncsnpp_ve_8"])
def test_schedules_are_the_published_ones(golden, name):
    with np.load(golden / f"{name}_training.npz") as run:
        size, batch = len(run["images"]), run["indices"].shape[1]
        warmup = float(run["warmup_epochs"])
        for step, (rate, decay) in enumerate(zip(run["learning_rate"], run["ema_decay"], strict=True)):
            epoch = step * batch / size
            assert learning_rate_at(epoch, float(run["base_learning_rate"]), warmup) == pytest.approx(rate, rel=1e-12)
            assert ema_decay_at(epoch, float(run["final_ema_decay"]), warmup) == pytest.approx(decay, rel=1e-12)


def test_the_learning_rate_rises_from_zero_to_its_value():
    assert learning_rate_at(0.0, 2e-4, 200.0) == 0
    assert learning_rate_at(50.0, 2e-4, 200.0) == pytest.approx(5e-5)
    assert learning_rate_at(200.0, 2e-4, 200.0) == learning_rate_at(40_000.0, 2e-4, 200.0) == 2e-4
    assert learning_rate_at(0.0, 2e-4, 0.0) == 2e-4


def test_the_ema_follows_the_images_seen_until_the_warm_up_ends():
    assert ema_decay_at(0.0, 0.99929, 200.0) == 0
    assert ema_decay_at(200.0, 0.99929, 200.0) == ema_decay_at(40_000.0, 0.99929, 200.0) == 0.99929
    assert ema_decay_at(100.0, 0.99929, 200.0) == pytest.approx(0.99929**2)
    assert ema_decay_at(1.0, 0.99929, 200.0) == pytest.approx(0.99929**200)


@pytest.mark.parametrize("decay", [0.0, 0.1, 0.5, 0.99])
def test_the_warm_up_scales_any_ema_rate_alike(decay):
    assert ema_decay_at(500.0, decay, 200.0) == decay
    assert ema_decay_at(20.0, decay, 200.0) == pytest.approx(decay * 0.99929**9)
    assert ema_decay_at(5.0, decay, 0.0) == decay
