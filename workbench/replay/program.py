"""An agent's program as files: the module its graph stands in and what that imports of the same project, and a digest of them all.

By it a sweep knows whether what it did before was done by this very agent. Nothing is imported or run: imports are read from the source, where they are
written out, also within functions. What the program reads at run time (prompts in files, settings) is no part of it.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.model import digest

INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def program_digest(graph: str) -> str:
    """The digest of the program of a graph, `module:attribute` or `path/to/file.py:attribute`; empty where its module is not found."""
    found = {name: path.read_bytes().hex() for name, path in _program(graph.rpartition(":")[0])}
    return digest(found) if found else ""


def _program(place: str) -> Iterator[tuple[str, Path]]:
    """The modules of a program with their files, the graph's first."""
    paths = [Path(path or Path.cwd()) for path in sys.path]
    if place.endswith(".py"):
        file = Path(place)
        paths.insert(0, file.resolve().parent)
        waiting = [(file.stem, file)] if file.is_file() else []
    else:
        waiting = _module(place, paths)
    seen = {place}
    while waiting:
        name, path = waiting.pop()
        yield name, path
        for imported in _imported(name, path):
            if imported not in seen:
                seen.add(imported)
                waiting += [one for one in _module(imported, paths) if not _installed(one[1])]


def _module(name: str, paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """The module of this name with its file, where it is found and has one."""
    folders, file = list(paths), None
    for number, part in enumerate(name.split(".")):
        file, folders = _beneath(part, folders)
        if file is None and not folders and not number:
            file, folders = _elsewhere(part)
    return [(name, file)] if file else []


def _beneath(part: str, folders: Sequence[Path]) -> tuple[Path | None, list[Path]]:
    """The file of a module in the first of these folders that has it, and where what is below it stands: of a package, of a part of several."""
    parts = []
    for folder in folders:
        package, module = folder / part, folder / f"{part}.py"
        if (package / "__init__.py").is_file():
            return package / "__init__.py", [package]
        if module.is_file():
            return module, []
        parts += [package] if package.is_dir() else []
    return None, parts


def _elsewhere(top: str) -> tuple[Path | None, list[Path]]:
    """A module outside of all packages that stands where a finder alone knows, as of a project that is installed to be edited. Nothing is imported."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None, []
    origin = Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None
    return origin, [Path(one) for one in (spec.submodule_search_locations or [])] if spec else []


def _imported(name: str, path: Path) -> Iterator[str]:
    """The names of what a module imports, with the packages around them; none where it is no Python that can be read."""
    try:
        tree = ast.parse(path.read_bytes()) if path.suffix == ".py" else ast.Module([], [])
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, name, is_package=path.stem == "__init__")
            named = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (one[:end] for one in named for end, letter in enumerate(f"{one}.") if letter == ".")


def _base(node: ast.ImportFrom, name: str, *, is_package: bool) -> str:
    """The package or module that is imported from, where the source says it relative to itself, too."""
    if not node.level:
        return node.module or ""
    around = name.split(".")[: len(name.split(".")) - node.level + is_package]
    return ".".join([*around, *([node.module] if node.module else [])])


def _installed(path: Path) -> bool:
    return any(path.resolve().is_relative_to(one) for one in INSTALLED)
