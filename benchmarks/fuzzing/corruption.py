"""Ways to damage bytes, trees of values and JSON text, each a function of a random generator."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator

_DEEP: Any = []
for _ in range(200):
    _DEEP = [_DEEP]

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, -0.0, 3.7, 1e-320, 1e308, -1e308, float("nan"), float("inf"), -float("inf"),
    2**31, 2**63, -(2**64), 10**30, 10**400,
    "", " ", "text", "0", "nan", "1e5", "a/b", "../..", "a\nb", "\x00", "\x1b[31m",
    "\ud800", "ä" * 300, "x" * 100_000, [], [[]], {}, [None], [1, "a", None], {"a": {"b": []}}, [0] * 1000, _DEEP,
)  # fmt: skip
"""Values of types and sizes that no field expects."""

_RAW_JSON = (
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 50_000 + "1" + "}" * 50_000,
    "1" + "0" * 5000,
    "-" + "9" * 400,
    "1e999",
    "1e-999",
    "NaN",
    "-Infinity",
    "0x10",
    "01",
    "'text'",
    "undefined",
    "",
    "{",
    "1 2",
    '"\\ud800"',
    '"\\',
)
"""JSON text, or what is nearly JSON, that Python's values cannot stand for."""


def choose(random: Random, choices: Any) -> Any:
    """Return one of a sequence; NumPy's own `choice` would make arrays of the values."""
    return choices[int(random.integers(len(choices)))]


def damage_bytes(content: bytes, random: Random) -> bytes:
    """Flip, cut, insert, blank, copy or move bytes, once or a few times."""
    for _ in range(int(choose(random, (1, 1, 1, 2, 4)))):
        content = choose(random, _BYTE_DAMAGE)(content, random)
    return content


def _span(content: bytes, random: Random) -> tuple[int, int]:
    start = int(random.integers(len(content) + 1))
    return start, min(len(content), start + int(choose(random, (1, 4, 16, 64, 512, 4096))))


def _flip(content: bytes, random: Random) -> bytes:
    damaged = bytearray(content)
    for position in random.integers(max(len(damaged), 1), size=int(random.integers(1, 9))):
        if damaged:
            damaged[position] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def _flip_early(content: bytes, random: Random) -> bytes:
    # Headers are at the start, and say what the rest means.
    return _flip(content[:256], random) + content[256:]


def _flip_late(content: bytes, random: Random) -> bytes:
    # Of zip archives and Parquet files they are at the end.
    return content[:-256] + _flip(content[-256:], random)


def _truncate(content: bytes, random: Random) -> bytes:
    return content[: int(random.integers(len(content) + 1))]


def _behead(content: bytes, random: Random) -> bytes:
    return content[int(random.integers(min(len(content), 64) + 1)) :]


def _insert(content: bytes, random: Random) -> bytes:
    start, _ = _span(content, random)
    return content[:start] + random.bytes(int(random.integers(1, 65))) + content[start:]


def _blank(content: bytes, random: Random) -> bytes:
    start, stop = _span(content, random)
    return content[:start] + bytes(stop - start) + content[stop:]


def _delete(content: bytes, random: Random) -> bytes:
    start, stop = _span(content, random)
    return content[:start] + content[stop:]


def _repeat(content: bytes, random: Random) -> bytes:
    start, stop = _span(content, random)
    return content[:stop] + content[start:stop] + content[stop:]


def _overwrite(content: bytes, random: Random) -> bytes:
    start, stop = _span(content, random)
    return content[:start] + random.bytes(stop - start) + content[stop:]


_BYTE_DAMAGE: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip, _flip, _flip_early, _flip_late, _truncate, _behead, _insert, _blank, _delete, _repeat, _overwrite,
)  # fmt: skip


def damage_tree(tree: Any, random: Random, odd: Callable[[Random], Any] | None = None) -> Any:
    """Return a copy of nested dictionaries and lists with one entry replaced, wrapped, lost, renamed or exchanged.

    Args:
        tree: what JSON or a checkpoint holds; other objects are leaves.
        random: the generator.
        odd: draws a replacement; None takes one of `ODD_VALUES`.
    """
    replacement = (odd or (lambda drawn: copy.deepcopy(choose(drawn, ODD_VALUES))))(random)
    tree = copy.deepcopy(tree)
    places = _places(tree)
    if not places or random.random() < 0.02:
        return replacement
    container, key = choose(random, places)
    action = choose(random, ("replace", "replace", "replace", "replace", "wrap", "lose", "rename", "exchange", "add"))
    if action == "replace":
        container[key] = replacement
    elif action == "wrap":
        container[key] = [container[key]]
    elif action == "lose":
        del container[key]
    elif action == "exchange":
        other, place = choose(random, places)
        container[key] = copy.deepcopy(other[place]) if other is not container or place != key else replacement
    elif isinstance(container, dict):
        container[f"{key}_" if action == "add" else "renamed"] = (
            container[key] if action == "add" else container.pop(key)
        )
    else:
        container.insert(key, replacement)
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """All entries below a tree's root: their container, and their key or index."""
    places: list[tuple[Any, Any]] = []
    pending = [tree]
    while pending:
        container = pending.pop()
        keys: Any = ()
        if isinstance(container, dict):
            keys = list(container)
        elif isinstance(container, list):
            keys = range(len(container))
        for key in keys:
            places.append((container, key))
            pending.append(container[key])
    return places


def damage_json(text: str, random: Random) -> str:
    """Return JSON text with an odd value, key or number in it; texts that hold JSON themselves are entered."""
    tree = json.loads(text)
    inner = [(container, key) for container, key in _places(tree) if _holds_json(container[key])]
    if inner and random.random() < 0.8:
        container, key = choose(random, inner)
        container[key] = damage_json(container[key], random)
        return json.dumps(tree)
    if random.random() < 0.25:
        # A mark that is no JSON is put in, then replaced by raw text.
        mark = "\ue000"
        damaged = json.dumps(damage_tree(tree, random, lambda _: mark), ensure_ascii=False)
        return damaged.replace(f'"{mark}"', choose(random, _RAW_JSON), 1)
    keys = [key for container, key in _places(tree) if isinstance(container, dict) and isinstance(key, str)]
    if keys and random.random() < 0.1:
        # The same key a second time.
        key = json.dumps(choose(random, keys))
        odd = json.dumps(choose(random, [value for value in ODD_VALUES if not isinstance(value, int) or value < 2**64]))
        return json.dumps(tree).replace(f"{key}:", f"{key}: {odd}, {key}:", 1)
    return json.dumps(damage_tree(tree, random))


def _holds_json(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("{")


def damage_json_lines(text: str, random: Random) -> str:
    """Return JSON lines with one of them damaged, lost, doubled or moved."""
    lines = text.splitlines()
    index = int(random.integers(len(lines)))
    action = choose(random, ("damage", "damage", "damage", "damage", "lose", "double", "reverse"))
    if action == "damage":
        lines[index] = damage_json(lines[index], random)
    elif action == "lose":
        del lines[index]
    elif action == "double":
        lines.insert(index, lines[index])
    else:
        lines.reverse()
    return "\n".join(lines) + "\n"
