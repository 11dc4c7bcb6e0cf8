"""What the graph injects into a tool, on its way to the process where approved calls are made: packed inside the sandbox, rebuilt outside of it.

Values cross as LangGraph writes them to a checkpoint, never pickled, and are decoded as strictly as everywhere here: of the user's own types those
alone that the graph's schema names. What can't cross is refused before anybody is asked to approve the call.
"""

from __future__ import annotations

import ast
import base64
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.tools.base import _get_runnable_config_param
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.prebuilt import ToolRuntime
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore, Op, Result

from workbench.model import Json
from workbench.replay.fence.overlay import decoding, serializer_of
from workbench.replay.protocol import Packed
from workbench.replay.recording.contexts import absent_in

INSTEAD = "put a result in its place (tool_result)"
ASKS_THE_GRAPH = {
    "interrupt": f"asks a person in its body (interrupt), which only the graph's own process can: {INSTEAD}",
    "get_store": f"reads the graph's store (get_store), which is held in the re-run's process: hand it what it needs as arguments, or {INSTEAD}",
    "get_runtime": f"takes the runtime (get_runtime), which is in the re-run's process: take `runtime: ToolRuntime`, or {INSTEAD}",
    "get_stream_writer": f"writes to the graph's stream (get_stream_writer), which is in the re-run's process: take `runtime: ToolRuntime`, or {INSTEAD}",
}
"""What a tool's own code may call that works only where the graph runs."""
HELD = {
    "store": "the graph's store",
    "tools": "the graph's tools",
    "server_info": "what the server says of itself",
    "execution_info": "what LangGraph says of the task",
}
"""The parts of a runtime that stay where the graph runs."""
INTERNAL = ("__pregel", "checkpoint")
CONFIG_PARTS = ("tags", "metadata", "recursion_limit", "run_name")


class CantCrossError(ValueError):
    """Something that a tool needs can't leave the process of the re-run. The message says what, and what to do."""


def names_of(tool: BaseTool) -> frozenset[str]:
    """The arguments of a tool that the graph fills in and the model never gives."""
    schema = tool.get_input_schema()
    fields_of = getattr(schema, "model_fields", None) or getattr(schema, "__fields__", {})
    every = dict.fromkeys([*fields_of, *tool._injected_args_keys])  # noqa: SLF001  # LangChain's own account of what the graph puts in
    return frozenset(every.keys() - tool._filter_injected_args(every).keys())  # noqa: SLF001  # the very filter that arguments go through


def config_name(tool: BaseTool) -> str | None:
    """The argument in which a tool's body takes the config."""
    return next((name for body in _bodies(tool) if (name := _get_runnable_config_param(body))), None)


def _bodies(tool: BaseTool) -> list[Callable[..., Any]]:
    own = [body for body in (getattr(tool, "func", None), getattr(tool, "coroutine", None)) if body is not None]
    return [inspect.unwrap(one) for one in own or [type(tool)._run, type(tool)._arun]]  # noqa: SLF001  # a class of tools has its body there


def named_in(tool: BaseTool) -> frozenset[str]:
    """The names that a tool's own code uses: a hint at what it reaches for, not a proof."""
    return frozenset(name for code in _codes(tool) for name in code.co_names)


def looked_up_in(tool: BaseTool) -> frozenset[str]:
    """The texts in a tool's own code by which it may look something up in what it is given (`state["balance"]`); a hint, as above.

    What stands there only as a key of a mapping that is made (`Command(update={"messages": …})`) looks nothing up, as far as the source can be read.
    """
    texts = ((text, made) for code in _codes(tool) for made in [_keys_made(code)] for text in code.co_consts if isinstance(text, str))
    return frozenset(text for text, made in texts if text.isidentifier() and text not in made)


def _keys_made(code: CodeType) -> frozenset[str]:
    """The texts that a piece of code only makes mappings with; none where its source can't be read."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    keys = {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    texts = [(node.value, id(node) in keys) for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return frozenset(text for text, key in texts if key) - {text for text, key in texts if not key}


def reads_context(tool: BaseTool) -> bool:
    """Whether a tool's own code looks at what the run was started with."""
    used = named_in(tool)
    return "context" in used and ("get_runtime" in used or bool(names_of(tool)))


