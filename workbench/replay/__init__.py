"""Re-runs a recorded execution with nothing real touched: cassette, cut, fence, sandbox, fork.

Names are imported on first use: the process that re-runs an agent must be shut in before anything heavy is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.replay.cassette import Divergence as Divergence
    from workbench.replay.cassette import Tape as Tape
    from workbench.replay.cassette import record as record
    from workbench.replay.forking import Forked as Forked
    from workbench.replay.forking import ForkError as ForkError
    from workbench.replay.forking import fork as fork

_HOMES = {"Divergence": "cassette", "Tape": "cassette", "record": "cassette", "ForkError": "forking", "Forked": "forking", "fork": "forking"}
__all__ = ["Divergence", "ForkError", "Forked", "Tape", "fork", "record"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
