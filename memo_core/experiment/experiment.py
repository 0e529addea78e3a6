"""One experiment, described completely, and its dotted keys in a flat dictionary."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from memo_core.errors import MemosweepError, quoted
from memo_core.experiment.keys import (
    check_key_of,
    check_value_of,
    constraint_of,
    keys_of,
    nested,
    one_line,
    parse_value_of,
)
from memo_core.experiment.sections import (
    EMBEDDED_RESOLUTION,
    MAX_EVALUATIONS,
    MAX_IMAGES,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    Section,
    TrainingConfig,
)
from memo_core.experiment.text import TextConfig, check_pipeline_settings

FlatExperiment = dict[str, Any]
"""Dotted keys to JSON-ready values."""


class Experiment(Section):
    """Everything that a trial needs; equal experiments give equal results.

    `to_flat` and `from_flat` translate to and from dotted keys (`data.size`, `training.weight_decay`, ...),
    the form in which Ray Tune, `--set` and the result tables know an experiment.
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig
    evaluation: EvaluationConfig
    text: TextConfig = TextConfig()
    # A million image seeds belong to each, and generators take seeds below 2^64.
    seed: Annotated[int, Field(ge=0, le=10**12)] = 0
    """Seed of initialization, noise, order, dropout and sampling."""

    @model_validator(mode="after")
    def _kind_of_model_fits(self) -> Self:
        check_pipeline_settings(self)
        return self

    @model_validator(mode="after")
    def _resolution_fits(self) -> Self:
        if self.model.architecture == "pipeline":
            return self
        resolution = self.data.resolution or EMBEDDED_RESOLUTION.get(self.data.dataset)
        if resolution is not None:
            self.model.check_resolution(resolution)
        return self

    @model_validator(mode="after")
    def _evaluations_apart(self) -> Self:
        every = self.evaluation.every_epochs
        if every is not None and every * self.data.size < 1:
            raise ValueError(
                f"evaluation.every_epochs = {every}: less than one image of {self.data.size} (data.size), take more"
            )
        total = self.total_images
        apart = self.evaluation.every_images or (every or 0) * self.data.size
        if total > MAX_IMAGES:
            raise ValueError(
                f"training.epochs = {self.training.epochs:g}: more than {MAX_IMAGES:,} images seen at data.size = "
                f"{self.data.size}, take fewer"
            )
        if apart and total / apart > MAX_EVALUATIONS:
            key = "every_images" if self.evaluation.every_images else "every_epochs"
            raise ValueError(
                f"evaluation.{key} = {self.evaluation.every_images or every}: more than {MAX_EVALUATIONS:,} "
                f"evaluations of {total:,} images seen, take more"
            )
        return self

    @property
    def total_images(self) -> int:
        """The training budget in images seen, rounded up."""
        if self.training.images is not None:
            return self.training.images
        assert self.training.epochs is not None
        return math.ceil(self.training.epochs * self.data.size)

    @property
    def images_per_step(self) -> int:
        """The images of one step of the optimizer."""
        accumulated = self.text.accumulation_steps if self.model.architecture == "pipeline" else 1
        return self.training.batch_size * accumulated

    @property
    def evaluation_points(self) -> tuple[int, ...]:
        """Images seen at which the model is evaluated, ascending; the end of training is the last."""
        total = self.total_images
        if self.evaluation.count is not None:
            count = min(self.evaluation.count, total)
            return tuple(math.ceil(total * (index + 1) / count) for index in range(count))
        every = self.evaluation.every_images or float(self.evaluation.every_epochs or 0) * self.data.size
        inner = [math.ceil(every * index) for index in range(1, math.ceil(total / every))]
        return tuple(dict.fromkeys([*(point for point in inner if point < total), total]))

    def to_flat(self) -> FlatExperiment:
        """Return the settings by dotted key, JSON-ready (tuples become lists).

        With a pipeline those of the network are left out, which it brings; without one those of `text`.
        """
        flat: FlatExperiment = {}
        unread: Any = {"text"}
        if self.model.architecture == "pipeline":
            unread = {"model": set(ModelConfig.model_fields) - {"architecture"}}
        for key, value in self.model_dump(mode="json", exclude=unread).items():
            if isinstance(value, dict):
                flat.update({f"{key}.{name}": inner for name, inner in value.items()})
            else:
                flat[key] = value
        return flat

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any]) -> "Experiment":
        """Build and validate an experiment; absent keys take their defaults.

        Raises:
            MemosweepError: an unknown key, or a value that is not allowed; one line.
        """
        for key, value in flat.items():
            check_key(key)
            # Python's integers have no end, those of tensors and tables do.
            if isinstance(value, int) and abs(value) >= 2**63:
                raise MemosweepError(f"{key} = {quoted(value)}: expected a number below 2^63")
        try:
            return cls.model_validate(nested(flat))
        except ValidationError as error:
            raise MemosweepError(one_line(error, cls)) from None


def keys() -> dict[str, Any]:
    """Return all dotted experiment keys with their types."""
    return keys_of(Experiment)


def check_key(key: str) -> None:
    """Raise MemosweepError for a key that no experiment has, with the nearest one that exists."""
    check_key_of(Experiment, key)


def check_value(key: str, value: Any) -> None:
    """Raise MemosweepError for a value that its key takes in no experiment; rules between keys are not checked.

    Raises:
        MemosweepError: no such key, or a value that is not allowed; one line.
    """
    check_key(key)
    check_value_of(Experiment, key, value)


def parse_value(key: str, text: str) -> Any:
    """Read the value of a dotted key as written on a command line; `Experiment.from_flat` checks it.

    Raises:
        MemosweepError: no such key.
    """
    check_key(key)
    return parse_value_of(Experiment, key, text)


def field_constraint(key: str, name: Literal["type", "multiple_of"]) -> Any:
    """Return the plain type of an experiment key's values, or the number that they must be a multiple of."""
    return constraint_of(Experiment, key, name)
