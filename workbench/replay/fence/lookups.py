"""What the program's own code looks up in the config of a start, as far as its source can be read: a hint, not a proof."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence

from workbench.replay.protocol import Start
from workbench.replay.told import listed
from workbench.taps.configs import OURS, PARTS

Path = tuple[str, ...]
TAGS: Path = ("tags",)
UNTOLD = (
    "of how a start was configured, checkpoints keep only what of configurable and metadata is text, a number or a boolean: code looks up {names}, "
    "which was not recorded, if there was such (wb.record does), and finds none"
)


def unrecorded(starts: Sequence[Start], sources: Iterable[str]) -> Iterator[str]:
    """What there is to say of what code looks up that checkpoints may not have kept; nothing where a recorder told how each start was configured."""
    untold = [one for one in starts if one.tags is None]
    paths = {path for text in sources for path in _paths(text)} if untold else set()
    names = ["tags"] if TAGS in paths else []
    for part, known in ((part, [getattr(one, part) for one in untold]) for part in PARTS):
        looked_up = sorted(path[1] for path in paths if len(path) == len(PARTS) and path[0] == part and path[1] not in OURS)
        names += [f"{part}[{name!r}]" for name in looked_up if not any(name in one for one in known)]
    if names:
        yield UNTOLD.format(names=listed(sorted(names)))


def _paths(text: str) -> Iterator[Path]:
    """The names by which a source looks something up in a config, outermost first."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    held: dict[str, Path] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            held |= _assigned(node.targets[0], node.value, held)
    yield from (path for node in ast.walk(tree) if isinstance(node, ast.expr) and (path := _path(node, held)))


def _assigned(target: ast.expr, value: ast.expr, held: Mapping[str, Path]) -> dict[str, Path]:
    """The names that stand for parts of a config from an assignment on."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        pairs = zip(target.elts, value.elts, strict=True)
        return {name: path for one, other in pairs for name, path in _assigned(one, other, held).items()}
    path = _path(value, held)
    return {target.id: path} if isinstance(target, ast.Name) and path else {}


def _path(node: ast.expr, held: Mapping[str, Path]) -> Path | None:
    """What an expression looks up in a config; empty for a config itself."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return () if name == "config" else held.get(name) if isinstance(node, ast.Name) else None
        case ast.Call(func=ast.Name(id="get_config") | ast.Attribute(attr="get_config")):
            return ()
        case ast.BoolOp(values=[first, *_]):
            return _path(first, held)
        case (
            ast.Subscript(value=value, slice=ast.Constant(value=str(name)))
            | ast.Call(func=ast.Attribute(value=value, attr="get"), args=[ast.Constant(value=str(name)), *_])
        ):
            around = _path(value, held)
            return None if around is None else (*around, name)
    return None
