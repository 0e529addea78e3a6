"""`sweep.json`: what a sweep was asked for, validated whole before anything uses it."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from analysis.results.values import text

MANIFEST_FILE = "sweep.json"

Text = Annotated[str, AfterValidator(text)]
Amount = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _Part(BaseModel):
    """A part of the file; an entry that is wrong is left out, and named in the list that is the context."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    @field_validator("*", mode="wrap")
    @classmethod
    def _or_left_out(cls, value: Any, handler: Any, info: ValidationInfo) -> Any:
        try:
            return handler(value)
        except ValueError:
            name = info.field_name or ""
            info.context.append(name)  # type: ignore[union-attr]
            return cls.model_fields[name].get_default(call_default_factory=True)


class _Factor(_Part):
    name: Text | None = None
    key: Text | None = None
    title: Text | None = None
    scale: Literal["linear", "log", "category"] | None = None
    dependent: list[Text] = []


class _Search(_Part):
    kind: Literal["grid", "bisect", "optuna"] | None = None
    zeta: Annotated[float, Field(gt=0, lt=1)] | None = None
    direction: Text | None = None


class _Plan(_Part):
    factor: _Factor = _Factor()
    preset: Text | None = None
    trials: list[dict[str, Any]] = []
    search: _Search = _Search()


class _Manifest(_Part):
    """What reading results needs of a `sweep.json`; the rest is left to `--resume`."""

    plan: _Plan = _Plan()
    resources: dict[Text, Amount] = {}
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
        The entries that it has, without those that are not what they should be: `factor`, `key`, `title`, `scale`,
        `dependent`, `preset`, `search` (its kind), `zeta` (of an EMM search), `direction` (of Optuna's), `planned`
        (the number of trials of a grid), `resources`, `command`, `started`, `hardware`, `versions`, `git_commit`; and a
        line on what could not be read.
    """
    if isinstance(content, OSError):
        return {}, [f"{MANIFEST_FILE} cannot be read ({content})"]
    try:
        stored = json.loads(content)
    except (ValueError, RecursionError):
        return {}, [f"{MANIFEST_FILE} is cut short or not JSON, so what was run is not known"]
    if not isinstance(stored, dict):
        return {}, [f"{MANIFEST_FILE} holds no settings, so what was run is not known"]
    wrong: list[str] = []
    manifest = _Manifest.model_validate(stored, context=wrong)
    plan, factor, search = manifest.plan, manifest.plan.factor, manifest.plan.search
    entries = {
        "factor": factor.name,
        **factor.model_dump(exclude={"name"}),
        "preset": plan.preset,
        "search": search.kind,
        "zeta": search.zeta,
        "direction": search.direction,
        # Of a search the trials are templates, one for each value of the factor.
        "planned": len(plan.trials) if search.kind in (None, "grid") else None,
        **manifest.model_dump(exclude={"plan"}),
    }
    named = ", ".join(dict.fromkeys(wrong))
    are = "is" if len(set(wrong)) == 1 else "are"
    problems = [f"{MANIFEST_FILE}: {named} {are} of the wrong type or out of range, and left out"] if wrong else []
    return {name: value for name, value in entries.items() if value not in (None, 0, [], {})}, problems
