import itertools

import torch

from memo_core.calibration import Growth, Point, calibrate, one_thread
from memo_core.experiment.presets import experiment_from

TINY = {
    "data.size": 4, "model.width": 8, "model.channel_multipliers": (1, 1), "training.images": 640,
    "training.batch_size": 16, "evaluation.every_images": 160, "evaluation.num_samples": 8, "evaluation.steps": 4,
}  # fmt: skip


def growth(rate: float, *ratios: float, diverged: bool = False) -> Growth:
    points = tuple(Point(1000 * count, ratio, 10.0) for count, ratio in enumerate(ratios, 1))
    return Growth(rate, points, 1.0, diverged)


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


def test_time_that_is_up_ends_a_training_after_its_evaluation() -> None:
    clock = itertools.count(0.0, 10.0)
    grown = calibrate(experiment_from("laptop", TINY), [5e-3, 1e-2], 20.0, clock=lambda: next(clock))
    assert all(len(one.points) == 1 for one in grown)


def test_a_rate_that_diverges_comes_last() -> None:
    grown = calibrate(experiment_from("laptop", TINY), [1e18, 5e-3], 1e9)
    assert [one.diverged for one in grown] == [False, True]


def test_threads_are_as_before() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
