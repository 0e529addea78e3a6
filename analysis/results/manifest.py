"""`sweep.json`: what a sweep was asked for, validated whole before anything uses it."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from analysis.results.values import text

MANIFEST_FILE = "sweep.json"

Text = Annotated[str, AfterValidator(text)]
Amount = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class SearchSettings(_Part):
    """Of an EMM search or one with Optuna, what reading its results needs."""

    target: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The ratio that the EMM is defined by, 1 - zeta."""
    direction: Text | None = None


class Manifest(_Part):
    """A `sweep.json`; older ones lack entries, and all but these are left to `--resume`."""

    factor: Text | None = None
    key: Text | None = None
    title: Text | None = None
    scale: Text | None = None
    preset: Text | None = None
    moved: list[Text] = []
    trials: list[dict[str, Any]] = []
    resources: dict[Text, Amount] = {}
    max_failures: int | None = None
    search: Literal["grid", "bisect", "optuna"] = "grid"
    search_settings: SearchSettings = SearchSettings()
    command: list[Text] = []
    started: Text | None = None
    hardware: Text | None = None
    versions: dict[Text, Text] = {}
    git_commit: Text | None = None


def parse_manifest(content: bytes | OSError) -> tuple[dict[str, Any], list[str]]:
    """Read what a `sweep.json` says.

    Args:
        content: the file, or why it cannot be read.

    Returns:
        The entries that it has, without those that are not what they should be, and with the number of `planned`
        trials of a grid in place of the trials; and a line on what could not be read.
    """
    if isinstance(content, OSError):
        return {}, [f"{MANIFEST_FILE} cannot be read ({content})"]
    try:
        stored = json.loads(content)
    except (ValueError, RecursionError):
        return {}, [f"{MANIFEST_FILE} is cut short or not JSON, so what was run is not known"]
    if not isinstance(stored, dict):
        return {}, [f"{MANIFEST_FILE} holds no settings, so what was run is not known"]
    try:
        manifest, wrong = Manifest.model_validate(stored), []
    except ValidationError as error:
        wrong = list(dict.fromkeys(str(problem["loc"][0]) for problem in error.errors()))
        manifest = Manifest.model_validate({name: value for name, value in stored.items() if name not in wrong})
    said = manifest.model_dump(exclude={"trials"}, exclude_unset=True, exclude_none=True)
    # Of a search the trials are templates, one for each value of the factor.
    planned = {"planned": len(manifest.trials)} if manifest.trials and manifest.search == "grid" else {}
    are = "is" if len(wrong) == 1 else "are"
    problems = [f"{MANIFEST_FILE}: {', '.join(wrong)} {are} of the wrong type or out of range, and left out"]
    return {**said, **planned}, problems if wrong else []
