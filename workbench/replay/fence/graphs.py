"""Loads the user's graph by the name the user gave it, and checks that it is the graph of the recording."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from enum import Enum
from functools import cache
from inspect import signature
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.graph.state import CompiledStateGraph, StateGraph
from langgraph.pregel import Pregel
from pydantic import BaseModel

from workbench.replay.protocol import Start
from workbench.replay.recording.configs import configured

HOOKS_DEEP = 4
"""How many functions deep the methods that a node was made around are looked for."""
REFUSED_LATER = ("awrap_model_call", "awrap_tool_call")
"""The methods of LangChain's middleware that refuse in an event loop where their class only says how it is done directly."""
_packages: set[str] = set()
"""The packages that graphs were loaded from, in this process."""
_by_config: set[str] = set()
"""The graphs that were made by the config of a start."""


class GraphError(ValueError):
    """A graph that can't be loaded or doesn't fit. The message says what would be right."""


def load(name: str, start: Start) -> Pregel[Any, Any, Any, Any]:
    """The compiled graph `module:attribute` or `path/to/file.py:attribute`: the graph itself, or what a function returns.

    One that takes a config is given that of this start, as LangGraph's platform does.
    """
    place, colon, attribute = name.rpartition(":")
    if not colon or not place or not attribute:
        raise GraphError(f"{name!r} names no graph: it should be module:attribute or path/to/file.py:attribute")
    module = _module(place)
    found = getattr(module, attribute, None)
    if found is None:
        near = _graphs_near(module, attribute)
        raise GraphError(f"{place} has no {attribute}" + (f"; it has {', '.join(near)}" if near else ""))
    if not isinstance(found, Pregel) and callable(found):
        arguments = [configured(start, (), _refuse)] if _takes_config(found) else []
        _by_config.update([name] if arguments else [])
        try:
            found = found(*arguments)
        except GraphError:
            raise
        except (Exception, SystemExit) as error:
            given = "with the start's config" if arguments else "without arguments"
            raise GraphError(f"{name} was called {given} to make the graph, and raised {type(error).__name__}: {error}") from error
    if not isinstance(found, Pregel):
        hint = (
            ": call its .compile()"
            if hasattr(found, "compile")
            else "; it should be a compiled LangGraph graph, or a function that returns one, of no arguments or of the config"
        )
        raise GraphError(f"{name} is of the type {type(found).__name__}{hint}")
    return found


def _takes_config(factory: Callable[..., Any]) -> bool:
    """Whether what makes a graph has to be given the config of a start, by the argument's name or type."""
    try:
        given = [one for one in signature(factory).parameters.values() if one.default is one.empty]
    except (TypeError, ValueError):
        return False
    return len(given) == 1 and (given[0].name == "config" or "RunnableConfig" in str(given[0].annotation))


def _refuse(why: str) -> None:
    raise GraphError(f"{why}; the graph can't be made without it")


def others_made(name: str, starts: Sequence[Start]) -> Iterator[str]:
    """What there is to say of a graph that was made by the config of the first of these starts, where others had another."""
    others = sum(one != starts[0] for one in starts)
    if name in _by_config and others:
        yield f"{name} made the graph for the config of the first start that is done again; {others} of those after it had another, and run the same graph"


def _graphs_near(module: ModuleType, attribute: str) -> list[str]:
    """The graphs of a module, compiled or not, the nearest first, then its own functions of a like name, for one may make a graph."""
    held = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    graphs = [name for name, value in held.items() if isinstance(value, Pregel | StateGraph)]
    own = [name for name, value in held.items() if isinstance(value, FunctionType) and value.__module__ == module.__name__]
    return [*get_close_matches(attribute, graphs, n=3, cutoff=0.0), *get_close_matches(attribute, own, n=1)]


def _module(place: str) -> ModuleType:
    _packages.add(Path(place).stem if place.endswith(".py") else place.partition(".")[0])
    try:
        return _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise GraphError(f"{place} can't be imported: {error}; it is looked for as in the process that asked for the fork{_beside(place)}") from error
    except (Exception, SystemExit) as error:
        raise GraphError(f"{place} can't be imported: {type(error).__name__}: {error}") from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise GraphError(f"there is no file {path}{_beside(str(path))}")
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise GraphError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _beside(place: str) -> str:
    """The nearest names among what stands in the same folder."""
    path = Path(place if place.endswith(".py") else place.replace(".", "/"))
    names = [one.name if place.endswith(".py") else one.stem for one in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, names, n=3)
    return f"; near it is {', '.join(near)}" if near else ""


def check(graph: Pregel[Any, Any, Any, Any], recorded: Collection[str], name: str) -> None:
    """GraphError when the recording ran nodes that this graph does not have. A functional graph's tasks have no nodes to check."""
    if not isinstance(graph, CompiledStateGraph):
        return
    nodes = set(graph.nodes) - {"__start__"}
    if missing := set(recorded) - nodes:
        other = nodes - set(recorded)
        more = f"; {name} has {', '.join(sorted(other))}, which the recording doesn't name" if other else ""
        raise GraphError(f"{name} is not the graph of this recording: it has no node {', '.join(sorted(missing))}{more}")


def check_channels(graph: Pregel[Any, Any, Any, Any], needed: Mapping[str, Collection[str]], name: str) -> None:
    """GraphError when the state of the recording holds channels that this graph's, or a subgraph's, lacks: their values would be dropped without a word.

    `needed` are the recorded channels by the path of the graph; a subgraph that a node's code calls can't be seen and is not checked.
    """
    graphs = {"": graph, **inner_graphs(graph)}
    for path, channels in needed.items():
        here = graphs.get(path)
        if isinstance(here, CompiledStateGraph):
            _check_channels(here, channels, f"{name}'s subgraph {path}" if path else name)


