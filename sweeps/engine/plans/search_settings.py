"""What each search was asked for, as typed and checked models; stored in `sweep.json`."""

import math
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic's dependency; typing's own will do from Python 3.12 on
    Self,
)

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from memo_core.errors import MemosweepError
from memo_core.experiment import check_key, field_constraint

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
Share = Annotated[float, Field(gt=0, lt=1)]
Size = Annotated[int, Field(ge=2, le=100_000_000)]


class GridSettings(BaseModel):
    """A grid needs none: its trials say everything."""

    model_config = STRICT


class BisectSettings(BaseModel):
    """An EMM search of each variant."""

    model_config = STRICT

    labels: Annotated[list[str], Field(min_length=1)]
    """A name for each variant, in the order of the plan's trials."""
    min_size: Size
    max_size: Size
    target: Share
    """The ratio whose crossing is searched: 1 - zeta."""
    tolerance: Share
    """Relative half-width of the interval that ends the search of a variant."""
    seed_spread: Annotated[float, Field(gt=0, le=100)]
    """Standard deviation of the ratio's logit among training seeds."""
    early_success: bool
    sequential_sampling: bool

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_size > self.max_size:
            raise ValueError(f"min_size = {self.min_size} is above max_size = {self.max_size}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels: a label is there twice")
        return self


class Choices(TypedDict):
    """One of several values."""

    __pydantic_config__ = STRICT  # type: ignore[misc]

    choices: Annotated[list[Any], Field(min_length=1)]


class Range(TypedDict):
    """A number between two ends."""

    __pydantic_config__ = STRICT  # type: ignore[misc]

    low: int | float
    high: int | float
    log: bool
    integer: bool
    complement: NotRequired[bool]
    """1 - value is spaced so, not the value."""


Span = Choices | Range
SearchSpace = dict[str, Span]
"""A span for each dotted key."""


class OptunaSettings(BaseModel):
    """A search for the highest or the lowest ratio of one study."""

    model_config = STRICT

    space: Annotated[SearchSpace, Field(min_length=1)]
    figure: str
    """The study that is searched."""
    num_trials: Annotated[int, Field(ge=1)]
    direction: Literal["max", "min"]
    asha: bool

    @model_validator(mode="after")
    def _searchable(self) -> Self:
        for key, span in self.space.items():
            check_key(key)
            if "choices" not in span:
                _check_range(key, span)
        return self


def _check_range(key: str, span: Range) -> None:
    low, high = span["low"], span["high"]
    if field_constraint(key, "type") not in (int, float):
        raise MemosweepError(f"{key}: its values are not numbers, a range of them cannot be searched")
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise MemosweepError(f"{key}: expected finite ends, the lower one first")
    least = 1 - high if span.get("complement") else low
    if span["log"] and least <= 0:
        raise MemosweepError(f"{key}: a logarithmic range must lie above 0")
    if span["integer"] and not (float(low).is_integer() and float(high).is_integer()):
        raise MemosweepError(f"{key}: expected whole numbers as ends")


SearchSettings = GridSettings | BisectSettings | OptunaSettings
SETTINGS_OF: dict[str, type[SearchSettings]] = {
    "grid": GridSettings,
    "bisect": BisectSettings,
    "optuna": OptunaSettings,
}
