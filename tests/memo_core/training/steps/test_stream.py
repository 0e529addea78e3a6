from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo_core.training.steps.stream import IndexStream

ORDERS = ("cyclic", "reshuffled", "replacement")
orders = st.sampled_from(ORDERS)
sizes = st.integers(1, 30)


def drawn(order, size, position, count, seed=3):
    return IndexStream(size, seed, order).batch(position, count).tolist()


@given(orders, sizes, st.integers(0, 10_000), st.lists(st.integers(0, 70), max_size=8))
def test_the_stream_does_not_depend_on_how_it_is_cut_into_batches(order, size, position, batches):
    stream, parts = IndexStream(size, 3, order), []
    for count in batches:
        parts += stream.batch(position + len(parts), count).tolist()
    assert parts == drawn(order, size, position, sum(batches))


@given(orders, sizes, st.integers(100, 5000), st.integers(1, 100), st.integers(0, 100))
def test_a_position_needs_no_history(order, size, position, count, before):
    assert drawn(order, size, position, count) == drawn(order, size, position - before, before + count)[before:]


@given(st.sampled_from(["cyclic", "reshuffled"]), sizes, st.integers(1, 20), st.integers(0, 100))
def test_every_epoch_draws_every_image_once(order, size, epochs, first_epoch):
    indices = drawn(order, size, first_epoch * size, epochs * size)
    for epoch in range(epochs):
        assert sorted(indices[epoch * size : (epoch + 1) * size]) == list(range(size))


@given(sizes, st.integers(0, 1000), st.integers(1, 100))
def test_the_cyclic_order_repeats_after_each_epoch(size, position, count):
    assert drawn("cyclic", size, position, count) == drawn("cyclic", size, position + size, count)


@given(sizes, st.integers(0, 1000), st.integers(1, 10))
def test_any_whole_number_of_cycles_draws_every_image_equally_often(size, position, cycles):
    counts = Counter(drawn("cyclic", size, position, cycles * size))
    assert counts == dict.fromkeys(range(size), cycles)


@pytest.mark.parametrize("order", ["reshuffled", "replacement"])
def test_other_orders_differ_from_epoch_to_epoch(order):
    assert drawn(order, 50, 0, 50) != drawn(order, 50, 50, 50)


def test_draws_with_replacement_are_uniform_and_independent_of_their_epoch():
    size, count = 20, 40_000
    indices = drawn("replacement", size, 0, count)
    frequencies = Counter(indices)
    # Poisson noise around 2,000: 5 standard deviations.
    assert all(abs(frequencies[index] - count / size) < 5 * (count / size) ** 0.5 for index in range(size))
    # An epoch leaves out a share of (1 - 1/20)^20 = 0.36 of the images on average.
    left_out = [1 - len(set(indices[start : start + size])) / size for start in range(0, count, size)]
    assert sum(left_out) / len(left_out) == pytest.approx(0.358, abs=0.01)


@pytest.mark.parametrize("order", ORDERS)
def test_seeds_have_orders_of_their_own(order):
    assert drawn(order, 50, 0, 50, seed=0) != drawn(order, 50, 0, 50, seed=1)
