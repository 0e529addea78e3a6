import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memo_core.measure.nearest import _CHUNKS, nearest_neighbors
from memo_core.measure.products import Float32Products, Int8Products, centered, squared_norms


def brute_force(queries, training):
    queries, training = (images.flatten(1).numpy().astype(np.int64) for images in (queries, training))
    return ((queries[:, None] - training[None]) ** 2).sum(2)


PRODUCTS = [Float32Products(), Int8Products()]


def assert_exact(found, queries, training, k):
    reference = brute_force(queries, training)
    order = np.argsort(reference, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.squared_distances.numpy(), np.take_along_axis(reference, order, 1))
    np.testing.assert_array_equal(found.indices.numpy(), order)


def draw(generator, count, shape, values):
    """Images of `values` gray levels between 0 and 255; few of them make ties and duplicates."""
    levels = torch.randint(0, values, (count, *shape), generator=generator)
    return (levels * (255 // (values - 1))).to(torch.uint8)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 50),
    size=st.integers(2, 300),
    shape=st.sampled_from([(1, 4, 4), (3, 4, 4), (1, 5, 7), (3, 24, 24)]),
    values=st.sampled_from([2, 3, 256]),
    products=st.sampled_from(PRODUCTS),
)
def test_distances_are_exact_integers_and_ties_go_to_the_lower_index(seed, k, size, shape, values, products):
    generator = torch.Generator().manual_seed(seed)
    training, queries = draw(generator, size, shape, values), draw(generator, 5, shape, values)
    queries[0] = training[0]
    k = min(k, size)
    assert_exact(nearest_neighbors(queries, training, k, products), queries, training, k)


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("differing", [1, 400])
def test_near_ties_and_duplicates_among_bright_images_are_told_apart(products, differing):
    generator = torch.Generator().manual_seed(0)
    training = draw(generator, 1, (3, 32, 32), 2).repeat(400, 1, 1, 1)
    flipped = torch.randint(0, 3072, (400,), generator=generator)
    training.flatten(1)[torch.arange(differing), flipped[:differing]] ^= 1
    queries = training[::40]
    assert_exact(nearest_neighbors(queries, training, 3, products), queries, training, 3)


@pytest.mark.parametrize("products", PRODUCTS)
def test_more_candidates_than_are_kept_are_settled_exactly(products, monkeypatch):
    monkeypatch.setitem(_CHUNKS, "cpu", _CHUNKS["cpu"]._replace(training=512))
    generator = torch.Generator().manual_seed(0)
    training = draw(generator, 1, (3, 24, 24), 2).repeat(2000, 1, 1, 1)
    training.flatten(1)[torch.arange(2000), torch.randint(0, 1728, (2000,), generator=generator)] ^= 3
    queries = training[1900:1910]
    assert_exact(nearest_neighbors(queries, training, 2, products), queries, training, 2)


@pytest.mark.parametrize("products", PRODUCTS)
def test_scores_are_within_their_bound(products):
    generator = torch.Generator().manual_seed(0)
    images = torch.cat([draw(generator, 40, (3, 64, 64), values) for values in (2, 256)])
    features = centered(images)
    norms = squared_norms(features)
    exact = norms / 2 - features.double() @ features.double().T
    factor = products.factor(features)
    scores = products.scores(factor, factor, norms).double() * products.factor_of_distance / 2
    bound = products.bound(norms, float(norms.max()), features.shape[1])[:, None]
    assert ((scores - exact).abs() <= bound).all()


def test_float32_that_may_be_rounded_elsewhere_is_not_here():
    training = draw(torch.Generator().manual_seed(0), 300, (3, 16, 16), 256)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert_exact(nearest_neighbors(training[:9], training, 9, PRODUCTS[0]), training[:9], training, 9)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_near_copy_among_bright_images_is_not_lost_to_rounding():
    training = torch.full((300, 3, 32, 32), 255, dtype=torch.uint8)
    training[:, 0, 0, 0] = torch.arange(300).clamp(max=200).to(torch.uint8)
    query = training[7:8].clone()
    query[0, 2, 5, 5] -= 1
    squared, indices = nearest_neighbors(query, training, 2)
    assert squared.tolist() == [[1.0, 2.0]]
    assert indices[0, 0] == 7


def test_chunks_do_not_change_the_answer():
    generator = torch.Generator().manual_seed(0)
    training = torch.randint(0, 256, (9000, 1, 8, 8), generator=generator).to(torch.uint8)
    queries = training[::450] ^ 1
    squared, indices = nearest_neighbors(queries, training, 2)
    assert indices[:, 0].tolist() == list(range(0, 9000, 450))
    assert squared[:, 0].tolist() == [64.0] * 20


def test_memory_stays_bounded_beyond_the_two_sets():
    script = """
import torch
from memo_core.measure.nearest import nearest_neighbors
from tests.peak_memory import peak_bytes
torch.set_num_threads(1)
training = torch.zeros(12_000, 3, 32, 32, dtype=torch.uint8)
queries = torch.zeros(3_000, 3, 32, 32, dtype=torch.uint8)
before = peak_bytes()
nearest_neighbors(queries, training)
print((peak_bytes() - before) / 2**30)
"""
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    # Four times as many pairs take no more.
    assert float(output) < 0.85
