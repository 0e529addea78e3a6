import itertools

import pytest
import torch

from memo_core.calibration import Growth, Point, calibrate
from memo_core.experiment.presets import experiment_from
from memo_core.threads import one_thread

TINY = {
    "data.size": 4, "model.width": 8, "model.channel_multipliers": (1, 1), "training.images": 640,
    "training.batch_size": 16, "evaluation.every_images": 160, "evaluation.num_samples": 8, "evaluation.steps": 4,
}  # fmt: skip


def growth(rate: float, *ratios: float, diverged: bool = False) -> Growth:
    points = tuple(Point(1000 * count, ratio, 10.0) for count, ratio in enumerate(ratios, 1))
    return Growth(rate, points, 1.0, 1000 * len(points), diverged)


def test_enough_is_the_first_evaluation_that_passed() -> None:
    assert growth(1e-2, 0.1, 0.9, 0.5, 1.0).enough == 2000
    assert growth(1e-2, 0.1, 0.89).enough is None


def test_who_memorized_after_fewer_images_comes_first_then_who_has_the_higher_ratio() -> None:
    quick, slow, high, low = growth(1, 0.9), growth(2, 0.1, 0.9), growth(3, 0.5), growth(4, 0.4)
    assert sorted([low, slow, high, quick], key=lambda one: one.rank) == [quick, slow, high, low]


def test_each_rate_trains_the_same_set_and_the_best_comes_first() -> None:
    seen: list[float] = []
    grown = calibrate(experiment_from("laptop", TINY), [5e-3, 1e-2], 1e9, lambda rate, _: seen.append(rate))
    assert [rate for rate, _ in itertools.groupby(seen)] == [5e-3, 1e-2]
    assert {one.learning_rate for one in grown} == {5e-3, 1e-2}
    assert all([point.images_seen for point in one.points] == [160, 320, 480, 640] for one in grown)
    assert grown == sorted(grown, key=lambda one: one.rank)


class Clock:
    """Is late from a given call on."""

    def __init__(self, late_from: int) -> None:
        self.calls, self.late_from = 0, late_from

    def __call__(self) -> float:
        self.calls += 1
        return 1e3 if self.calls >= self.late_from else 0.0


@pytest.mark.parametrize(
    ("late_from", "seen", "evaluations"),
    # Two calls before the first of ten steps; an evaluation of four noise levels has seven calls of the network, after
    # three that measure its memory.
    [(5, 48, 0), (12, 160, 0), (15, 160, 0), (25, 208, 1)],
)
def test_time_that_is_up_ends_a_training_amid_its_steps_or_an_evaluation(late_from, seen, evaluations) -> None:
    (grown,) = calibrate(experiment_from("laptop", TINY), [5e-3], 20.0, clock=Clock(late_from))
    assert (grown.images_seen, len(grown.points)) == (seen, evaluations)


def test_each_rate_has_its_part_of_the_time() -> None:
    first, second = calibrate(experiment_from("laptop", TINY), [5e-3, 1e-2], 20.0, clock=itertools.count().__next__)
    assert {first.images_seen, second.images_seen} <= {16 * steps for steps in range(5, 10)}


def test_a_rate_that_diverges_comes_last() -> None:
    grown = calibrate(experiment_from("laptop", TINY), [1e18, 5e-3], 1e9)
    assert [one.diverged for one in grown] == [False, True]


def test_threads_are_as_before() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
