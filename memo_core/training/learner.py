"""What trains and what samples: the part of a training that depends on the kind of model."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from memo_core.data.training_set import TrainingSet
from memo_core.errors import MemosweepError
from memo_core.evaluation import Array, Sampler, sampler_of
from memo_core.experiment import Experiment
from memo_core.model.denoiser import Denoiser, NetworkDenoiser, build_denoiser
from memo_core.sampling import compiled_if_it_pays, generate
from memo_core.training.steps.captured import Step, choose_step, is_full
from memo_core.training.steps.distributed import Ranks, shared_generate
from memo_core.training.steps.mode import StepMode
from memo_core.training.steps.schedules import ema_decay_at, learning_rate_at
from memo_core.training.steps.split import Split
from memo_core.training.steps.step import TrainedParameters, TrainingState, follow


@runtime_checkable
class Learner(Protocol):
    """A model in training. The trainer knows the data, the order of the images, the evaluations and the checkpoints."""

    @property
    def state(self) -> TrainedParameters:
        """The parameters, their average and the optimizer."""
        ...

    @property
    def mode(self) -> StepMode | None:
        """How its steps compute; None as long as `training.precision = auto` is undecided."""
        ...

    def use(self, mode: StepMode) -> None:
        """Compute in a mode from now on; before the first step alone."""
        ...

    @property
    def values_per_image(self) -> int:
        """What a loss is divided by to be reported per value."""
        ...

    @property
    def memory_advice(self) -> str:
        """What would be right where the memory of the device does not suffice for a step."""
        ...

    def step(self, indices: Int64[Tensor, " n"], images_seen: int, noise: torch.Generator) -> tuple[Tensor, float]:
        """Take one step of the optimizer.

        Args:
            indices: of the images in the training set, on the device.
            images_seen: before the step.
            noise: the generator on the device that all randomness of the step is drawn from, but for dropout's.

        Returns:
            The loss, detached, on the device; and the learning rate.
        """
        ...

    def sampler(self) -> Sampler:
        """Return what draws images of the averaged model."""
        ...

    def conditions(self, seeds: Sequence[int]) -> dict[str, Array]:
        """Return arrays that say what images of these seeds are drawn for; empty where that is nothing to read."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the entries of a checkpoint that describe the model, and hold its weights and its optimizer."""
        ...

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Continue from a checkpoint that holds these entries; in place."""
        ...


class DenoiserLearner:
    """A U-Net that is trained from noise, by denoising score matching.

    Args:
        experiment: with the settings of a network.
        data: on the device.
        device: where it is trained.
        ranks: the processes that train it together; None for this one alone.

    Raises:
        MemosweepError: the network cannot be built.
    """

    _sampled: Denoiser | None = None

    memory_advice = (
        "set training.micro_batch_size below the batch, lower model.width, or take a device with more memory"
    )

    def __init__(
        self, experiment: Experiment, data: TrainingSet, device: torch.device, ranks: Ranks | None = None
    ) -> None:
        self._experiment, self._data, self._device, self._ranks = experiment, data, device, ranks
        denoiser, ema = self._network(), self._network()
        self.state = TrainingState.create(denoiser.train(), ema, experiment.training.weight_decay)
        self.values_per_image = math.prod(data.image_shape)
        self.mode: StepMode | None = None
        precision = experiment.training.precision
        if precision != "auto":
            self.use(StepMode.of(precision, experiment, data, device))

    def use(self, mode: StepMode) -> None:
        """Compute in a mode from now on; see `Learner.use`."""
        self.mode = mode
        self.state.denoiser.precision = self.state.ema.precision = mode.precision
        self._sampled = None
        self._take_step = self._chosen_step(mode)

    def _chosen_step(self, mode: StepMode) -> Step:
        micro_batch_size, ranks = self._experiment.training.micro_batch_size, self._ranks
        rank, size = (0, 1) if ranks is None else (ranks.rank, ranks.size)
        split = None if ranks is None and micro_batch_size is None else Split(rank, size, micro_batch_size)
        add_up = None if ranks is None else ranks.add_up
        is_asked_for = self._experiment.training.compile != "auto"
        return choose_step(mode.compile, self._device, split, add_up, None if is_asked_for else self._go_on_uncompiled)

    def _go_on_uncompiled(self) -> None:
        """Remember that the compiler failed, for evaluations and checkpoints."""
        assert self.mode is not None
        self.mode, self._sampled = replace(self.mode, compile="none"), None

    def _network(self) -> NetworkDenoiser:
        channels, resolution, _ = self._data.image_shape
        return build_denoiser(
            self._experiment.model, resolution, channels, self._data.num_labels, self._experiment.seed, self._device
        )

    def step(self, indices: Int64[Tensor, " n"], images_seen: int, noise: torch.Generator) -> tuple[Tensor, float]:
        """Take one step of Adam; see `Learner.step`."""
        settings = self._experiment.training
        images: UInt8[Tensor, "n c h w"] = self._data.images[indices]
        labels = None if self._data.labels is None else self._data.labels[indices]
        # Whatever its own share, each rank draws what one process would for the whole batch.
        sigma = self.state.denoiser.preconditioning.draw_sigma(len(indices), noise)
        added = torch.randn(images.shape, generator=noise, device=self._device)
        epoch = images_seen / len(self._data)
        learning_rate = learning_rate_at(epoch, settings.learning_rate, settings.warmup_epochs)
        loss = self._take_step(
            self.state,
            images,
            labels,
            sigma,
            added,
            learning_rate,
            ema_decay_at(epoch, settings.ema_decay, settings.warmup_epochs),
        )
        return loss, learning_rate

    def sampler(self) -> Sampler:
        """Return what draws images of the averaged network."""
        draw = generate if self._ranks is None else shared_generate(self._ranks)
        return sampler_of(self.sampled(), self._experiment.evaluation, draw)

    def sampled(self) -> Denoiser:
        """Return the averaged network, compiled where the step is and where the evaluations are long enough."""
        if self._sampled is None:
            settings = self._experiment.evaluation
            passes = len(self._experiment.evaluation_points) * settings.num_samples * (2 * settings.steps - 1)
            is_compiled = self.mode is not None and is_full(self.mode.compile, self._device)
            self._sampled = compiled_if_it_pays(self.state.ema, passes) if is_compiled else self.state.ema
        return self._sampled

    def conditions(self, seeds: Sequence[int]) -> dict[str, Array]:
        """Return nothing: labels have no names."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return the sizes and the weights of the network, its average and Adam's moments."""
        channels, resolution, _ = self._data.image_shape
        return {
            "resolution": resolution,
            "channels": channels,
            "num_labels": self._data.num_labels,
            **({} if self.mode is None else {"step_mode": self.mode.to_dict()}),
            "model": self.state.denoiser.state_dict(),
            "ema": self.state.ema.state_dict(),
            "optimizer": self.state.optimizer.state_dict(),
        }

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Continue from there, in the mode that its training began in."""
        mode = StepMode.continued(content, self._experiment, self._data, self._device)
        self.state.denoiser.load_state_dict(content["model"])
        self.state.ema.load_state_dict(content["ema"])
        self.state.optimizer.load_state_dict(content["optimizer"])
        # A captured step writes to the moments that were there when it was captured.
        self.use(mode)


class AverageLearner(DenoiserLearner):
    """Another average of the network that a `DenoiserLearner` trains.

    Args:
        trained: takes the steps.
        experiment: differs from that of `trained` in what acts after a step alone.
    """

    def __init__(self, trained: DenoiserLearner, experiment: Experiment) -> None:
        self._experiment, self._data, self._device, self._ranks = experiment, trained._data, trained._device, None
        self.state = trained.state.with_average(self._network())
        self.values_per_image = trained.values_per_image
        self.mode = None
        if trained.mode is not None:
            self.use(trained.mode)

    def use(self, mode: StepMode) -> None:
        """Sample in a mode from now on."""
        self.mode = mode
        self.state.ema.precision = mode.precision
        self._sampled = None

    def step(self, indices: Int64[Tensor, " n"], images_seen: int, noise: torch.Generator) -> tuple[Tensor, float]:
        """Refuse to take a step of its own."""
        raise RuntimeError("the network is trained by another learner")

    def follow(self, images_seen: int) -> None:
        """Move the average after a step of the network that began at `images_seen`."""
        settings = self._experiment.training
        follow(self.state, ema_decay_at(images_seen / len(self._data), settings.ema_decay, settings.warmup_epochs))

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Continue from there: the network and its optimizer do by themselves."""
        self.state.ema.load_state_dict(content["ema"])


def build_learner(
    experiment: Experiment, data: TrainingSet, device: torch.device, ranks: Ranks | None = None
) -> Learner:
    """Return the model of an experiment, ready to train.

    Args:
        experiment: what to train.
        data: on the device.
        device: where.
        ranks: the processes that train it together; None for this one alone.

    Raises:
        MemosweepError: there is no such model, it does not fit the data, or one process alone can train it.
    """
    if experiment.model.architecture == "optimum":
        raise MemosweepError("model.architecture = 'optimum': the closed form is evaluated, not trained")
    if experiment.model.architecture == "pipeline":
        if ranks is not None:
            raise MemosweepError("model.architecture = 'pipeline': one GPU trains it, --gpus-per-trial 1 at most")
        from memo_core.text.learner import PipelineLearner  # noqa: PLC0415 - diffusers, which is an extra

        return PipelineLearner(experiment, data, device)
    return DenoiserLearner(experiment, data, device, ranks)
