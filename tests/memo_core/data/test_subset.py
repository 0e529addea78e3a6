import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo_core.data.sources import ImageSource, open_source
from memo_core.data.subset import balanced_order, choose_classes, from_second_source
from memo_core.errors import MemosweepError


def source_with(labels):
    labels = np.asarray(labels, dtype=np.int64)
    image = np.zeros((1, 8, 8), np.uint8)
    return ImageSource("made", len(labels), labels, lambda index: image, lambda index: f"image {index}")


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.integers(0, 5), st.data())
def test_a_smaller_subset_is_a_prefix_of_a_larger_one_without_repeats(labels, seed, data):
    source = source_with(labels)
    larger = data.draw(st.integers(1, len(labels)))
    smaller = data.draw(st.integers(1, larger))
    order = balanced_order(source, larger, None, seed)
    assert len(set(order.tolist())) == larger
    np.testing.assert_array_equal(balanced_order(source, smaller, None, seed), order[:smaller])


@given(st.integers(1, 10), st.integers(2, 400), st.integers(0, 3))
def test_chosen_classes_have_equal_shares_within_one(classes, size, seed):
    source = open_source("digits")
    if size > classes * 174:
        return
    labels = source.labels[balanced_order(source, size, classes, seed)]
    counts = np.bincount(labels, minlength=10)
    counts = counts[counts > 0] if size >= classes else counts
    assert counts.max() - counts.min() <= 1
    assert len(np.unique(labels)) == min(classes, size)


def test_fewer_classes_are_a_part_of_more():
    source = open_source("digits")
    for fewer in range(1, 10):
        assert set(choose_classes(source, fewer, 7)) < set(choose_classes(source, fewer + 1, 7))


def test_seeds_choose_differently():
    source = open_source("digits")
    assert balanced_order(source, 50, None, 0).tolist() != balanced_order(source, 50, None, 1).tolist()


def test_the_whole_unequal_set_can_be_taken():
    source = open_source("digits")
    assert sorted(balanced_order(source, 1797, None, 0).tolist()) == list(range(1797))


@pytest.mark.parametrize(
    ("size", "classes", "message"),
    [
        (1798, None, "1,797 images"),
        (400, (8,), "data.size = 400: digits restricted to 1 class has only 174 images"),
        (355, (1, 8), "equal shares"),
        (5, (10,), "no class 10"),
    ],
)
def test_what_the_source_cannot_give_is_refused(size, classes, message):
    with pytest.raises(MemosweepError, match=message):
        balanced_order(open_source("digits"), size, classes, seed=0)


@given(st.floats(0, 1), st.integers(1, 300), st.integers(1, 300))
def test_blended_positions_nest_and_keep_the_ratio(ratio, one, other):
    small, large = sorted((one, other))
    chosen = from_second_source(large, ratio)
    np.testing.assert_array_equal(from_second_source(small, ratio), chosen[:small])
    assert abs(int(chosen.sum()) - large * ratio) < 1


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.8])
def test_the_papers_ratios_are_exact(ratio):
    assert int(from_second_source(1000, ratio).sum()) == round(1000 * ratio)
