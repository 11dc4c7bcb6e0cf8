"""What the state of a recorded thread held where a step began: asked for by a re-run that has left the recording, since its tools may read the state."""

from __future__ import annotations

import sqlite3
from typing import Literal

from pydantic import ValidationError

from workbench.model import Json, Run, Value
from workbench.reading.serde import UndecodedError
from workbench.reading.threads import opened
from workbench.reading.threads.states import state_of
from workbench.replay.recording.cut import Cut


class StateAsked(Value):
    """Asks what channels held where a recorded step began."""

    kind: Literal["state"] = "state"
    step: int
    channels: tuple[str, ...]


def asks_for_state(asked: Json) -> bool:
    """Whether a re-run's question is for a recorded state."""
    return isinstance(asked, dict) and asked.get("kind") == "state"


def held(run: Run, cut: Cut, asked: Json) -> Json:
    """The answer to such a question: what of the channels held a value, by name, or why that is not known."""
    try:
        wanted = StateAsked.model_validate(asked)
        step = run.step(wanted.step)
        with opened(cut.database) as tables:
            values = state_of(tables, cut.thread_id, (step.namespace or "", str(step.checkpoint_id)))
    except (LookupError, UndecodedError, ValidationError, sqlite3.DatabaseError) as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    return {"held": {name: values[name] for name in wanted.channels if name in values}}
