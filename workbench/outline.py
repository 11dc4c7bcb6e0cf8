"""The outline of a JSON text: which keys its first object has and where, read off its beginning without parsing all of it.

Formats are told by their keys, and a key may stand behind a megabyte of prompt, so this reads far and remembers little.
"""

from __future__ import annotations

import re

Outline = frozenset[tuple[str, str]]
"""Where an object stands (`""`, `[]`, `data[].spans[]`) and one of its keys."""

MAX_DEPTH = 5
_TOKEN = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"(\s*:)?|[{}\[\]]|"', re.DOTALL)


def outline(text: bytes) -> Outline:
    """The keys of a text's first JSON document, or of the first item of a list, five levels deep. Empty for what is no JSON object or list.

    The text may break off anywhere; only what was seen until then counts.
    """
    text = text.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] not in {b"{", b"["}:
        return frozenset()
    found: set[tuple[str, str]] = set()
    inside: list[str | None] = []  # for each open bracket: where its items stand; None where that is too deep to matter
    lists: list[bool] = []
    here: str | None = ""  # where the next bracket would stand
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in {b"{", b"["}:
            here = here if here is None or mark == b"{" else f"{here}[]"
            inside.append(here if len(inside) < MAX_DEPTH else None)
            lists.append(mark == b"[")
        elif mark in {b"}", b"]"}:
            inside.pop()
            lists.pop()
            if not inside or (len(inside) == 1 and lists[0]):
                break
            here = inside[-1]
        elif mark == b'"':
            break  # a text that breaks off: what follows is not JSON's own
        elif token[2] and inside and not lists[-1] and (at := inside[-1]) is not None:
            key = token[1].decode("utf-8", "replace")
            found.add((at, key))
            here = f"{at}.{key}" if at else key
    return frozenset(found)


def having(seen: Outline, *keys: str) -> frozenset[str]:
    """Where the objects stand that have all of these keys."""
    places = [{at for at, key in seen if key == wanted} for wanted in keys]
    return frozenset(set.intersection(*places))
