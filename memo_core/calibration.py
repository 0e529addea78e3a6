"""How long a small set of given images takes to be memorized: found by training on it, at several learning rates."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from memo_core.data.training_set import load_training_set
from memo_core.errors import DivergedError
from memo_core.experiment import Experiment
from memo_core.training.steps.step import TrainingState
from memo_core.training.trainer import Trainer

PASSED = 0.9
"""The memorization ratio at which a set counts as memorized (EMM with zeta = 0.1, paper, section 3.1)."""


@dataclass(frozen=True)
class Point:
    """One evaluation of a training."""

    images_seen: int
    memorization_ratio: float
    """0..1."""
    knn_distance: float
    """Mean distance of the samples to their nearest training images, in units of pixel values."""


@dataclass(frozen=True)
class Growth:
    """How the ratio of one training grew.

    Attributes:
        learning_rate: of the training.
        points: its evaluations, in order; none where the time was up before the first one.
        seconds: that it took, samples and search included.
        images_seen: in training, also after the last evaluation.
        diverged: it went on to numbers that are not finite.
    """

    learning_rate: float
    points: tuple[Point, ...]
    seconds: float
    images_seen: int
    diverged: bool = False

    @property
    def enough(self) -> int | None:
        """Images seen at the first evaluation with a ratio of 0.9 or more; None where there was none."""
        return next((point.images_seen for point in self.points if point.memorization_ratio >= PASSED), None)

    @property
    def rank(self) -> tuple[float, float, float]:
        """Sorts trainings: who memorized after fewer images first, else who has the higher ratio, else the nearer."""
        last = self.points[-1] if self.points else Point(0, 0.0, float("inf"))
        return (self.enough or float("inf"), -last.memorization_ratio, last.knn_distance)


class _TimeUpError(Exception):
    """Ends a training within a step or an evaluation."""


def calibrate(
    experiment: Experiment,
    learning_rates: Sequence[float],
    seconds: float,
    on_point: Callable[[float, Point], object] = lambda rate, point: None,
    clock: Callable[[], float] = time.monotonic,
    device: torch.device | str = "cpu",
) -> list[Growth]:
    """Train an experiment at several learning rates until each has memorized its set, or its time is up.

    A rate gets no more images than the best one before it needed.

    Args:
        experiment: with as many images to see as a training may need at most, and evaluations in small steps.
        learning_rates: at least one.
        seconds: for all rates together. Time that is up ends a training or an evaluation after the batch at hand.
        on_point: called after each evaluation with the learning rate.
        clock: seconds.
        device: where.

    Returns:
        A growth for each rate, best first.

    Raises:
        MemosweepError: the images cannot be read.
    """
    data = load_training_set(experiment.data)
    grown: list[Growth] = []
    begun = clock()
    for count, rate in enumerate(learning_rates, 1):
        started = clock()
        end = begun + seconds * count / len(learning_rates)
        most = min((growth.enough for growth in grown if growth.enough is not None), default=experiment.total_images)
        training = experiment.training.model_copy(update={"learning_rate": rate})
        points: list[Point] = []
        diverged = False

        def stop_in_time(*_: object, end: float = end) -> None:
            if clock() >= end:
                raise _TimeUpError

        trainer = Trainer(experiment.model_copy(update={"training": training}), device, data)
        assert isinstance(trainer.state, TrainingState)
        # Samples of many pixels take as long as the steps between two evaluations.
        trainer.state.ema.register_forward_pre_hook(stop_in_time)
        try:
            for evaluation in trainer.evaluations(stop_in_time):
                numbers = evaluation.metrics
                point = Point(
                    int(numbers["images_seen"]), float(numbers["memorization_ratio"]), float(numbers["knn_distance"])
                )
                points.append(point)
                on_point(rate, point)
                if point.memorization_ratio >= PASSED or point.images_seen >= most:
                    break
        except _TimeUpError:
            pass
        except DivergedError:
            diverged = True
        grown.append(Growth(rate, tuple(points), clock() - started, trainer.images_seen, diverged))
    return sorted(grown, key=lambda growth: (growth.diverged, growth.rank))
