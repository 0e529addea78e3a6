"""The training loop of one experiment: train to the next evaluation point, evaluate, yield, repeat."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from memo_core.data.training_set import TrainingSet, load_training_set
from memo_core.errors import DivergedError, MemosweepError, NotFiniteError
from memo_core.evaluation import Evaluation, NextBatch, evaluate, nearest_images
from memo_core.experiment import Experiment
from memo_core.measure.faiss_search import neighbor_search
from memo_core.measure.fid import FrechetDistance
from memo_core.model.denoiser import NetworkDenoiser, build_denoiser
from memo_core.model.precision import gpu_arithmetic
from memo_core.randomness import named_generator, named_seed
from memo_core.training.captured import choose_step
from memo_core.training.divergence import DivergenceCheck
from memo_core.training.schedules import ema_decay_at, learning_rate_at
from memo_core.training.step import TrainingState
from memo_core.training.stream import IndexStream

Progress = Callable[[int], None]


class Trainer:
    """Trains an experiment; its whole state fits a checkpoint, from which it goes on bit for bit.

    Args:
        experiment: what to train.
        device: where; a GPU when there is one, by default.
        training_set: already loaded data; loaded from the experiment by default.

    Raises:
        MemosweepError: the data or the network cannot serve the experiment, `evaluation.fid` has no InceptionV3,
            or `evaluation.neighbors` no faiss.
    """

    def __init__(
        self,
        experiment: Experiment,
        device: torch.device | str | None = None,
        training_set: TrainingSet | None = None,
    ) -> None:
        if experiment.model.architecture == "optimum":
            raise MemosweepError("model.architecture = 'optimum': the closed form is evaluated, not trained")
        self.experiment = experiment
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        # One tensor on the training device: images that fit need no loader processes.
        self.data = (training_set or load_training_set(experiment.data)).to(self.device)
        # Before anything is trained: a missing InceptionV3 or faiss shows at once, not at the first evaluation.
        neighbor_search(experiment.evaluation.neighbors)
        self._fid = FrechetDistance(self.data.images) if experiment.evaluation.fid else None
        denoiser, ema = self._network(), self._network()
        self.state = TrainingState.create(denoiser.train(), ema, experiment.training.weight_decay)
        self._take_step = choose_step(experiment.training.compile, self.device)
        self._divergence = DivergenceCheck(self.state, math.prod(self.data.image_shape))
        self.images_seen = 0
        self.history: list[tuple[int, float, int]] = []
        """(images seen, ratio, samples) of each evaluation so far."""
        self._best_arrays: dict[str, Any] | None = None
        self.best_memorization_ratio = 0.0
        self._stream = IndexStream(len(self.data), experiment.seed, experiment.training.order, self.device)
        self._noise = named_generator(experiment.seed, "noise", device=self.device)
        self._dropout_state = self._initial_dropout_state()

    def _network(self) -> NetworkDenoiser:
        channels, resolution, _ = self.data.image_shape
        return build_denoiser(
            self.experiment.model,
            resolution,
            channels,
            self.data.num_labels,
            self.experiment.seed,
            self.device,
            self.experiment.training.precision,
        )

    def evaluations(
        self, on_progress: Progress | None = None, next_batch: NextBatch | None = None
    ) -> Iterator[Evaluation]:
        """Train, and yield each evaluation as it is reached; between two, `state_dict` is a valid checkpoint.

        Args:
            on_progress: called after each step with the number of images seen so far.
            next_batch: sequential sampling of all evaluations but the last (see `evaluate`), whose number is reported.

        Raises:
            DivergedError: a loss, a parameter or a sample is NaN or infinite; the trainer is of no more use.
        """
        for point in self.experiment.evaluation_points:
            if point <= self.images_seen:
                continue
            start, seen = time.perf_counter(), self.images_seen
            loss = self._train_until(point, on_progress)
            rate = (self.images_seen - seen) / (time.perf_counter() - start)
            # A batch may pass several points at once.
            last = self.images_seen >= self.experiment.evaluation_points[-1]
            yield self._evaluate(loss, rate, None if last else next_batch)

    def _train_until(self, point: int, on_progress: Progress | None) -> float:
        """Train to the first batch border at or after `point` images; the mean loss per value on the way."""
        # float64: the sum of many finite losses may exceed float32.
        total, steps = torch.zeros((), dtype=torch.float64, device=self.device), 0
        with self._own_dropout_stream(), gpu_arithmetic(self.experiment.training.precision, self.device):
            while self.images_seen < point:
                total += self._step()
                steps += 1
                if on_progress is not None:
                    on_progress(self.images_seen)
        self._divergence.look()
        return float(total) / (steps * math.prod(self.data.image_shape))

    def _step(self) -> Tensor:
        settings = self.experiment.training
        indices = self._stream.batch(self.images_seen, settings.batch_size)
        images = self.data.images[indices]
        labels = None if self.data.labels is None else self.data.labels[indices]
        sigma = self.state.denoiser.preconditioning.draw_sigma(len(indices), self._noise)
        noise = torch.randn(images.shape, generator=self._noise, device=self.device)
        epoch = self.images_seen / len(self.data)
        learning_rate = learning_rate_at(epoch, settings.learning_rate, settings.warmup_epochs)
        loss = self._take_step(
            self.state,
            images,
            labels,
            sigma,
            noise,
            learning_rate,
            ema_decay_at(epoch, settings.ema_decay, settings.warmup_epochs),
        )
        self.images_seen += len(indices)
        self._divergence.after_step(self.images_seen, learning_rate, loss)
        return loss

    def _evaluate(self, loss: float, images_per_second: float, next_batch: NextBatch | None) -> Evaluation:
        try:
            memorization, generated = evaluate(
                self.state.ema, self.data.images, self.experiment, next_batch=next_batch, fid=self._fid
            )
        except NotFiniteError:
            # Parameters can be finite and yet too large to sample with.
            raise DivergedError(
                "its samples are not finite",
                self.images_seen,
                self._divergence.learning_rate,
                self._divergence.last_loss,
            ) from None
        self.history.append((self.images_seen, memorization.ratio, memorization.num_samples))
        improved = self._best_arrays is None or memorization.ratio > self.best_memorization_ratio
        self.best_memorization_ratio = max(self.best_memorization_ratio, memorization.ratio)
        evaluation = Evaluation(
            metrics={
                "epoch": self.images_seen / len(self.data),
                "images_seen": self.images_seen,
                "loss": loss,
                **memorization.summary(),
                "best_memorization_ratio": self.best_memorization_ratio,
                "images_per_second": images_per_second,
                **({} if self._fid is None else {"fid": self._fid.take()}),
            },
            memorization=memorization,
            generated=generated,
            nearest=nearest_images(memorization, self.data.images, len(generated)),
        )
        if improved:
            self._best_arrays = evaluation.arrays()
        return evaluation

    @property
    def best_arrays(self) -> dict[str, Any] | None:
        """The samples of the evaluation with the highest ratio so far (`Evaluation.arrays`)."""
        return self._best_arrays

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

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on: model, EMA, optimizer, position, generators."""
        channels, resolution, _ = self.data.image_shape
        return {
            "experiment": self.experiment.to_flat(),
            "resolution": resolution,
            "channels": channels,
            "num_labels": self.data.num_labels,
            "model": self.state.denoiser.state_dict(),
            "ema": self.state.ema.state_dict(),
            "optimizer": self.state.optimizer.state_dict(),
            "images_seen": self.images_seen,
            "noise_generator": self._noise.get_state(),
            "dropout_generator": self._dropout_state,
            "best_memorization_ratio": self.best_memorization_ratio,
            "history": self.history,
        }

    def load_state_dict(self, content: dict[str, Any], best_arrays: dict[str, Any] | None = None) -> None:
        """Continue from a checkpoint of the same experiment.

        Raises:
            MemosweepError: the checkpoint belongs to another experiment.
        """
        mine, theirs = self.experiment.to_flat(), content["experiment"]
        # A longer budget, or other evaluation points, continue the same training.
        free = ("training.epochs", "training.images", "evaluation.")
        for key in mine:
            if not key.startswith(free) and mine[key] != theirs.get(key):
                raise MemosweepError(f"the checkpoint was trained with {key} = {theirs.get(key)}, not {mine[key]}")
        self.state.denoiser.load_state_dict(content["model"])
        self.state.ema.load_state_dict(content["ema"])
        self.state.optimizer.load_state_dict(content["optimizer"])
        # A captured step writes to the moments that were there when it was captured.
        self._take_step = choose_step(self.experiment.training.compile, self.device)
        self.images_seen = content["images_seen"]
        self._noise.set_state(content["noise_generator"].cpu())
        self._dropout_state = content["dropout_generator"].cpu()
        # A state that no generator takes is refused here, not at the next step.
        torch.Generator(self.device).set_state(self._dropout_state)
        self.best_memorization_ratio = content["best_memorization_ratio"]
        self.history = [(int(seen), float(ratio), int(count)) for seen, ratio, count in content["history"]]
        self._best_arrays = best_arrays
