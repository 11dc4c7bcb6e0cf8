"""Finds collectors and detectors: every module of the packages `collectors` and `detectors`, and every entry point of those groups.

A plugin is one module. A collector has `accepts(source)`, `collect(source)` and `EXAMPLES`; it may have `state(location, thread_id,
namespace, checkpoint_id)`. It is given files, as `Source`; with `SCHEMES = ("postgresql",)` it is given databases whose URL begins so
instead, as `Database`, and its examples are SQL that makes one. A detector has `detect(run)`, `FIRES_ON` and `QUIET_ON`; it may have
`detect_many(runs)`, for what only many runs together show, or that alone: then `FIRES_ON` and `QUIET_ON` are one cohort each. Its docstring is
its documentation. Whatever is missing or has another shape is an error that names file and line: a plugin that silently isn't there would look
like "all is well".
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TypeVar, cast

from workbench.database import Database, Location
from workbench.model import Finding, Json, NotEvaluated, Record, Run
from workbench.source import Source

T = TypeVar("T")
Input = Source | Database
"""What a collector is asked to read."""


class PluginError(TypeError):
    """A plugin that doesn't have the shape of one. The message begins with file and line."""


@dataclass(frozen=True)
class Example:
    """A small input for a collector: a file name, its bytes, and how many records of each kind it yields, such as `{"Span": 2}`."""

    name: str
    content: bytes
    yields: dict[str, int]


@dataclass(frozen=True)
class Collector:
    """A collector module, checked."""

    name: str
    doc: str
    accepts: Callable[[Input], bool]
    collect: Callable[[Input], Iterable[Record]]
    examples: tuple[Example, ...]
    state: Callable[[Location, str, str, str], dict[str, Json]] | None
    schemes: tuple[str, ...] = ()
    """What the URLs of the databases it reads begin with; empty for a collector that reads files."""


@dataclass(frozen=True)
class Detector:
    """A detector module, checked."""

    name: str
    doc: str
    detect: Callable[[Run], Iterable[Finding | NotEvaluated]]
    fires_on: tuple[Run, ...]
    quiet_on: tuple[Run, ...]
    detect_many: Callable[[Iterable[Run]], Iterable[Finding | NotEvaluated]] | None = None
    together: bool = False
    """It only looks at many runs: `fires_on` and `quiet_on` are one cohort each."""
    """What many runs show together; each detector reads all of them."""


@cache
def collectors() -> dict[str, Collector]:
    """All collectors by name, in alphabetical order."""
    return {name: _collector(name, module) for name, module in _modules("collectors")}


@cache
def detectors() -> dict[str, Detector]:
    """All detectors by name, in alphabetical order."""
    return {name: _detector(name, module) for name, module in _modules("detectors")}


def add(module: ModuleType) -> Collector | Detector:
    """Use a module as a plugin in this process, called as the module is: for a notebook, before there is a package or a file in its place.

    A module with `collect` is a collector, any other a detector. Added again, it takes its own place. PluginError says what is missing, with file and
    line, or that a plugin which ships has that name.
    """
    group, check = ("collectors", _collector) if hasattr(module, "collect") else ("detectors", _detector)
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    checked = check(name, module)
    if taken := dict(_installed(group)).get(name):
        raise PluginError(f"{_where(module)}: the name {name} is taken by {_where(taken)}")
    _added[group][name] = module
    (collectors if group == "collectors" else detectors).cache_clear()
    return checked


_added: dict[str, dict[str, ModuleType]] = {"collectors": {}, "detectors": {}}
"""Modules that were added by hand, by group and name."""


def collector_of(given: Input) -> Collector | None:
    """The first collector that accepts a file or a database, None where none does. SourceError for what can't be opened."""
    return next(accepting(given), None)


def accepting(given: Input) -> Iterator[Collector]:
    """The collectors that accept a file or a database: a database may hold tables of several. SourceError for what can't be opened."""
    scheme = given.scheme if isinstance(given, Database) else None
    asked = (one for one in collectors().values() if (scheme in one.schemes if scheme else not one.schemes))
    return (one for one in asked if one.accepts(given))


def _modules(group: str) -> Iterator[tuple[str, ModuleType]]:
    """The plugins of a group in alphabetical order, those added by hand among them."""
    return iter(sorted({**dict(_installed(group)), **_added[group]}.items()))


def _installed(group: str) -> Iterator[tuple[str, ModuleType]]:
    found: dict[str, ModuleType] = {}
    package = importlib.import_module(group)
    for info in pkgutil.iter_modules(package.__path__):
        found[info.name.replace("_", "-")] = importlib.import_module(f"{group}.{info.name}")
    for entry in importlib.metadata.entry_points(group=f"workbench.{group}"):
        module = entry.load()
        if entry.name in found:
            raise PluginError(f"{_where(module)}: the name {entry.name} is taken by {_where(found[entry.name])}")
        found[entry.name] = module
    return iter(found.items())


def _collector(name: str, module: ModuleType) -> Collector:
    examples = _tuple_of(module, "EXAMPLES", Example)
    state = _function(module, "state", ["location", "thread_id", "namespace", "checkpoint_id"]) if hasattr(module, "state") else None
    accepts, collect = (_function(module, verb, ["source"]) for verb in ("accepts", "collect"))
    schemes = _tuple_of(module, "SCHEMES", str) if hasattr(module, "SCHEMES") else ()
    return Collector(name, _doc(module), accepts, collect, examples, state, schemes)


def _detector(name: str, module: ModuleType) -> Detector:
    for heading in ("Why it matters:", "What to do:"):
        if heading not in _doc(module):
            raise PluginError(f"{_where(module)}: the docstring has no paragraph {heading!r}")
    fires_on, quiet_on = _tuple_of(module, "FIRES_ON", Run), _tuple_of(module, "QUIET_ON", Run)
    many = _function(module, "detect_many", ["runs"]) if hasattr(module, "detect_many") else None
    together = many is not None and not hasattr(module, "detect")
    detect = _says_nothing if together else _function(module, "detect", ["run"])
    return Detector(name, _doc(module), detect, fires_on, quiet_on, many, together=together)


def _says_nothing(run: Run) -> tuple[Finding | NotEvaluated, ...]:
    """What a detector that only looks at many runs says of one."""
    return ()


def _doc(module: ModuleType) -> str:
    if not module.__doc__:
        raise PluginError(f"{_where(module)}: no docstring; it is the plugin's documentation")
    return inspect.cleandoc(module.__doc__)


def _function(module: ModuleType, name: str, parameters: list[str]) -> Callable[..., Json]:
    function = getattr(module, name, None)
    if not inspect.isfunction(function):
        raise PluginError(f"{_where(module)}: no function {name}({', '.join(parameters)})")
    if list(inspect.signature(function).parameters) != parameters:
        line = inspect.getsourcelines(function)[1]
        raise PluginError(f"{_where(module, line)}: {name}{inspect.signature(function)} should take ({', '.join(parameters)})")
    return cast("Callable[..., Json]", function)


def _tuple_of(module: ModuleType, name: str, kind: type[T]) -> tuple[T, ...]:
    values = getattr(module, name, None)
    if not isinstance(values, tuple) or not values or not all(isinstance(value, kind) for value in values):
        raise PluginError(f"{_where(module)}: {name} should be a tuple of at least one {kind.__name__}")
    return values


def _where(module: ModuleType, line: int = 1) -> str:
    return f"{module.__file__}:{line}"
