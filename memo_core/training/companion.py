"""Several trials from one training: what acts after a step, as the EMA rate and the sampler do, needs no own steps."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from memo_core.errors import ExhaustedError, MemosweepError, OtherTrainingError
from memo_core.evaluation import Evaluation
from memo_core.experiment import Experiment
from memo_core.results import training_id
from memo_core.training.checkpoint import apply_checkpoint, read_whole
from memo_core.training.checkpoints import Checkpoints, MakeTrainer, images_seen_of
from memo_core.training.learner import AverageLearner, DenoiserLearner, Learner
from memo_core.training.trainer import Trainer


class Companion(Trainer):
    """The training of another experiment, whose steps a trainer takes along with its own.

    Average, evaluations, record and checkpoints are its own, and equal bit for bit those of a training of its own
    wherever a step is not captured as a CUDA graph, where the average is equal to rounding.

    Args:
        leader: trains; it takes this one along from now on, and must be at the start of the training, or where the
            checkpoint is that this one goes on from.
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
        """Go along no further."""
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
    """Continue a training and those that go along with it.

    It goes on from the newest position of which all have a checkpoint that have any. Who has none of where it goes on
    from, or a damaged one, does not go along: it keeps its checkpoints, for a training of its own.

    Args:
        checkpoints: of the training that takes the steps.
        make_trainer: makes its trainer.
        others: the experiments of the others, with their checkpoints.

    Returns:
        The trainer, the companions by experiment, and lines for the user as `Checkpoints.load_newest`.

    Raises:
        OtherTrainingError: a checkpoint has other settings or other images.
        ExhaustedError: memory does not suffice.
    """
    for one in (checkpoints, *others.values()):
        one.tidy()
    positions = [set(map(images_seen_of, other.paths())) for other in others.values()]
    shared = set(map(images_seen_of, checkpoints.paths())).intersection(*filter(None, positions))
    trainer, notes = checkpoints.load_newest(make_trainer, max(shared, default=None))
    companions = {}
    for experiment, other in others.items():
        companion = _join(trainer, experiment, other)
        if companion is not None:
            companions[experiment] = companion
    return trainer, companions, notes


def _join(leader: Trainer, experiment: Experiment, checkpoints: Checkpoints) -> Companion | None:
    paths = {images_seen_of(path): path for path in checkpoints.paths()}
    path = paths.get(leader.images_seen)
    if path is None and (paths or leader.images_seen):
        return None
    companion = Companion(leader, experiment)
    if path is None:
        return companion
    try:
        content, best_arrays = read_whole(path, leader.device)
        apply_checkpoint(companion, content, best_arrays, path, as_at_once=True)
    except (OtherTrainingError, ExhaustedError):
        raise
    except MemosweepError:
        companion.leave()
        return None
    return companion
