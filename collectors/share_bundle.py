"""A share bundle, as `workbench share` writes it: redacted runs of another workbench, with the checkpoints that it takes to replay them.

Its records are read as JSON, its checkpoints as those of any LangGraph database: nothing is imported, called or unpickled.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from workbench.model import CallCounts, Change, Json, Receipt, Record, Review, Run, Span
from workbench.plugins import Example
from workbench.reading import bundles
from workbench.reading.threads import checkpoints, fetch_state
from workbench.source import Source


def accepts(source: Source) -> bool:
    """Whether its header says that it is a bundle."""
    return bundles.is_bundle(source)


def collect(source: Source) -> Iterator[Record]:
    """The shared records, then the checkpoints of their threads."""
    yield from bundles.records(source)
    yield from checkpoints(source.path)


def state(location: Path, thread_id: str, namespace: str, checkpoint_id: str) -> dict[str, Json]:
    """The channel values of one checkpoint. LookupError when it isn't there; SourceError when it can't be decoded."""
    return fetch_state(location, thread_id, (namespace, checkpoint_id))


# ---- examples


def _example() -> bytes:
    """A bundle of one span, one run with its receipt and a review, something that is none of these, and no thread."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)")
        database.execute("CREATE TABLE writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)")
        span = Span(trace_id="0" * 31 + "1", span_id="0" * 15 + "1", name="chat")
        calls, said = CallCounts(served=1), {"key": "0", "run_id": "r-1", "detector": "runaway-loop", "step": 2, "verdict": "dismissed", "reviewed_ns": 1}
        receipt = Receipt(run_id="r-1", parent_run_id="r-0", forked_at_step=1, change=Change(), graph="m:g", calls=calls, outcome="", isolation="")
        told = [("Receipt", receipt.model_dump_json()), ("Review", Review.model_validate(said).model_dump_json())]
        bundles.add(database, [("Span", span.model_dump_json()), ("Run", Run(run_id="r-1").model_dump_json()), *told, ("Word", "{}")])
        database.commit()
        return database.serialize()


EXAMPLES = (Example("case.wb", _example(), {"Span": 1, "Run": 1, "Receipt": 1, "Review": 1, "Skip": 1}),)
