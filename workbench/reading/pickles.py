"""Reads the plain data in a pickle without unpickling it: the opcodes are walked by a small reader of our own that can import and call nothing.

A pickle is a program for a stack machine, and loading one runs whatever it names. Here a name stays a name: what would have been a call
or an object becomes `{"$type": "module.name", …}` with its arguments or its state as data. Numbers, texts, lists and dictionaries come out as
they are. What the reader does not know, or what is too large or too deep, is `PickleError`, which says why in words fit to be shown.
"""

from __future__ import annotations

import base64
import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.model import Json

MAX_PICKLE_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 100
MAX_NODES = 200_000
MAX_INTEGER_BITS = 1024
LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
CONSTANTS: dict[str, Json] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
EMPTY: dict[str, type[list[Json]] | type[dict[Json, Json]]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list}
IGNORED = frozenset({"PROTO", "FRAME"})
DAMAGED = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError)


class PickleError(ValueError):
    """A pickle that is not read as data, and why."""


@dataclass(frozen=True)
class _Name:
    """Something a pickle would have imported. It is only a name."""

    text: str


@dataclass
class _Object:
    """Something a pickle would have made by calling."""

    name: str
    arguments: Json
    state: Json = None
    items: list[Json] = field(default_factory=list)


def plain_data(content: bytes) -> Json:
    """The data in a pickle as JSON; nothing is imported or called. PickleError for what is no pickle, unknown, too large or too deep."""
    if len(content) > MAX_PICKLE_BYTES:
        raise PickleError(f"a pickle of {len(content):,} bytes, more than {MAX_PICKLE_BYTES:,}")
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return _Plain().of(machine.pop(), 0)
            machine.take(opcode.name, argument)
    except PickleError:
        raise
    except DAMAGED as error:
        raise PickleError(f"a damaged pickle ({error})") from error
    raise PickleError("a pickle without an end")


class _Machine:
    """The stack, the marks on it, and the memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Json] = []
        self.marks: list[int] = []
        self.memo: dict[int, Json] = {}

    def take(self, name: str, argument: Json) -> None:
        """Follow one opcode."""
        if name in LITERALS:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name not in IGNORED:
            step = STEPS.get(name)
            if step is None:
                raise PickleError(f"a pickle with the instruction {name}, which plain data needs not")
            step(self, argument)

    def pop(self) -> Json:
        """The topmost value. It stands above the last mark, or the pickle is damaged."""
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise IndexError("a value is missing above a mark")
        return self.stack.pop()

    def above_mark(self) -> list[Json]:
        """What stands above the last mark, taken off with it."""
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def mark(self, _: Json) -> None:
        self.marks.append(len(self.stack))

    def put(self, key: Json) -> None:
        self.memo[len(self.memo) if key is None else int(key)] = self.stack[-1]

    def get(self, key: Json) -> None:
        self.stack.append(self.memo[int(key)])

    def duplicate(self, _: Json) -> None:
        self.stack.append(self.stack[-1])

    def make_tuple(self, size: int | None) -> None:
        taken = self.above_mark() if size is None else [self.pop() for _ in range(size)][::-1]
        self.stack.append(tuple(taken))

    def make_list(self, _: Json) -> None:
        self.stack.append(self.above_mark())

    def make_dict(self, _: Json) -> None:
        taken = self.above_mark()
        self.stack.append(dict(zip(map(_key, taken[::2]), taken[1::2], strict=True)))

    def append(self, values: list[Json]) -> None:
        target = self.stack[-1]
        (target.items if isinstance(target, _Object) else target).extend(values)

    def set_items(self, values: list[Json]) -> None:
        pairs = dict(zip(map(_key, values[::2]), values[1::2], strict=True))
        target = self.stack[-1]
        if isinstance(target, _Object):
            target.items.append(pairs)
        else:
            target.update(pairs)

    def name(self, argument: Json) -> None:
        if argument is None:
            attribute, module = self.pop(), self.pop()
        else:
            module, _, attribute = str(argument).partition(" ")
        self.stack.append(_Name(f"{module}.{attribute}"))

    def call(self, _: Json) -> None:
        arguments, called = self.pop(), self.pop()
        self.stack.append(_made(called, arguments))

    def call_with_keywords(self, _: Json) -> None:
        keywords, arguments, called = self.pop(), self.pop(), self.pop()
        self.stack.append(_made(called, arguments, keywords))

    def build(self, _: Json) -> None:
        state = self.pop()
        self.stack[-1].state = state


def _made(called: Json, arguments: Json, keywords: Json = None) -> _Object:
    """What a call would have made. What is called may itself be the result of a call."""
    return _Object(called.text, arguments, keywords) if isinstance(called, _Name) else _Object("(computed)", (called, arguments), keywords)


def _key(key: Json) -> str:
    return key if isinstance(key, str) else str(key) if isinstance(key, int | float | bytes) or key is None else type(key).__name__


def _pair(machine: _Machine) -> list[Json]:
    value, key = machine.pop(), machine.pop()
    return [key, value]


STEPS: dict[str, Callable[[_Machine, Json], object]] = {
    "MARK": _Machine.mark,
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.above_mark(),
    "DUP": _Machine.duplicate,
    "MEMOIZE": lambda machine, _: machine.put(None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "TUPLE": lambda machine, _: machine.make_tuple(None),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "LIST": _Machine.make_list,
    "FROZENSET": _Machine.make_list,
    "DICT": _Machine.make_dict,
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.above_mark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.above_mark()),
    "SETITEM": lambda machine, _: machine.set_items(_pair(machine)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.above_mark()),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_keywords,
    "BUILD": _Machine.build,
}


class _Plain:
    """Turns what the machine made into JSON, counting: shared parts are written out each time, so a small pickle may stand for a huge value."""

    def __init__(self) -> None:
        self.nodes = 0

    def of(self, value: Json, depth: int) -> Json:
        """A value as JSON."""
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise PickleError(f"more than {MAX_DEPTH} levels deep" if depth > MAX_DEPTH else f"more than {MAX_NODES:,} values in one")
        if isinstance(value, _Object):
            return self._object(value, depth)
        if isinstance(value, dict):
            return {key: self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item, depth + 1) for item in value]
        return _scalar(value)

    def _object(self, value: _Object, depth: int) -> Json:
        parts = {"args": value.arguments, "state": value.state, "items": value.items}
        return {"$type": value.name} | {key: self.of(part, depth + 1) for key, part in parts.items() if part not in (None, (), [])}


def _scalar(value: Json) -> Json:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bytes | bytearray):
        return {"$type": "bytes", "base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise PickleError(f"a number of {value.bit_length():,} bits, more than {MAX_INTEGER_BITS:,}")
    return {"$type": value.text} if isinstance(value, _Name) else value
