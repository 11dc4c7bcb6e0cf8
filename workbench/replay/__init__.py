"""Re-runs a recorded execution with nothing real touched: cassette, cut, fence, sandbox, fork.

Which module has what, in the order in which a fork comes about:

- *asked for*: `changes` (the one thing that changes), `wishes` (may it be made, and the request it becomes), `trust` (whose database may lead it),
  `forecast` (what it would do), `forking` (all of it, from the wish to the run), `simulation` (without code or LangGraph), `sweeps`, `regression`.
- *what was recorded*: `cassette` (each call and its answer), `captured` (what only spans tell), `contexts` (what the run was started with), `cut` (the thread
  up to the step), `tasks` (what the nodes after it wrote), `nesting` (what was done inside of what), `place` (where in the graph).
- *its process*: `process` and `forkserver` start it, `isolation` chooses how strongly it is shut in and `sandbox` is how, `scratch` and `tripwire` watch it,
  `channel` is the line to it and `protocol` what is said, `child` is its beginning, `watch` lets others look on and stop it.
- *inside*: `rerun` drives the graph, which `graphs` loads and `overlay` gives a changed state; `fence` puts every call to `playback`, by way of `tool_twins`,
  `model_twins`, `services` and `nodes`; `tape` finds the recorded answer and `answers` makes of it what the agent expects. `alterations` are the change as
  calls meet it; `scrubbing`, `identities`, `numbering` and `history` are what makes a call the same as a recorded one.
- *going live*: `reach` asks from inside, `broker` decides outside, by `approvals`, `budget` and `ledger`; `outside` makes the call, `injected` crosses with it.
- *afterwards*: `journal` and `told` are what it did, `unfinished` is where a killed one goes on, `assembly` reads it as a run, `reload` checks its state,
  `receipts` proves it.

Names are imported on first use: the process that re-runs an agent must be shut in before anything heavy is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.replay.cassette import record as record
    from workbench.replay.forking import Forked as Forked
    from workbench.replay.forking import ForkError as ForkError
    from workbench.replay.forking import fork as fork
    from workbench.replay.tape import Divergence as Divergence
    from workbench.replay.tape import Tape as Tape

_HOMES = {"Divergence": "tape", "Tape": "tape", "record": "cassette", "ForkError": "forking", "Forked": "forking", "fork": "forking"}
__all__ = ["Divergence", "ForkError", "Forked", "Tape", "fork", "record"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
