from hypothesis import given
from hypothesis import strategies as st

from memo_core.training.steps.split import Split


@given(
    batch_size=st.integers(1, 200),
    ranks=st.integers(1, 9),
    micro_batch_size=st.none() | st.integers(1, 64),
)
def test_the_parts_of_all_ranks_make_up_the_batch(batch_size, ranks, micro_batch_size):
    parts = [Split(rank, ranks, micro_batch_size).parts(batch_size) for rank in range(ranks)]
    images = [index for own in parts for part in own for index in range(batch_size)[part]]
    assert images == list(range(batch_size))
    shares = [sum(part.stop - part.start for part in own) for own in parts]
    assert max(shares) - min(shares) <= 1
    for own in parts:
        sizes = [part.stop - part.start for part in own]
        assert all(1 <= size <= (micro_batch_size or batch_size) for size in sizes)
        # Two sizes at most: each is compiled by itself.
        assert not sizes or max(sizes) - min(sizes) <= 1


def test_one_process_takes_the_whole_batch_at_once():
    assert Split().parts(7) == [slice(0, 7)]
