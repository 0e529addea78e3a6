"""Dotted keys of nested pydantic models: which there are, what they take, how a command line writes them."""

import json
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from memo_core.errors import MemosweepError, did_you_mean, quoted


def keys_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return all dotted keys of a model of models (`data.size`, `seed`), with their types."""
    flat: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        section = _as_model(field.annotation)
        if section is None:
            flat[name] = field.annotation
        else:
            flat.update({f"{name}.{key}": inner.annotation for key, inner in section.model_fields.items()})
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys as the nested dictionary that pydantic validates."""
    result: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, name = key.rpartition(".")
        (result.setdefault(section, {}) if section else result)[name] = value
    return result


def check_key_of(model: type[BaseModel], key: str) -> None:
    """Raise MemosweepError for a key that the model does not have, with the nearest one that it has."""
    known = keys_of(model)
    if key in known:
        return
    hint = did_you_mean(key, known, cutoff=0.5) or f"known keys: {', '.join(known)}"
    raise MemosweepError(f"unknown experiment key {key!r}: {hint}")


def check_value_of(model: type[BaseModel], key: str, value: Any) -> None:
    """Raise MemosweepError in one line for a value that the key's type and bounds do not admit."""
    field = _field_of(model, key)
    if isinstance(value, bool) and field.annotation is not bool:
        raise MemosweepError(f"{key} = {quoted(value)}: expected a number or a word, not true or false")
    kind: Any = Annotated[field.annotation, field]
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise MemosweepError(f"{key} = {quoted(value)}: {message[0].lower()}{message[1:]}") from None


def constraint_of(model: type[BaseModel], key: str, name: Literal["type", "multiple_of"]) -> Any:
    """Return the plain type of a key's values (int, float, ...), or the number that they must be a multiple of."""
    if name == "type":
        return next((kind for kind in _alternatives(keys_of(model)[key]) if kind is not types.NoneType), None)
    found = (getattr(entry, name, None) for entry in _field_of(model, key).metadata)
    return next((value for value in found if value is not None), None)


def parse_value_of(model: type[BaseModel], key: str, text: str) -> Any:
    """Read the value of a dotted key as written on a command line; it is validated later.

    `none` stands for an unset key, except where it is itself a choice (`data.labels=none`). Lists are JSON
    (`[1,0,1]`), or comma-separated.
    """
    options = list(_alternatives(keys_of(model)[key]))
    literals = [option for option in options if typing.get_origin(option) is Literal]
    choices = [choice for literal in literals for choice in typing.get_args(literal)]
    if text in choices:
        return text
    if text.lower() in ("none", "null") and types.NoneType in options:
        return None
    if str in options or choices:
        return text
    try:
        return json.loads(text)
    # No JSON; or brackets too deep, or digits too many, which no key takes.
    except (ValueError, RecursionError):
        return text


def one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first error of a validation: key, value, and what would be right."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:2])
    message = first["msg"].removeprefix("Value error, ")
    if key not in keys_of(model):
        key = key.partition(".")[0]
    if first["type"] == "value_error" and key not in keys_of(model):
        # A rule between several settings names them itself.
        return message
    return f"{key} = {quoted(first['input'])}: {message[0].lower()}{message[1:]}"


def _field_of(model: type[BaseModel], key: str) -> FieldInfo:
    section, _, name = key.rpartition(".")
    owner = _as_model(model.model_fields[section].annotation) if section else model
    assert owner is not None
    return owner.model_fields[name]


def _as_model(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _alternatives(kind: Any) -> Iterable[Any]:
    if typing.get_origin(kind) is Annotated:
        yield from _alternatives(typing.get_args(kind)[0])
    elif typing.get_origin(kind) in (typing.Union, types.UnionType):
        for option in typing.get_args(kind):
            yield from _alternatives(option)
    else:
        yield kind