def _codes(tool: BaseTool) -> Iterator[CodeType]:
    """A tool's own code: its bodies, what is defined in them, and the functions of its package that these name."""
    return (code for _, code in walked(_bodies(tool)))


def walked(bodies: Iterable[Callable[..., Any]]) -> Iterator[tuple[FunctionType, CodeType]]:
    """The code of functions, what is defined in them, and that of the functions of their package which they name, each with the function it stands in."""
    seen: set[CodeType] = set()
    left = [body for body in bodies if isinstance(body, FunctionType)]
    while left:
        body = left.pop()
        held = {**body.__globals__, **closed_over(body)}
        for code in _nested(body.__code__):
            if code not in seen:
                seen.add(code)
                yield body, code
                left += [one for name in (*code.co_names, *code.co_freevars) if isinstance(one := held.get(name), FunctionType) and _same_package(one, body)]


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _nested(inner)


def closed_over(body: FunctionType) -> dict[str, Any]:
    """What a function holds of those around it."""
    found = {}
    for name, cell in zip(body.__code__.co_freevars, body.__closure__ or (), strict=True):
        with suppress(ValueError):  # not set yet
            found[name] = cell.cell_contents
    return found


def _same_package(one: FunctionType, other: FunctionType) -> bool:
    return one.__module__.partition(".")[0] == other.__module__.partition(".")[0]


