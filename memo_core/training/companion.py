"""Several trials from one training: what acts after a step, as the EMA rate and the sampler do, needs no own steps."""

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from memo_core.errors import MemosweepError
from memo_core.evaluation import Evaluation
from memo_core.experiment import Experiment
from memo_core.results import training_id
from memo_core.training.learner import AverageLearner, DenoiserLearner, Learner
from memo_core.training.saving.checkpoint import apply_checkpoint, check_sums, read_whole
from memo_core.training.saving.checkpoints import Checkpoints, MakeTrainer, images_seen_of
from memo_core.training.saving.record import NotContinuedError
from memo_core.training.trainer import Trainer


class Companion(Trainer):
    """The training of another experiment, whose steps are those of a trainer, the leader.

    Average, evaluations, record and checkpoints are its own, and equal bit for bit those of a training of its own
    wherever a step is not captured as a CUDA graph, where the average is equal to rounding.

    Args:
        leader: takes the steps. It must be at the start of the training, or at the position of the checkpoint that this
            one goes on from.
        experiment: differs from the leader's in what acts after a step alone (`memo_core.results.training_id`).

    Raises:
        MemosweepError: it differs in something else, or the leader's kind of model has no companions.
    """

    def __init__(self, leader: Trainer, experiment: Experiment) -> None:
        if training_id(experiment.to_flat()) != training_id(leader.experiment.to_flat()):
            raise MemosweepError("a companion differs in training.ema_decay and evaluation settings alone")
        self._leader = leader
        super().__init__(experiment, leader.device, leader.data)
        self._noise = leader._noise
        leader._companions.append(self)

    def leave(self) -> None:
        """End: the leader goes on without it."""
        self._leader._companions.remove(self)

    def _build_learner(self) -> Learner:
        learner = self._leader._learner
        if not isinstance(learner, DenoiserLearner) or self._leader._ranks is not None:
            raise MemosweepError("a network that is trained from noise by one process alone has companions")
        return AverageLearner(learner, self.experiment)

    def evaluate_if_due(self) -> Evaluation | None:
        """Evaluate where an evaluation point is reached and was not evaluated yet.

        Raises:
            DivergedError: a sample is NaN or infinite.
        """
        reached = (point for point in self.experiment.evaluation_points if point <= self.images_seen)
        return None if all(map(self._is_past, reached)) else self._evaluate(None)

    def state_dict(self) -> dict[str, Any]:
        """Return what a trainer of its own would; see `Trainer.state_dict`."""
        self._dropout_state = self._leader._dropout_state
        return super().state_dict()

    def _after_step(self, count: int, learning_rate: float, loss: Tensor) -> None:
        assert isinstance(self._learner, AverageLearner)
        self._learner.follow(self.images_seen)
        super()._after_step(count, learning_rate, loss)


def load_with_companions(
    checkpoints: Checkpoints,
    make_trainer: MakeTrainer,
    others: Mapping[Experiment, Checkpoints],
) -> tuple[Trainer, dict[Experiment, Companion], list[str]]:
    """Continue a training and its companions.

    It goes on from the newest position of which all have a whole checkpoint that have any. An experiment without one of
    that position and that network, or that cannot be evaluated here, is no companion: it keeps its checkpoints, for a
    training of its own.

    Args:
        checkpoints: of the training that takes the steps.
        make_trainer: makes its trainer.
        others: the experiments of the others, with their checkpoints.

    Returns:
        The trainer, the companions by experiment, and lines for the user as `Checkpoints.load_newest`.

    Raises:
        OtherTrainingError: a checkpoint of the training has other settings or other images.
        ExhaustedError: memory does not suffice for it.
    """
    for one in (checkpoints, *others.values()):
        one.tidy()
    positions = [_whole_positions(other) for other in others.values()]
    shared = set(map(images_seen_of, checkpoints.paths())).intersection(*filter(None, positions))
    trainer, notes = checkpoints.load_newest(make_trainer, max(shared, default=None))
    companions = {}
    for experiment, other in others.items():
        companion = _join(trainer, experiment, other)
        if companion is not None:
            companions[experiment] = companion
    return trainer, companions, notes


def _whole_positions(checkpoints: Checkpoints) -> set[int]:
    whole = set()
    for path in checkpoints.paths():
        with contextlib.suppress(MemosweepError):
            check_sums(path)
            whole.add(images_seen_of(path))
    return whole


def _join(leader: Trainer, experiment: Experiment, checkpoints: Checkpoints) -> Companion | None:
    paths = {images_seen_of(path): path for path in checkpoints.paths()}
    path = paths.get(leader.images_seen)
    if path is None and (paths or leader.images_seen):
        return None
    companion = None
    try:
        companion = Companion(leader, experiment)
        if path is None:
            return companion
        content, best_arrays = read_whole(path, leader.device)
        if not _has_network_of(content, leader):
            raise NotContinuedError("its network is another one, by rounding elsewhere")
        apply_checkpoint(companion, content, best_arrays, path, as_at_once=True)
    # Whatever it is: a training of its own will meet it again, and say so.
    except MemosweepError:
        if companion is not None:
            companion.leave()
        return None
    return companion


def _has_network_of(content: dict[str, Any], leader: Trainer) -> bool:
    """Return whether a checkpoint holds the leader's parameters, bit for bit: it may have been trained elsewhere."""
    own, other = leader.state_dict()["model"], content.get("model")
    return (
        isinstance(other, dict)
        and other.keys() == own.keys()
        and all(torch.equal(own[name], values.to(leader.device)) for name, values in other.items())
    )
