import subprocess
import sys

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memo_core.measure.nearest import nearest_neighbors


def brute_force(queries, training):
    queries, training = (images.flatten(1).numpy().astype(np.int64) for images in (queries, training))
    return ((queries[:, None] - training[None]) ** 2).sum(2)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 40), st.sampled_from([(1, 4), (3, 4), (3, 24)]))
def test_distances_are_exact_integers_and_ties_go_to_the_lower_index(seed, k, size, shape):
    generator = torch.Generator().manual_seed(seed)
    channels, side = shape
    # Few grey values make ties and duplicates.
    training = torch.randint(0, 3, (size, channels, side, side), generator=generator).to(torch.uint8) * 127
    queries = torch.randint(0, 3, (5, channels, side, side), generator=generator).to(torch.uint8) * 127
    k = min(k, size)
    squared, indices = nearest_neighbors(queries, training, k)
    reference = brute_force(queries, training)
    order = np.argsort(reference, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(squared.numpy(), np.take_along_axis(reference, order, 1))
    np.testing.assert_array_equal(indices.numpy(), order)


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
import resource, torch
from memo_core.measure.nearest import nearest_neighbors
torch.set_num_threads(1)
training = torch.zeros(9_000, 3, 32, 32, dtype=torch.uint8)
queries = torch.zeros(2_100, 3, 32, 32, dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
nearest_neighbors(queries, training)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)
"""
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert float(output) < 0.6
