"""The training loop of one experiment: train to the next evaluation point, evaluate, yield, repeat."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from memo_core.data.training_set import TrainingSet, load_training_set
from memo_core.errors import NotFiniteError, SamplesNotFiniteError
from memo_core.evaluation import Evaluation, NextBatch, evaluate, nearest_images
from memo_core.experiment import Experiment
from memo_core.measure.faiss_search import neighbor_search
from memo_core.measure.fid import FrechetDistance
from memo_core.memory import keep_freed_memory, memory_errors, return_freed_memory
from memo_core.model.precision import gpu_arithmetic
from memo_core.randomness import image_seeds, named_generator, named_seed
from memo_core.training.divergence import DivergenceCheck
from memo_core.training.learner import DenoiserLearner, Learner, build_learner
from memo_core.training.saving.record import NotContinuedError, Row, Tally, TrainingRecord, check_same_training
from memo_core.training.steps.distributed import Ranks, end_evaluation, help_to_generate
from memo_core.training.steps.mode import StepMode, compiles_otherwise
from memo_core.training.steps.step import TrainedParameters
from memo_core.training.steps.stream import IndexStream

Progress = Callable[[int], None]


class Trainer:
    """Trains an experiment; its whole state fits a checkpoint, from which it goes on bit for bit.

    Args:
        experiment: what to train.
        device: where; a GPU when there is one, by default.
        training_set: already loaded data; loaded from the experiment by default.
        ranks: the processes that train together, each with a trainer of its own; None trains alone.

    Raises:
        MemosweepError: the data or the network cannot serve the experiment, `evaluation.fid` has no InceptionV3,
            or `evaluation.neighbors` no faiss.
    """

    def __init__(
        self,
        experiment: Experiment,
        device: torch.device | str | None = None,
        training_set: TrainingSet | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.experiment, self._ranks = experiment, ranks
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if self.device.type == "cpu":
            keep_freed_memory()
        # One tensor on the training device: images that fit need no loader processes.
        self.data = (training_set or load_training_set(experiment.data)).to(self.device)
        # Before anything is trained: a missing InceptionV3 or faiss shows at once, not at the first evaluation.
        neighbor_search(experiment.evaluation.neighbors)
        leads = ranks is None or ranks.rank == 0
        self._fid = FrechetDistance(self.data.images) if experiment.evaluation.fid and leads else None
        self._learner = self._build_learner()
        self._companions: list[Trainer] = []
        """Trainings that this one takes the steps of (`memo_core.training.companion`)."""
        self._divergence = DivergenceCheck(self.state, self._learner.values_per_image)
        self.images_seen = 0
        self._seconds = 0.0
        self._record = TrainingRecord()
        self._best_arrays: dict[str, Any] | None = None
        self._is_between_steps = True
        self._stream = IndexStream(len(self.data), experiment.seed, experiment.training.order, self.device)
        self._noise = named_generator(experiment.seed, "noise", device=self.device)
        self._dropout_state = self._initial_dropout_state()

    def _build_learner(self) -> Learner:
        return build_learner(self.experiment, self.data, self.device, self._ranks)

    @property
    def state(self) -> TrainedParameters:
        """What the optimizer changes; a `TrainingState` where a network is trained from noise."""
        return self._learner.state

    @property
    def mode(self) -> StepMode | None:
        """How steps compute; None before `training.precision = auto` is decided."""
        return self._learner.mode

    @property
    def rows(self) -> list[Row]:
        """The metrics of every evaluation so far, as `Evaluation.metrics`."""
        return self._record.rows

    @property
    def history(self) -> list[tuple[int, float, int]]:
        """(images seen, ratio, samples) of each evaluation so far."""
        return self._record.history

    @property
    def best_memorization_ratio(self) -> float:
        """The highest ratio so far, 0 before the first evaluation."""
        return self._record.best_ratio

    @property
    def best_arrays(self) -> dict[str, Any] | None:
        """The samples of the evaluation with the highest ratio so far (`Evaluation.arrays`)."""
        return self._best_arrays

    @property
    def is_between_steps(self) -> bool:
        """Whether `state_dict` is a valid checkpoint: always but while steps are taken, and after an error in them."""
        return self._is_between_steps

    def evaluations(
        self,
        on_progress: Progress | None = None,
        next_batch: NextBatch | None = None,
        save_due: Callable[[], bool] | None = None,
        save: Callable[[], None] | None = None,
    ) -> Iterator[Evaluation]:
        """Train, and yield each evaluation as it is reached; between two, `state_dict` is a valid checkpoint.

        Args:
            on_progress: called after each step with the number of images seen so far.
            next_batch: sequential sampling of all evaluations but the last (see `evaluate`), whose number is reported.
            save_due: called after each step; where it is true, `save` is called before the next one.
            save: writes a checkpoint, for example; `state_dict` is valid while it runs. Its time does not count as
                training. The numbers are the same whenever it is called.

        Raises:
            DivergedError: a loss, a parameter or a sample is NaN or infinite; the trainer is of no more use.
            MemoryExhaustedError: the device's memory does not suffice; likewise.
        """
        # The last evaluation too would be an adaptive one within a longer budget.
        self._record.has_adaptive_samples |= next_batch is not None
        for point in self.experiment.evaluation_points:
            if self._is_past(point):
                continue
            while self.images_seen < point:
                if self._take_steps(point, on_progress, save_due) and save is not None:
                    save()
            # A checkpoint may have been saved just before an evaluation, and a batch may pass several points at once.
            last = self.images_seen >= self.experiment.evaluation_points[-1]
            yield self._evaluate(None if last else next_batch)

    def follow(self) -> None:
        """Train beside rank 0 to the end of the budget, and help it to evaluate; for the other ranks.

        Raises:
            DivergedError: as rank 0 finds at the same step.
            MemoryExhaustedError: the device's memory does not suffice.
        """
        assert self._ranks is not None
        assert isinstance(self._learner, DenoiserLearner)
        for point in self.experiment.evaluation_points:
            if self._is_past(point):
                continue
            while self.images_seen < point:
                self._take_steps(point, None, None)
            with memory_errors("in an evaluation", "lower evaluation.batch_size, or take a device with more memory"):
                help_to_generate(self._ranks, self._learner.sampled())
            self._record.tallies.append(Tally(self.images_seen))

    def decide_mode(self) -> str | None:
        """Decide how steps compute where `training.precision = auto` leaves it open; `evaluations` does so by itself.

        Returns:
            A line for the user; None where nothing was open.

        Raises:
            MemoryExhaustedError: the device's memory does not suffice for a step.
        """
        if self._learner.mode is not None:
            return None
        from memo_core.training.precision import fastest_mode  # noqa: PLC0415 - it builds learners itself

        with memory_errors("in training", self._learner.memory_advice):
            mode, note = fastest_mode(
                self.experiment, self.data, self.device, 1 if self._ranks is None else self._ranks.size
            )
        for trainer in (self, *self._companions):
            trainer._learner.use(mode)
        return note

    def share_state(self) -> None:
        """Give the state of rank 0, which may come from a checkpoint, to all ranks; each calls it once at the start."""
        assert self._ranks is not None
        if self._ranks.rank == 0:
            self.decide_mode()
        content = self._ranks.share(self.state_dict() if self._ranks.rank == 0 else None)
        if self._ranks.rank:
            self.load_state_dict(content)

    def _is_past(self, point: int) -> bool:
        """Whether a point was evaluated, or lies before the batch whose end is evaluated next."""
        return point <= max(self._record.last.images_seen, self.images_seen - self.experiment.images_per_step)

    def _take_steps(self, point: int, on_progress: Progress | None, save_due: Callable[[], bool] | None) -> bool:
        """Train to the first batch border at or after `point` images, or until a save is due; returns whether it is."""
        self.decide_mode()
        mode = self._learner.mode
        assert mode is not None
        start, is_due = time.perf_counter(), False
        self._begin_steps()
        with (
            self._own_dropout_stream(),
            gpu_arithmetic(mode.precision, self.device),
            memory_errors("in training", self._learner.memory_advice),
        ):
            while self.images_seen < point and not is_due:
                self._step()
                if on_progress is not None:
                    on_progress(self.images_seen)
                is_due = save_due is not None and save_due()
        self._divergence.look()
        self._end_steps(time.perf_counter() - start)
        return is_due

    def _begin_steps(self) -> None:
        self._is_between_steps = False
        for companion in self._companions:
            companion._begin_steps()

    def _step(self) -> None:
        indices = self._stream.batch(self.images_seen, self.experiment.images_per_step)
        self._seed_dropout_of_rank()
        loss, learning_rate = self._learner.step(indices, self.images_seen, self._noise)
        self._after_step(len(indices), learning_rate, loss)

    def _after_step(self, count: int, learning_rate: float, loss: Tensor) -> None:
        self.images_seen += count
        self._divergence.after_step(self.images_seen, learning_rate, loss)
        for companion in self._companions:
            companion._after_step(count, learning_rate, loss)

    def _end_steps(self, seconds: float) -> None:
        self._divergence.look()
        self._seconds += seconds
        self._is_between_steps = True
        for companion in self._companions:
            companion._end_steps(seconds)

    def _evaluate(self, next_batch: NextBatch | None) -> Evaluation:
        try:
            with memory_errors("in an evaluation", "lower evaluation.batch_size, or take a device with more memory"):
                memorization, generated = evaluate(
                    self._learner.sampler(), self.data.images, self.experiment, next_batch=next_batch, fid=self._fid
                )
        except NotFiniteError:
            # Parameters can be finite and yet too large to sample with.
            raise SamplesNotFiniteError(
                "its samples are not finite",
                self.images_seen,
                self._divergence.learning_rate,
                self._divergence.last_loss,
            ) from None
        if self._ranks is not None:
            end_evaluation(self._ranks)
        if self.device.type == "cpu":
            # Samples are drawn in larger batches than steps are taken with.
            return_freed_memory()
        record = self._record
        tally = Tally(self.images_seen, self._divergence.loss_sum, self._seconds)
        means = tally.since(record.last, self.experiment.images_per_step, self._learner.values_per_image)
        # Of evaluations with the same ratio, such as 0 or 1, the latest shows what the training came to.
        is_best = self._best_arrays is None or memorization.ratio >= record.best_ratio
        nearest = nearest_images(memorization, self.data.images, len(generated))
        evaluation = Evaluation(
            metrics={
                "epoch": self.images_seen / len(self.data),
                "images_seen": self.images_seen,
                "loss": means["loss"],
                **memorization.summary(),
                "best_memorization_ratio": max(record.best_ratio, memorization.ratio),
                "images_per_second": means["images_per_second"],
                **({} if self._fid is None else {"fid": self._fid.take()}),
            },
            memorization=memorization,
            generated=generated,
            nearest=nearest,
            conditions=self._learner.conditions(image_seeds(self.experiment.seed, memorization.num_samples)),
        )
        self._is_between_steps = False
        record.rows.append(dict(evaluation.metrics))
        record.tallies.append(tally)
        if is_best:
            self._best_arrays, record.best_images_seen = evaluation.arrays(), self.images_seen
        self._is_between_steps = True
        return evaluation

    # Dropout draws from the default generator: its state is the trainer's own, and is put back for other code.

    def _initial_dropout_state(self) -> Tensor:
        return torch.Generator(self.device).manual_seed(named_seed(self.experiment.seed, "dropout")).get_state()

    @contextlib.contextmanager
    def _own_dropout_stream(self) -> Iterator[None]:
        cuda = self.device.type == "cuda"
        with torch.random.fork_rng(devices=[self.device] if cuda else []):
            if cuda:
                torch.cuda.set_rng_state(self._dropout_state, self.device)
            else:
                torch.set_rng_state(self._dropout_state)
            yield
            self._dropout_state = torch.cuda.get_rng_state(self.device) if cuda else torch.get_rng_state()

    def _seed_dropout_of_rank(self) -> None:
        """Let a rank beside the first draw its own dropout, which follows from the position: no checkpoint holds it."""
        if self._ranks is None or self._ranks.rank == 0:
            return
        seed = named_seed(self.experiment.seed, "dropout", self._ranks.rank, self.images_seen)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on, from weights to generators, and its rows.

        Raises:
            DivergedError: a step that was not looked at yet left numbers that are not finite.
        """
        self._divergence.look()
        return {
            "experiment": self.experiment.to_flat(),
            **self._learner.state_dict(),
            "images_seen": self.images_seen,
            "seconds": self._seconds,
            "noise_generator": self._noise.get_state(),
            "dropout_generator": self._dropout_state,
            "divergence": self._divergence.state_dict(),
            "pixels_sha256": self.data.pixels_sha256,
            **self._record.state_dict(),
        }

    def load_state_dict(
        self, content: dict[str, Any], best_arrays: dict[str, Any] | None = None, as_at_once: bool = False
    ) -> None:
        """Continue from a checkpoint of the same training.

        Args:
            content: what `state_dict` returned; its budget and its evaluations may have been others.
            best_arrays: the samples of the best evaluation so far; without them, the next one counts as best.
            as_at_once: go on only where the rows will be those of an uninterrupted training of this experiment.
                Else rows that it would not have are kept, and evaluations that were passed are not made up for.

        Raises:
            OtherTrainingError: the checkpoint has other settings or other images; nothing was changed.
            NotContinuedError: the rows would be others; likewise.
        """
        check_same_training(self.experiment, self.data.pixels_sha256, content)
        if as_at_once and compiles_otherwise(self.experiment, content, self.data):
            raise NotContinuedError("its budget and the new one lie on two sides of where compiling its steps pays")
        record = TrainingRecord.from_state(content)
        if best_arrays is None:
            record.best_images_seen = 0
        if as_at_once:
            record = record.as_asked_for_at_once(self.experiment, content, self._learner.values_per_image)
        self._is_between_steps = False
        self._learner.load_state_dict(content)
        self.images_seen, self._seconds = content["images_seen"], float(content["seconds"])
        self._noise.set_state(content["noise_generator"].cpu())
        self._dropout_state = content["dropout_generator"].cpu()
        # A state that no generator takes is refused here, not at the next step.
        torch.Generator(self.device).set_state(self._dropout_state)
        self._divergence.load_state_dict(content["divergence"])
        self._record, self._best_arrays = record, best_arrays if record.best_images_seen else None
        self._is_between_steps = True