@dataclass(frozen=True)
class Crossing:
    """How the values of one graph cross. `has_context`: its runs are given a context, which no checkpoint holds."""

    serializer: JsonPlusSerializer
    has_context: bool = False

    @classmethod
    def of(cls, graph: Pregel[Any, Any, Any, Any]) -> Crossing:
        """The crossing of a graph: its serializer decodes what its schema names."""
        return cls(serializer_of(graph), getattr(graph, "context_schema", None) is not None)

    # ---- inside

    def pack(self, tool: BaseTool, given: Any, config: RunnableConfig) -> dict[str, Packed]:
        """What is injected into a call, by argument. `given` is all that the tool was called with. CantCrossError for what can't leave the process."""
        used = named_in(tool)
        if reached := next((says for name, says in ASKS_THE_GRAPH.items() if name in used), None):
            raise CantCrossError(f"it {reached}")
        injected = names_of(tool)
        found = {name: self._packed(name, value, used) for name, value in (given.items() if isinstance(given, dict) else ()) if name in injected}
        taken = config_name(tool)
        return found | ({taken: self._sealed("config", taken, _plain(config))} if taken else {})

    def _packed(self, name: str, value: Any, used: frozenset[str]) -> Packed:
        if isinstance(value, BaseStore):
            raise CantCrossError(f"its argument {name!r} is the graph's store, which is held in the re-run's process: {INSTEAD}")
        if not isinstance(value, ToolRuntime):
            return self._sealed("value", name, value)
        for part, what in HELD.items():
            if part in used and getattr(value, part, None):
                raise CantCrossError(f"its code uses {name}.{part}, and {what} can't leave the re-run's process: {INSTEAD}")
        lacks = absent_in(value.context) or ("what the run was started with was not recorded" if self.has_context and value.context is None else "")
        if "context" in used and lacks:
            raise CantCrossError(f"its code uses {name}.context, and {lacks}: {INSTEAD}")
        parts = {"state": value.state, "context": None if lacks else value.context, "tool_call_id": value.tool_call_id, "config": _plain(value.config)}
        return self._sealed("runtime", name, {**parts, "has_store": value.store is not None})

    def _sealed(self, kind: Literal["value", "runtime", "config"], name: str, value: Any) -> Packed:
        """A value that is certain to arrive as what it is."""
        if (stuck := self._stuck(value)) is not None:
            place, held = stuck
            raise CantCrossError(f"its argument {name!r} holds a {held}{f' at {place}' if place else ''}, which LangGraph can't write down: {INSTEAD}")
        data = self.serializer.dumps_typed([value])[1]  # in a list, since alone None and bytes are no msgpack
        with decoding() as lost:
            self.serializer.loads_typed(("msgpack", data))
        if lost:
            raise CantCrossError(f"its argument {name!r} holds {', '.join(lost)}, which the graph's schema does not name: name it there, or {INSTEAD}")
        return Packed(kind=kind, data=base64.b64encode(data).decode())

    def shown(self, value: Any) -> Json:
        """A value as it would be read from a checkpoint."""
        return Packed(kind="value", data=base64.b64encode(self.serializer.dumps_typed([value])[1]).decode()).shown()

    def strange(self, result: Any) -> str:
        """The type in a tool's result that can't cross, by its name."""
        stuck = self._stuck(getattr(result, "artifact", None) or result)
        return f"{stuck[1]}, which LangGraph can't write down" if stuck else f"{type(result).__name__}, which the graph's schema does not name"

    def _stuck(self, value: Any, place: str = "") -> tuple[str, str] | None:
        """Where in a value something stands that can't be written down, and its type; None where all can."""
        try:
            self.serializer.dumps_typed(value)
        except Exception:  # noqa: BLE001  # whatever a value's own code raises when it is read
            inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
            deeper = (self._stuck(one, f"{place}[{key!r}]") for key, one in inner)
            return next((found for found in deeper if found), (place, type(value).__name__))
        return None

    # ---- outside

    def unpack(self, tool: BaseTool, packed: Mapping[str, Packed]) -> tuple[dict[str, Any], RunnableConfig]:
        """The injected arguments and the config of a call. CantCrossError for an argument that the graph doesn't fill in, or a type that is not named."""
        known = names_of(tool)
        taken = config_name(tool)
        if strange := [name for name, one in packed.items() if name not in ({taken} if one.kind == "config" else known)]:
            raise CantCrossError(f"{', '.join(strange)} is nothing that the graph fills in for it")
        with decoding() as lost:
            values = {name: self._opened(one) for name, one in packed.items()}
        if lost:
            raise CantCrossError(f"it is given {', '.join(lost)}, which the graph's schema does not name")
        configs = [values.pop(name) for name, one in packed.items() if one.kind == "config"]
        return values, configs[0] if configs else {}

    def _opened(self, packed: Packed) -> Any:
        (value,) = self.serializer.loads_typed(("msgpack", base64.b64decode(packed.data)))
        return _runtime(value) if packed.kind == "runtime" else value

    # ---- on the way back

    def returned(self, result: Any) -> str | None:
        """What a tool returned, packed; None where it can't be written down or would not arrive as what it is."""
        try:
            data = self.serializer.dumps_typed([result])[1]
            with decoding() as lost:
                self.serializer.loads_typed(("msgpack", data))
        except Exception:  # noqa: BLE001  # as above
            return None
        return None if lost else base64.b64encode(data).decode()

    def received(self, data: str) -> Any:
        """What `returned` packed."""
        return self._opened(Packed(kind="value", data=data))


def _plain(config: RunnableConfig) -> dict[str, Any]:
    """A config without what belongs to the running graph: callbacks, and LangGraph's own entries."""
    configurable = {key: value for key, value in (config.get("configurable") or {}).items() if not key.startswith(INTERNAL)}
    return {part: config[part] for part in CONFIG_PARTS if part in config} | {"configurable": configurable}  # type: ignore[literal-required]  # the parts are its keys


def _runtime(parts: dict[str, Any]) -> ToolRuntime[Any, Any]:
    """A runtime as the tool's body takes it. What it streams is not heard; a store that stayed inside says so when it is used."""
    store = _Elsewhere() if parts.pop("has_store") else None
    return ToolRuntime(**parts, stream_writer=lambda _: None, store=store)


class _Elsewhere(BaseStore):
    """Stands for a store that stayed where the graph runs."""

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Says so."""
        raise CantCrossError("the graph's store is held in the re-run's process: a live call can't use it")

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Says so."""
        return self.batch(ops)