def _check_channels(graph: CompiledStateGraph[Any, Any, Any, Any], needed: Collection[str], name: str) -> None:
    mine = {one for one in graph.channels if _is_data(one)}
    if missing := {one for one in needed if _is_data(one)} - mine - set(graph.nodes):  # older versions had a channel for each node
        other = sorted(mine - set(needed))
        more = f"; it has {', '.join(other)}, which the recording doesn't hold" if other else ""
        raise GraphError(f"{name} is not the graph of this recording: its state has no channel {', '.join(sorted(missing))}, which the recording holds{more}")


def _is_data(channel: str) -> bool:
    """Whether a channel is of the user's schema: LangGraph's own begin otherwise."""
    return not channel.startswith(("__", "branch:", "start:"))


def sources() -> Iterator[str]:
    """The source of the modules of the graph's own package, and of those beside or below it."""
    loaded = [(name, Path(file)) for name, module in list(sys.modules.items()) if isinstance(file := getattr(module, "__file__", None), str)]
    around = {file.resolve().parent for name, file in loaded if name.partition(".")[0] in _packages}
    for name, file in loaded:
        if name.partition(".")[0] in _packages or around & {*file.resolve().parents}:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                yield file.read_text("utf-8")


def data_types() -> frozenset[tuple[str, str]]:
    """What the graph's own package defines as data: pydantic models, dataclasses and enums, by module and name. States hold them without a schema's word."""
    return _data_types(tuple(name for name in sorted(sys.modules) if name.partition(".")[0] in _packages))


@cache
def _data_types(names: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    loaded = [(name, sys.modules[name]) for name in names]
    return frozenset((name, kind.__name__) for name, module in loaded for kind in list(vars(module).values()) if _is_own_data(kind, name))


def _is_own_data(kind: object, module: str) -> bool:
    return isinstance(kind, type) and kind.__module__ == module and (issubclass(kind, BaseModel | Enum) or is_dataclass(kind))


def needs_loop(graph: Pregel[Any, Any, Any, Any], *, recorded: bool | None) -> bool:
    """Whether the graph is to run in an event loop: where its nodes can be run in one way alone, so; else as the recorded run did.

    Where that is not known (None), the tools tell: one that only runs asynchronously was given to an agent that does.
    """
    bounds = [node.bound for one in (graph, *inner_graphs(graph).values()) for node in one.nodes.values()]
    if any(map(_only_async, bounds)):
        return True
    if any(map(_only_sync, bounds)):
        return False
    tools = (tool for bound in bounds for tool in getattr(bound, "tools_by_name", {}).values())
    return any(map(only_async_tool, tools)) if recorded is None else recorded


def only_async_tool(tool: BaseTool) -> bool:
    """Whether a tool can only be called asynchronously: it has a coroutine alone, or a class of its own that says so."""
    if getattr(tool, "coroutine", None) is not None:
        return getattr(tool, "func", None) is None
    later = type(tool)._arun is not BaseTool._arun and not hasattr(tool, "coroutine")  # noqa: SLF001  # what a tool's class declares
    code = getattr(inspect.unwrap(type(tool)._run), "__code__", None)  # noqa: SLF001  # as above
    return later and NotImplementedError.__name__ in getattr(code, "co_names", ())


def inner_graphs(graph: Pregel[Any, Any, Any, Any]) -> dict[str, Pregel[Any, Any, Any, Any]]:
    """The subgraphs of a graph, at any depth, by their nodes joined with `|`."""
    return {path: one for path, one in graph.get_subgraphs(recurse=True) if isinstance(one, Pregel)}


def _only_async(bound: Any) -> bool:
    steps = getattr(bound, "steps", None)
    if steps:
        return any(_only_async(step) for step in steps)
    function = getattr(bound, "func", True)
    if function is None:
        return getattr(bound, "afunc", None) is not None
    return any(map(_async_alone, (*_hooks(function), *_hooks(getattr(bound, "_wrap_tool_call", None)))))


def _only_sync(bound: Any) -> bool:
    hooks = (hook for one in (getattr(bound, "afunc", None), getattr(bound, "_awrap_tool_call", None)) for hook in _hooks(one))
    return any(hook.__name__ in REFUSED_LATER and _alone(hook, hook.__name__.removeprefix("a"), hook.__name__) for hook in hooks)


def _hooks(function: Any, depth: int = HOOKS_DEEP) -> Iterator[MethodType]:
    """The methods of other objects that a function was made around, as `create_agent` makes its nodes around those of its middleware."""
    for cell in getattr(function, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # nothing is in it yet
            value = cell.cell_contents
            if isinstance(value, MethodType):
                yield value
            elif depth:
                yield from _hooks(value, depth - 1)


def _async_alone(hook: MethodType) -> bool:
    """Whether a class says how this is done asynchronously and not how otherwise: what LangChain's own class does otherwise is refuse."""
    return _alone(hook, f"a{hook.__name__}", hook.__name__)


def _alone(hook: MethodType, name: str, other: str) -> bool:
    """Whether the class that says how one of these is done says it of this alone."""
    nearest: Mapping[str, Any] = next((vars(kind) for kind in type(hook.__self__).__mro__ if name in vars(kind) or other in vars(kind)), {})
    return name in nearest and other not in nearest
