import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from memo_core.errors import MemosweepError
from memo_core.measure.faiss_search import faiss_neighbors, neighbor_search
from memo_core.measure.memorization import measure_memorization
from memo_core.measure.nearest import nearest_neighbors


class Flat:
    """A flat index in float32, as faiss has it, off by `error` as its rounding may be."""

    error = 0.0

    def __init__(self, dimension):
        self.rows = np.empty((0, dimension), np.float32)

    def add(self, rows):
        self.rows = np.concatenate([self.rows, rows])

    def search(self, queries, k):
        squared = ((queries[:, None].astype(np.float64) - self.rows) ** 2).sum(2)
        squared *= 1 + self.error * np.random.default_rng(0).uniform(-1, 1, squared.shape)
        order = np.argsort(squared, axis=1)[:, :k]
        return np.take_along_axis(squared, order, 1).astype(np.float32), order


@pytest.fixture
def flat(monkeypatch):
    module = ModuleType("faiss")
    module.IndexFlatL2 = Flat
    monkeypatch.setitem(sys.modules, "faiss", module)
    return Flat


def images(seed, count, values=256):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(0, values, (count, 3, 8, 8), generator=generator) * (255 // (values - 1))).to(torch.uint8)


def assert_same(queries, training, k):
    found, expected = faiss_neighbors(queries, training, k), nearest_neighbors(queries, training, k)
    assert torch.equal(found.squared_distances, expected.squared_distances)
    assert torch.equal(found.indices, expected.indices)


@pytest.mark.usefixtures("flat")
@pytest.mark.parametrize("k", [1, 2, 50])
@pytest.mark.parametrize("values", [2, 256])
def test_the_neighbors_are_those_of_the_exact_search(k, values):
    assert_same(images(1, 9, values), images(2, 300, values), k)


@pytest.mark.usefixtures("flat")
def test_duplicates_beyond_the_candidates_are_searched_again():
    training = images(1, 1).repeat(200, 1, 1, 1)
    training[150:, 0, 0, 0] ^= 1
    assert_same(training[::20], training, 3)


def test_wrong_order_within_rounding_is_put_right(flat, monkeypatch):
    monkeypatch.setattr(flat, "error", 1e-6)
    training = images(1, 1).repeat(300, 1, 1, 1)
    training[torch.arange(300), 0, 0, 0] = torch.arange(300).clamp(max=255).to(torch.uint8)
    assert_same(images(3, 5), training, 2)


@pytest.mark.parametrize("k", [2, 50])
def test_real_faiss_agrees(k):
    pytest.importorskip("faiss")
    assert_same(images(1, 9), images(2, 300), k)


@pytest.mark.usefixtures("flat")
def test_a_measure_with_faiss_gives_the_same_numbers():
    generated, training = images(1, 40), images(2, 100)
    generated[::2] = training[:20] ^ 1
    exact, faiss = (measure_memorization(generated, training, neighbors=name) for name in ("exact", "faiss"))
    assert exact.summary() == faiss.summary()
    assert 0 < exact.ratio < 1


def test_without_faiss_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MemosweepError, match="pip install"):
        neighbor_search("faiss")
