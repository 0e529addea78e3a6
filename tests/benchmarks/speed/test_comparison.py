"""What follows from measured seconds."""

import pytest
import torch

from benchmarks.speed.comparison import Contender, Spread, Timings, compare, exponent, interleaved, pair, share_of_peak
from benchmarks.speed.machine import Machine
from memo_core.errors import MemosweepError


class FakeMachine(Machine):
    """A clock that the runs move on, and a matrix product of 8 GFLOP in 2 s."""

    now = 0.0

    def clock(self):
        return FakeMachine.now

    def matrix_product(self, arithmetic):
        return takes(2.0), 8.0


def takes(seconds):
    def run():
        FakeMachine.now += seconds

    return run


@pytest.fixture
def machine():
    FakeMachine.now = 0.0
    return FakeMachine(torch.device("cpu"), repeats=3, turn_seconds=1.0)


def test_a_spread_is_median_smallest_and_largest():
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert Spread.of([2.0]) == Spread(2.0, 2.0, 2.0)


def test_a_pair_is_measured_in_the_time_of_its_first(machine):
    measured = pair(("ours", takes(0.5)), ("other", takes(2.0)), machine, 3)
    assert measured == {
        "ours_ms": 500, "other_ms": 2000, "other_over_ours": 4, "other_over_ours_low": 4, "other_over_ours_high": 4,
    }  # fmt: skip


def test_a_pair_has_no_numbers_where_one_of_it_fails(machine):
    def fails():
        raise RuntimeError("no room")

    with pytest.raises(MemosweepError, match="other: RuntimeError: no room"):
        pair(("ours", takes(0.5)), ("other", fails), machine, 3)


def test_ratios_are_formed_round_by_round():
    timings = Timings({"ours": [1.0, 2.0, 4.0], "other": [2.0, 2.0, 12.0]}, {})
    assert timings.ratio("other", "ours") == Spread(2.0, 1.0, 3.0)
    assert timings.ratio("other", "missing") is None


def test_every_run_is_measured_in_every_round_and_the_first_one_changes(machine):
    order = []
    runs = {name: lambda name=name: (order.append(name), takes(1.0)()) for name in ("a", "b")}
    timings = interleaved(runs, machine)
    assert order == ["a", "a", "b", "b", *"ab", *"ba", *"ab"]
    assert timings.seconds == {"a": [1.0] * 3, "b": [1.0] * 3}


def test_short_runs_are_called_as_often_as_a_turn_takes(machine):
    count = []
    timings = interleaved({"short": lambda: (count.append(1), takes(0.25)())}, machine)
    assert len(count) == 2 + 3 * 4
    assert timings.seconds["short"] == pytest.approx([0.25] * 3)


def test_one_that_fails_is_left_out_with_its_reason(machine):
    def fails():
        raise RuntimeError("out of memory\nsecond line")

    rows = compare("group", [Contender("ours", takes(1.0)), Contender("other", fails)], "ours", machine)
    assert [(row.name, row.note) for row in rows] == [("ours", ""), ("other", "RuntimeError: out of memory")]
    assert rows[0].ratio == Spread(1.0, 1.0, 1.0) and rows[1].ratio is None


def test_rows_hold_ratios_and_shares_of_the_peak(machine):
    ours = Contender("ours", takes(1.0), gflop=2.0, images=10)
    other = Contender("other", takes(3.0), gflop=2.0)
    first, second, product = compare("group", [ours, other], "ours", machine)
    assert first.share_of_peak == Spread(0.5, 0.5, 0.5)
    assert first.numbers == {"gflop": 2.0, "gflop_per_second": 2.0, "images_per_second": 10.0}
    assert second.ratio == Spread(3.0, 3.0, 3.0)
    assert second.share_of_peak.median == pytest.approx(1 / 6)
    assert (product.name, product.ratio, product.numbers["gflop_per_second"]) == ("matrix product, float32", None, 4.0)


def test_the_share_of_the_peak_follows_the_product_of_the_same_round():
    # The second round ran on a machine half as fast: both took twice as long.
    assert share_of_peak([1.0, 2.0], 5.0, [1.0, 2.0], 10.0) == Spread(0.5, 0.5, 0.5)


def test_the_exponent_of_a_power_law_is_found():
    assert exponent([8, 16, 32], [3 * size**2.5 for size in (8, 16, 32)]) == pytest.approx(2.5)
