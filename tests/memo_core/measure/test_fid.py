import builtins

import numpy as np
import pytest
import torch
from torch import nn

from memo_core.errors import MemosweepError
from memo_core.measure import fid as module
from memo_core.measure.fid import FrechetDistance


class SmallNetwork(nn.Module):
    """Six features of color images."""

    def __init__(self):
        super().__init__()
        self.mixing = torch.randn(48, 6, generator=torch.Generator().manual_seed(7)) / 100
        self.largest_batch = 0

    def forward(self, images):
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 4, 4)
        self.largest_batch = max(self.largest_batch, len(images))
        return torch.tanh(images.flatten(1).float() @ self.mixing / 10)


def images(count, seed, low=0, high=256, channels=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high, (count, channels, 4, 4), generator=generator).to(torch.uint8)


def reference(one, other):
    """Heusel et al. 2017, eq. 6, in float64, with the symmetric form of the matrix root."""
    one, other = (SmallNetwork()(part).double().numpy() for part in (one, other))
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = vectors @ np.diag(np.sqrt(values.clip(0))) @ vectors.T
    trace = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * trace


def distance(training, generated, network=None):
    fid = FrechetDistance(training, network or SmallNetwork())
    fid.add(generated)
    return fid.take()


def test_it_agrees_with_the_formula():
    training, generated = images(130, 1), images(90, 2, 20, 200)
    assert distance(training, generated) == pytest.approx(reference(training, generated), rel=1e-5)


def test_the_training_set_is_at_no_distance_from_itself_and_a_brighter_one_is():
    training = images(60, 1)
    assert distance(training, training) == pytest.approx(0, abs=1e-6)
    assert distance(training, images(60, 1, 128, 256)) > 0.1


def test_gray_images_are_repeated_to_three_channels():
    training, generated = images(40, 1, channels=1), images(40, 2, 0, 90, channels=1)
    color = distance(training.repeat(1, 3, 1, 1), generated.repeat(1, 3, 1, 1))
    assert distance(training, generated) == pytest.approx(color, rel=1e-6)


def test_parts_do_not_change_the_answer_and_evaluations_are_apart():
    training, first, second = images(120, 1), images(100, 2, 0, 200), images(70, 3, 50, 256)
    network = SmallNetwork()
    fid = FrechetDistance(training, network)
    for part in torch.split(first, 7):
        fid.add(part)
    assert fid.take() == pytest.approx(distance(training, first), rel=1e-6)
    fid.add(second)
    assert fid.take() == pytest.approx(distance(training, second), rel=1e-6)
    assert network.largest_batch <= module.IMAGES_AT_ONCE < len(training)


def test_it_leaves_the_callers_random_numbers_and_gradients_alone():
    before = torch.get_rng_state()
    distance(images(10, 1), images(10, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.is_grad_enabled()


def test_a_network_that_drops_out_while_it_trains_is_put_into_evaluation_mode():
    network = nn.Sequential(SmallNetwork(), nn.Dropout(0.5)).train()
    assert distance(images(30, 1), images(30, 2), network) == distance(images(30, 1), images(30, 2))


@pytest.mark.parametrize(
    ("training", "network", "message"),
    [
        (images(1, 1), SmallNetwork(), "1 training images: FID needs at least 2"),
        (images(3, 1), nn.Identity(), r"shape \[2, 3, 4, 4\] for 2 images"),
    ],
)
def test_a_training_set_or_network_that_cannot_serve_is_refused(training, network, message):
    with pytest.raises(MemosweepError, match=message):
        FrechetDistance(training, network)


def test_generated_images_that_cannot_serve_are_refused():
    fid = FrechetDistance(images(5, 1), SmallNetwork())
    with pytest.raises(MemosweepError, match=r"torch\.float32: FID takes"):
        fid.add(images(3, 1).float())
    fid.add(images(1, 1))
    with pytest.raises(MemosweepError, match="1 generated images: FID needs at least 2"):
        fid.take()


def test_features_that_are_not_finite_are_refused():
    class Broken(SmallNetwork):
        def forward(self, images):
            return super().forward(images) * torch.nan

    with pytest.raises(MemosweepError, match="not finite"):
        distance(images(5, 1), images(5, 2), Broken())


def test_without_torch_fidelity_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MemosweepError, match="python -m pip install torch-fidelity"):
        FrechetDistance(images(5, 1))


def test_without_weights_the_message_says_where_to_put_them(monkeypatch):
    class Package:
        URL_INCEPTION_V3 = "https://example.org/weights.pth"

    def unreachable(*arguments, **options):
        raise OSError("<urlopen error no route to host>")

    original = builtins.__import__
    monkeypatch.setattr(
        builtins,
        "__import__",
        lambda name, *rest: Package if name.startswith("torch_fidelity") else original(name, *rest),
    )
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    monkeypatch.setattr("torchmetrics.image.fid.NoTrainInceptionV3", unreachable)
    with pytest.raises(
        MemosweepError, match=r"no route to host.*put https://example.org/weights.pth into .*checkpoints"
    ):
        FrechetDistance(images(5, 1))
