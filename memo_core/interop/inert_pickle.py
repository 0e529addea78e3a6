"""Reads the data out of a pickle without running anything that it names.

A pickle is a program: it may look up any function of any module and call it. Here the opcodes are
interpreted one by one, and nothing is ever imported for a file. A name that is admitted (`admitted.py`)
stands for a function of ours or for an inert record; every other name, and every opcode that plain data does
not need, is refused.

Source: the opcode reference in Python's own `pickletools`.
"""

import io
import pickletools
from collections.abc import Callable
from typing import Any

from memo_core.errors import MemosweepError, as_name, first_line
from memo_core.interop.admitted import (
    CALLS,
    INERT_NAMES,
    Name,
    Record,
    Refusal,
    is_network_class,
    is_torch_module,
    original_name,
    plain_key,
    plain_set,
)

_MARK = object()


def load_inert(data: bytes, path: object) -> Any:
    """Read the data of a pickle: plain containers, numbers, text, tensors, and records of everything else.

    Args:
        data: the pickle, any protocol.
        path: of the file, for messages.

    Raises:
        MemosweepError: the pickle names something that is not admitted, or is damaged. Nothing was run.
    """
    try:
        return _Interpreter().run(data)
    except Refusal as refusal:
        raise MemosweepError(f"{path}: {refusal}; only tensors, plain containers and EDM networks are read") from None
    # A damaged stream may fail anywhere, with any error.
    except (ValueError, TypeError, LookupError, RuntimeError, OverflowError, EOFError, MemoryError) as error:
        raise MemosweepError(f"{path}: damaged or not a pickle ({type(error).__name__}: {first_line(error)})") from None


class _Interpreter:
    """The pickle machine's stack and memo; one method or table entry for each admitted opcode."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
            if opcode.name == "STOP":
                return self.pop()
            if opcode.name in _PUSHES_ARGUMENT:
                self.stack.append(argument)
            elif opcode.name in _CONSTANTS:
                self.stack.append(_CONSTANTS[opcode.name]())
            elif opcode.name in _ACTIONS:
                _ACTIONS[opcode.name](self, argument)
            elif opcode.name not in ("PROTO", "FRAME"):
                raise Refusal(f"holds the pickle instruction {opcode.name}")
        raise Refusal("ends early")

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise Refusal("takes more from its stack than is there")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            found = type(self.stack[-1]).__name__ if self.stack else "nothing"
            raise Refusal(f"adds items of a {kind.__name__} to {found}")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is _MARK:
                items = self.stack[position + 1 :]
                del self.stack[position:]
                return items
        raise Refusal("closes a group that it never opened")

    def pop_many(self, count: int) -> tuple[Any, ...]:
        return tuple(reversed([self.pop() for _ in range(count)]))

    def push_name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Refusal("looks up a name that is not text")
        found = original_name(Name(module, name))
        known = str(found) in CALLS or INERT_NAMES.fullmatch(str(found)) or _is_class(found)
        # A dot in the name would walk from one attribute to the next.
        if "." in name or not known:
            raise Refusal(f"refers to {as_name(str(found))}, which is not admitted")
        self.stack.append(found)

    def call(self) -> None:
        arguments, target = self.pop(), self.pop()
        if not isinstance(arguments, tuple):
            raise Refusal("calls something with arguments that are not a tuple")
        if not isinstance(target, Name):
            raise Refusal(f"calls a {type(target).__name__}")
        if str(target) in CALLS:
            self.stack.append(CALLS[str(target)](*arguments))
        elif _is_class(target):
            self.stack.append(Record(str(target), arguments))
        else:
            raise Refusal(f"calls {as_name(str(target))}")

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1] if self.stack else None
        if isinstance(target, Record):
            target.state = state
        # Attributes of a dictionary (PyTorch's `_metadata`) are of no use here.
        elif type(target) is not dict:
            raise Refusal(f"sets the state of a {type(target).__name__}")

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise Refusal("holds a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[plain_key(key)] = value

    def add_items(self, items: list[Any]) -> None:
        self.top(set).update(plain_set(items))

    def push_dict(self, items: list[Any]) -> None:
        self.stack.append({})
        self.set_items(items)

    def append_items(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def remember(self, key: int | None) -> None:
        if not self.stack:
            raise Refusal("remembers what is not there")
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]


def _is_class(name: Name) -> bool:
    return is_torch_module(name) or is_network_class(name)


_PUSHES_ARGUMENT = frozenset(
    (
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    )
)

_CONSTANTS: dict[str, Callable[[], Any]] = {
    "MARK": lambda: _MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}

_ACTIONS: dict[str, Callable[[_Interpreter, Any], Any]] = {
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(machine.pop_many(1)),
    "TUPLE2": lambda machine, _: machine.stack.append(machine.pop_many(2)),
    "TUPLE3": lambda machine, _: machine.stack.append(machine.pop_many(3)),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "DICT": lambda machine, _: machine.push_dict(machine.pop_to_mark()),
    "FROZENSET": lambda machine, _: machine.stack.append(frozenset(plain_set(machine.pop_to_mark()))),
    "APPEND": lambda machine, _: machine.append_items([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append_items(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.add_items(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(list(machine.pop_many(2))),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "PUT": lambda machine, key: machine.remember(key),
    "BINPUT": lambda machine, key: machine.remember(key),
    "LONG_BINPUT": lambda machine, key: machine.remember(key),
    "MEMOIZE": lambda machine, _: machine.remember(None),
    "GET": lambda machine, key: machine.stack.append(machine.memo[key]),
    "BINGET": lambda machine, key: machine.stack.append(machine.memo[key]),
    "LONG_BINGET": lambda machine, key: machine.stack.append(machine.memo[key]),
    "GLOBAL": lambda machine, names: machine.push_name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.push_name(*machine.pop_many(2)),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}
