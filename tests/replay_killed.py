"""The agents of `replay_threads` and `replay_pausing`, in whose re-runs the process is killed once, at the place that DIES names.

A person's machine may go off anywhere; here it does so at the places between what people did to a thread, which no code of an agent's comes to.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from tests.replay_agents import die_once
from tests.replay_pausing import after, before, inside
from tests.replay_threads import careful, chat
from workbench.replay.fence.drive import Drive
from workbench.replay.fence.later import Updates

__all__ = ["after", "before", "careful", "chat", "inside"]
PLACES: dict[str, tuple[type, str, bool]] = {
    "before an update": (Updates, "put", False),
    "once it is written": (Updates, "tell", False),
    "once it is told": (Updates, "tell", True),
    "before the next start": (Drive, "_invoke", False),
    "at a breakpoint": (Drive, "_passes", False),
    "as it is passed": (Drive, "_passes", True),
}
"""Whose method, and whether it dies after it: of `_invoke`, at the second start alone."""


def _dying(original: Callable[..., Any], *, afterwards: bool, calls: int) -> Callable[..., Any]:
    left = [calls]

    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and not afterwards:
            die_once()
        found = original(*args, **kwargs)
        if left[0] == 0 and afterwards:
            die_once()
        return found

    return method


if (place := os.environ.get("DIES")) is not None:
    kind, name, afterwards = PLACES[place]
    setattr(kind, name, _dying(getattr(kind, name), afterwards=afterwards, calls=2 if name == "_invoke" else 1))
