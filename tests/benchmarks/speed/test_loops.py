"""The loops that are compared do what they are compared for."""

import copy

import pytest
import torch

from benchmarks.speed.loops import (
    Batch,
    build,
    count_gflop,
    diffusers_gflop,
    diffusers_loop,
    diffusers_network,
    has_diffusers,
    published_loop,
    training_gflop,
)
from benchmarks.speed.machine import Size
from memo_core.experiment import ModelConfig
from memo_core.training.steps.step import TrainingState, training_step

SIZE = Size(ModelConfig(width=8, depth=1, dropout=0.0, preconditioning="edm"), 8, 1, 4)
needs_diffusers = pytest.mark.skipif(not has_diffusers(), reason="diffusers is not installed")


def test_the_published_loop_takes_our_step():
    network, batch = build(SIZE), Batch.draw(SIZE)
    ours = copy.deepcopy(network)
    state = TrainingState.create(ours.train(), build(SIZE))
    run = published_loop(network, batch)
    for _ in range(3):
        run()
        training_step(state, batch.images, None, batch.sigma, batch.noise, 1e-4, 0.99)
    for own, other in zip(ours.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=2e-5)


def test_batches_are_the_same_each_time_and_as_large_as_asked_for():
    first, second = Batch.draw(SIZE), Batch.draw(SIZE)
    assert first.images.shape == (4, 1, 8, 8) and first.images.dtype == torch.uint8
    assert torch.equal(first.images, second.images) and torch.equal(first.noise, second.noise)


def test_operations_of_products_and_of_attention_are_counted():
    a, b = torch.ones(10, 20), torch.ones(20, 30)
    assert count_gflop(lambda: a @ b) == pytest.approx(2 * 10 * 20 * 30 / 1e9)
    q = torch.ones(1, 1, 16, 8)
    attention = torch.nn.functional.scaled_dot_product_attention
    assert count_gflop(lambda: attention(q, q, q)) == pytest.approx(2 * 2 * 16 * 16 * 8 / 1e9)


def test_a_step_of_the_laptop_network_has_the_known_operations():
    # 0.0166 GFLOP forward, about three times as many with the backward pass.
    laptop = Size(ModelConfig(width=16, depth=1, dropout=0.0, preconditioning="edm"), 8, 1, 32)
    assert training_gflop(laptop) == pytest.approx(0.049, rel=0.02)


@needs_diffusers
def test_the_network_of_diffusers_is_of_our_size():
    laptop = Size(ModelConfig(width=16, depth=1, dropout=0.0, preconditioning="edm"), 8, 1, 32)
    assert diffusers_gflop(laptop) / training_gflop(laptop) == pytest.approx(1, abs=0.25)


@needs_diffusers
def test_the_loop_of_diffusers_trains(monkeypatch):
    networks = []
    build_network = diffusers_network

    def remember(size):
        networks.append(build_network(size))
        return networks[-1]

    monkeypatch.setattr("benchmarks.speed.loops.diffusers_network", remember)
    run = diffusers_loop(SIZE, torch.device("cpu"))
    before = [parameter.clone() for parameter in networks[0].parameters()]
    run()
    assert any(not torch.equal(old, new) for old, new in zip(before, networks[0].parameters(), strict=True))
