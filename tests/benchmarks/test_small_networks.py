import torch

from benchmarks import small_networks
from benchmarks.speed.loops import Batch, build
from benchmarks.speed.machine import Machine, Size
from memo_core.experiment import ModelConfig
from memo_core.training.steps.step import denoising_loss, to_float

SIZE = Size(ModelConfig(width=8, depth=1, channel_multipliers=(1, 1), dropout=0.0), 8, 1, 4)


def test_stacked_trainings_have_the_gradients_of_each(monkeypatch):
    seen = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self: (seen.append(self.param_groups[0]["params"][0].grad), step(self))
    )
    small_networks.stacked_step(SIZE, 2)()
    network, batch = build(SIZE).train(), Batch.draw(SIZE)
    denoising_loss(network, to_float(batch.images), None, batch.sigma, batch.noise).backward()
    expected = torch.cat([parameter.grad.expand(2, *parameter.shape).reshape(-1) for parameter in network.parameters()])
    torch.testing.assert_close(seen[0], expected, rtol=1e-3, atol=1e-4)


def test_each_contender_is_measured_for_one_training():
    found = small_networks.measure(Machine(torch.device("cpu"), 1, 2, 0.01, 64), SIZE, counts=(2,), compile=False)
    assert found["published loop"]["times_faster"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert found["ours"]["seconds"]["median"] > 0
    assert found["2 stacked"]["seconds"]["median"] > 0
    assert "failures" not in found
