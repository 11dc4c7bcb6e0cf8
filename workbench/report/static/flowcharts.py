"""The paths of an agent's runs as a flowchart: boxes and arrows with counts, and the same as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from workbench.cohorts.paths import END, START, Path, Paths
from workbench.report.markup import Markup, element, join, still, visible
from workbench.report.quantities import plural
from workbench.report.static.fragments import quiet

BOX = "display:inline-block;border:1px solid #808893;border-radius:4px;padding:1px 8px;margin:2px 0"
LONGEST = 40
"""How many boxes of a path are drawn."""


def paths_html(title: str, says: Iterable[str], paths: Paths, shown: int) -> str:
    """The paths, the most frequent first, each as a line of boxes; an arrow says how many runs go there from here, whatever their path."""
    lines = [_line(paths, path, count) for path, count in paths.counts[:shown]]
    return still(element("b", title), *(element("div", one) for one in says), *lines, *map(quiet, _rest(paths, shown)))


def paths_text(title: str, says: Iterable[str], paths: Paths, shown: int) -> str:
    """The same as text."""
    lines = [f"  {count:>5,} × {START} {''.join(f'─{arrow}→ {name} ' for arrow, name in _drawn(paths, path))}".rstrip() for path, count in paths.counts[:shown]]
    return visible("\n".join([title, *(f"  {one}" for one in says), *lines, *_rest(paths, shown)]))


def _line(paths: Paths, path: Path, count: int) -> Markup:
    boxes = (part for arrow, name in _drawn(paths, path) for part in (f" ─{arrow}→ ", element("span", name, style=BOX)))
    return element("div", element("b", f"{count:,} × "), element("span", START, style=BOX), join(*boxes))


def _drawn(paths: Paths, path: Path) -> Iterator[tuple[str, str]]:
    """The boxes of a path after its start, each with what its arrow says."""
    names = [*path[:LONGEST], *(["…"] if len(path) > LONGEST else []), END]
    for before, name in zip((START, *names), names, strict=False):
        count = paths.arrows.get((before, name))
        yield (f"{count:,}" if count else ""), name


def _rest(paths: Paths, shown: int) -> list[str]:
    more = paths.counts[shown:]
    return [f"and {plural(len(more), 'more path')} of {plural(sum(count for _, count in more), 'run')}"] if more else []
