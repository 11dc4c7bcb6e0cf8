"""Tuples in the state, which LangGraph's checkpoints keep as lists: what is read from a recording is to be again what the nodes of the run saw.

Nothing that was recorded tells the two apart. What does is the type that the graph's schema names, and what the nodes whose code runs in the re-run
write to the same channel at the same place. Where neither says so, or they don't agree, a list stays one, as for a run that is resumed.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from langgraph.pregel import Pregel, _loop

from workbench.replay.fence.graphs import inner_graphs

Graph = Pregel[Any, Any, Any, Any]
HOOK = "apply_writes"
ANY_KEY = object()
DEEPEST = 16
"""How far inside of a value is looked."""
MARKS = (Annotated, Required, NotRequired)


@dataclass
class Shape:
    """Whether lists or tuples stand at one place of a channel's values, and what stands inside of them."""

    kinds: set[type] = field(default_factory=set)
    items: Shape | None = None
    keys: dict[Any, Shape] = field(default_factory=dict)

    def inside(self, key: Any = None) -> Shape:
        """The shape of the items, or of what stands under a key."""
        if key is not None:
            return self.keys.setdefault(key, Shape())
        self.items = self.items or Shape()
        return self.items

    def hint(self, hint: Any, within: tuple[Any, ...] = ()) -> Shape:
        """Learn what a type says; of a TypedDict that holds its like, only of the outermost."""
        origin, args = get_origin(hint) or hint, get_args(hint)
        if origin in MARKS:
            self.hint(args[0], within)
        elif origin in (Union, types.UnionType):
            for one in args:
                self.hint(one, within)
        elif origin in (list, tuple, Sequence):
            self.kinds |= {origin} - {Sequence}
            for one in args:
                self.inside().hint(one, within)
        elif is_typeddict(origin) and origin not in within:
            self.inside(ANY_KEY)
            for name, one in _hints(origin).items():
                self.inside(name).hint(one, (*within, origin))
        elif isinstance(origin, type) and issubclass(origin, Mapping) and args:
            self.inside(ANY_KEY).hint(args[-1], within)
        return self

    def learn(self, value: Any, depth: int = 0) -> None:
        """Learn what code made."""
        if depth > DEEPEST:
            return
        if type(value) in (list, tuple):
            self.kinds.add(type(value))
        for key, one in _parts(value):
            self.inside(key).learn(one, depth + 1)

    def given(self, value: Any) -> Any:
        """A value with tuples for lists wherever nothing else stands. The same value, where there are none."""
        if type(value) is dict and self.keys:
            other = self.keys.get(ANY_KEY) or merged(self.keys.values())
            made: Any = {key: self.keys.get(key, other).given(one) for key, one in value.items()}
            return made if any(made[key] is not one for key, one in value.items()) else value
        if type(value) not in (list, tuple):
            return value
        kind = tuple if self.kinds == {tuple} else type(value)
        made = value if self.items is None else [self.items.given(one) for one in value]
        changed = kind is not type(value) or any(one is not other for one, other in zip(made, value, strict=True))
        return kind(made) if changed else value

    def has_tuples(self) -> bool:
        """Whether a tuple stands anywhere."""
        return tuple in self.kinds or any(one.has_tuples() for one in (*self.keys.values(), *((self.items,) if self.items else ())))


NOTHING = Shape()


def merged(shapes: Iterable[Shape]) -> Shape:
    """What is known of any of several places."""
    every = list(shapes)
    items, keys = [one.items for one in every if one.items], {key for one in every for key in one.keys}
    under = {key: merged(one.keys[key] for one in every if key in one.keys) for key in keys}
    return Shape(set().union(*(one.kinds for one in every)), merged(items) if items else None, under)


def _hints(kind: type) -> dict[str, Any]:
    """The types of a TypedDict's fields; none where a name in them means nothing here."""
    try:
        return get_type_hints(kind)
    except (NameError, TypeError, AttributeError):
        return {}


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """What stands inside of a list, a tuple or a mapping and may itself hold something, with its key in a mapping."""
    every = value.items() if type(value) is dict else ((None, one) for one in value) if type(value) in (list, tuple) else ()
    return ((key, one) for key, one in every if type(one) in (list, tuple, dict))


@dataclass
class Tuples:
    """What is known of the channels of a graph and its subgraphs, by their names."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    """The tasks whose code runs here, by their ids."""
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, graph: Graph) -> Tuples:
        """What the schemas say."""
        found = cls()
        for one in (graph, *inner_graphs(graph).values()):
            for name, channel in one.channels.items():
                if _holds_state(name):
                    found.shapes.setdefault(name, Shape()).hint(getattr(channel, "ValueType", Any))
        return found

    def given(self, channel: str, value: Any) -> Any:
        """A recorded value of a channel, with its tuples."""
        shape = self.shapes.get(channel, NOTHING)
        return shape.given(value) if shape.has_tuples() else value

    def learn(self, writes: Iterable[tuple[str, Any]]) -> None:
        """Learn from what code wrote."""
        for name, value in writes:
            if _holds_state(name):
                self.shapes.setdefault(name, Shape()).learn(value)

    def fit(self, channels: Mapping[str, Any], tasks: Iterable[Any]) -> None:
        """Learn from what code wrote in a super-step, and let what stands in the channels and what is served beside it be alike."""
        wrote = [(name, value) for task in tasks if getattr(task, "id", None) in self.ran for name, value in task.writes if _holds_state(name)]
        self.learn(wrote)
        for task in tasks:
            if getattr(task, "id", None) not in self.ran and isinstance(task.writes, deque):
                writes = [(name, self._alike(name, value)) for name, value in task.writes]
                task.writes.clear()
                task.writes.extend(writes)
        for name in {name for name, _ in wrote} & channels.keys():
            if (held := getattr(channels[name], "value", None)) is not (made := self._alike(name, held)):
                channels[name].value = made

    def _alike(self, name: str, value: Any) -> Any:
        made = self.given(name, value)
        note = f"lists in {name} were taken for tuples, which the nodes that ran write there: checkpoints keep both as lists"
        if made is not value and note not in self.notes:
            self.notes.append(note)
        return made


def _holds_state(channel: str) -> bool:
    return not channel.startswith(("__", "branch:"))


_tuples: Tuples | None = None


def put_up(known: Tuples | None) -> None:
    """Let this be known from now on. LookupError when LangGraph no longer applies writes where it did."""
    global _tuples  # noqa: PLW0603  # process-global, as the fence is
    _tuples = known
    original = getattr(_loop, HOOK, None)
    if original is None:
        raise LookupError(f"langgraph has no {_loop.__name__}.{HOOK} any more")
    if not hasattr(original, "workbench"):
        wrapper = _fitting(original)
        wrapper.workbench = original  # type: ignore[attr-defined]
        setattr(_loop, HOOK, wrapper)


def _fitting(original: Callable[..., Any]) -> Callable[..., Any]:
    def apply_writes(checkpoint: Any, channels: Mapping[str, Any], tasks: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        tasks = list(tasks)
        if _tuples is not None:
            _tuples.fit(channels, tasks)
        return original(checkpoint, channels, tasks, *args, **kwargs)

    return apply_writes
