"""What changed between two JSON values, as lines: `-` what was there, `+` what is there now, each with its path."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Literal, NamedTuple

from workbench.model import Json, canonical

MISSING = object()


class Line(NamedTuple):
    """One removed or added value and where it stands, such as `- refund.status: null`."""

    sign: Literal["-", "+"]
    path: str
    value: Json


def difference(before: Json, after: Json, path: str = "") -> Iterator[Line]:
    """The smallest parts that differ, in the order of the newer value. Lists are matched from both ends, so that an insertion is one line."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*after, *(name for name in before if name not in after)]:
            yield from difference(before.get(name, MISSING), after.get(name, MISSING), f"{path}.{name}" if path else str(name))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items(before, after, path)
    elif not _same(before, after):
        if before is not MISSING:
            yield Line("-", path, before)
        if after is not MISSING:
            yield Line("+", path, after)


def _same(before: Json, after: Json) -> bool:
    """Equal as JSON, where 1 is not true and NaN is NaN."""
    return (before is MISSING) == (after is MISSING) and canonical(before) == canonical(after)


def _items(before: list[Json], after: list[Json], path: str) -> Iterator[Line]:
    shorter = min(len(before), len(after))
    head = next((place for place in range(shorter) if not _same(before[place], after[place])), shorter)
    tail = next((place for place in range(shorter - head) if not _same(before[-1 - place], after[-1 - place])), shorter - head)
    pairs = zip_longest(before[head : len(before) - tail], after[head : len(after) - tail], fillvalue=MISSING)
    for place, (old, new) in enumerate(pairs, start=head):
        yield from difference(old, new, f"{path}[{place}]")
