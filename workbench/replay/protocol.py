"""What a re-run's process is asked, and what it answers: two values that travel as JSON files."""

from __future__ import annotations

from typing import Literal

from workbench.model import CallRecord, Cassette, Json, Span, Value


class Request(Value):
    """All that a re-run needs. Paths are absolute; `folder` and its parts are the only place it may write to."""

    run_id: str
    graph: str
    folder: str
    database: str
    witness: str
    seconds: float
    cassette: Cassette
    steps: tuple[int, ...]
    """The recorded steps whose answers may be served: those that are done again."""
    edited: int | None = None
    state: dict[str, Json] | None = None
    """Channels to overlay at the cut."""
    cut: tuple[str, str]
    """Namespace and id of the checkpoint whose super-step is done again."""
    models_live: bool = False
    nodes: tuple[str, ...] = ()
    """Nodes of the root graph that the recording names."""
    configurable: dict[str, Json]
    """What the run was configured with, such as a user's id."""
    inputs: tuple[tuple[str, str], ...] = ()
    """Later inputs of the recorded run: type and base64 of the checkpoint that holds each."""
    restarts: int = 0
    """How often the recorded run was started or resumed again after the cut."""
    stops: tuple[int, ...] = ()
    """The steps after which it was cut off before it was started again."""
    limits: tuple[int, int] | None = None
    """The recorded run ended at its recursion limit: what is left of it at the cut, and the whole."""


class Answer(Value):
    """What came of it. `refused` is a reason why nothing could run; `halted` the divergence; `failed` an error of the agent's own."""

    ended: Literal["done", "interrupted", "halted", "failed", "refused"]
    says: str = ""
    records: tuple[CallRecord, ...] = ()
    spans: tuple[Span, ...] = ()
    isolation: str = ""
    sandboxed: bool = False
    notes: tuple[str, ...] = ()
