"""What somebody may have meant by a name that nothing has, in the same words wherever a fork is asked for one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MOST_NAMES = 8


def meant(name: str, there: Iterable[str]) -> str:
    """`; did you mean pay?`: the nearest of the names there are. Empty where none is near."""
    near = get_close_matches(name, list(there), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def instead(name: str, there: Iterable[str]) -> str:
    """`; did you mean pay? There are pay, refund`: the same, and the first of those there are. Empty where there are none."""
    every = list(dict.fromkeys(there))
    if not every:
        return ""
    listed = f"{', '.join(every[:MOST_NAMES])}{' …' if len(every) > MOST_NAMES else ''}"
    near = meant(name, every)
    return f"{near} There are {listed}" if near else f"; there are {listed}"
