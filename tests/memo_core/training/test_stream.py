from hypothesis import given
from hypothesis import strategies as st

from memo_core.training.stream import IndexStream


@given(st.integers(2, 30), st.integers(1, 70), st.integers(1, 20))
def test_every_epoch_draws_every_image_once_however_batches_are_cut(size, batch, batches):
    stream = IndexStream(size, seed=3)
    drawn = [index for step in range(batches) for index in stream.batch(step * batch, batch).tolist()]
    assert len(drawn) == batch * batches
    for epoch in range(len(drawn) // size):
        assert sorted(drawn[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_a_position_needs_no_history():
    whole = IndexStream(7, seed=0).batch(0, 50)
    assert IndexStream(7, seed=0).batch(23, 20).tolist() == whole[23:43].tolist()


def test_epochs_and_seeds_have_orders_of_their_own():
    stream = IndexStream(50, seed=0)
    first, second = stream.batch(0, 50).tolist(), stream.batch(50, 50).tolist()
    assert first != second
    assert IndexStream(50, seed=1).batch(0, 50).tolist() != first
