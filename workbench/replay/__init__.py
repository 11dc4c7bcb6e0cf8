"""Re-runs a recorded execution with nothing real touched: cassette, cut, fence, sandbox, fork.

Which module has what, in the order in which a fork comes about:

- *asked for*: `changes` (the one thing that changes), `wishes` (may it be made, and the request it becomes), `unmet` (names that nothing has), `trust` (whose
  database may lead it), `forecast` (what it would do), `forking` (all of it, from the wish to the run), `simulation` (without code or LangGraph: a
  `conversation` that goes on), `sweeps` (each of the same `program`), `regression`.
- `recording`: each call and its answer, the thread up to the step, what its nodes wrote, and what makes a call the same as a recorded one.
- `process`: starts it, looks on and stops it; `isolation` chooses how strongly it is shut in and `sandbox` is how. `channel` is the line to it, `protocol`
  what is said over it, `told` what is kept of that.
- `fence`: inside. The graph is driven from the cut, every call of it answered from the recording, changed, asked for outside, or halted.
- `effects`: what goes live: who decides and who is asked, within a `budget`, and the ledger of all that was attempted.
- *afterwards*: `unfinished` is where a killed one goes on, `assembly` reads what was done as a run, `receipts` proves it.

Names are imported on first use: the process that re-runs an agent must be shut in before anything heavy is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.replay.forking import Forked as Forked
    from workbench.replay.forking import ForkError as ForkError
    from workbench.replay.forking import fork as fork
    from workbench.replay.recording.cassette import record as record
    from workbench.replay.recording.tape import Divergence as Divergence
    from workbench.replay.recording.tape import Tape as Tape

_HOMES = {
    "Divergence": "recording.tape",
    "Tape": "recording.tape",
    "record": "recording.cassette",
    "ForkError": "forking",
    "Forked": "forking",
    "fork": "forking",
}
__all__ = ["Divergence", "ForkError", "Forked", "Tape", "fork", "record"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
