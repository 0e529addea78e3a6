"""What Tune saved of a search: found in a run's folder, and validated before anything uses it."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, Json, ValidationError

from analysis.emm.search.trainings import Proposal, Training
from analysis.results.urls import join_url, open_location
from memo_core.errors import MemosweepError, first_line
from sweeps.engine.plans.search_settings import STRICT, Share, Size

PREFIX = "searcher-state-"

Count = Annotated[int, Field(ge=0, le=10**12)]
Samples = Annotated[int, Field(ge=1, le=10**12)]
Value = str | int | float | bool | None
State = TypeVar("State", bound=BaseModel)


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


class OptunaState(BaseModel):
    """The part of `OptunaExperimentSearch` that is its own; Optuna's follows in the same file, pickled."""

    model_config = STRICT

    left: Count
    inner_ids: dict[str, str]
    known: list[str]
    """Every experiment that was suggested, as JSON with sorted keys."""
    ended: str | None
    """Why no further trial is suggested although some are left."""


class ListState(BaseModel):
    """The state of `ListedTrials`."""

    model_config = STRICT

    next: Count


def parsed(model: type[State], content: bytes | str, where: str) -> State:
    """Return a saved state, validated.

    Raises:
        MemosweepError: it is damaged; one line.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"][:5]) or "the file"
        raise MemosweepError(f"{where}: the saved search is damaged ({place}: {first['msg'][:200]})") from None


def newest_file(run_path: str, prefix: str) -> bytes | None:
    """Return the newest file of a run's folder whose name starts so, as Tune names its states by time; None without.

    Raises:
        MemosweepError: the folder or the file cannot be read.
    """
    try:
        filesystem, path = open_location(run_path)
        # Not by a pattern, in which the brackets of a folder's name would have a meaning.
        names = [str(name).rstrip("/").rpartition("/")[2] for name in filesystem.ls(path, detail=False)]
        found = sorted(name for name in names if name.startswith(prefix))
        if not found:
            return None
        with filesystem.open(f"{path}/{found[-1]}", "rb") as file:
            content: bytes = file.read()
            return content
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ImportError) as error:
        raise MemosweepError(f"{join_url(run_path, prefix)}...: cannot be read ({first_line(error)})") from None


def saved_state(run_path: str) -> bytes | None:
    """Return the newest state that Tune saved of a run's searcher; None where there is none."""
    return newest_file(run_path, PREFIX)
