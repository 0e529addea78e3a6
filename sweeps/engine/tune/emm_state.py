"""What `EMMSearcher` saves, validated before anything uses it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, Json

from analysis.emm.search.trainings import Proposal, Training
from sweeps.engine.plans.plan import Share, Size
from sweeps.engine.plans.ranges import STRICT

Count = Annotated[int, Field(ge=0, le=10**12)]
Samples = Annotated[int, Field(ge=1, le=10**12)]
Value = str | int | float | bool | None


class SavedValue(BaseModel):
    """All that is known of one value of the factor."""

    model_config = STRICT

    value: Value
    trainings: list[Training]
    pending: list[Proposal]
    failures: dict[int, Count]
    closed: list[Count]


class SavedArguments(BaseModel):
    """What an EMM search was started with."""

    model_config = STRICT

    values: Annotated[list[Value], Field(min_length=1)]
    min_size: Size
    max_size: Size
    target: Share
    tolerance: Share
    num_samples: Samples
    seed: Count
    max_trainings_per_size: Annotated[int, Field(ge=1, le=1000)]
    max_failures: Annotated[int, Field(ge=1, le=1000)]
    max_pending_per_value: Annotated[int, Field(ge=1, le=1000)]


class SavedSearch(BaseModel):
    """`analysis.emm.search.search.Search` as JSON."""

    model_config = STRICT

    format: Literal[1]
    arguments: SavedArguments
    prior: dict[str, float]
    next_id: Count
    states: list[SavedValue]


class EMMState(BaseModel):
    """The state of `EMMSearcher`."""

    model_config = STRICT

    search: Json[SavedSearch]
    live: dict[str, Proposal]
