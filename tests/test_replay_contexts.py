"""What a run was started with (`context=`) is recorded, given to its re-runs and to what goes live; what can't be written down is refused by its name."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

import workbench as wb
from tests.replay_shapes import ASKED, SHAPES, YES, Guest, Shape
from tests.test_replay_shapes import drive, graph_of
from workbench.model import Change
from workbench.replay import fork
from workbench.replay.contexts import Absent, ContextError, absent_in, rebuilt
from workbench.replay.protocol import Context
from workbench.store import Store
from workbench.taps.contexts import LOST, VALUE, written

ADA = Guest("Ada", date(2026, 11, 23))


@contextlib.contextmanager
def recorded(shape: Shape, folder: Path) -> Iterator[wb.RecordedRun]:
    asyncio.run(drive(shape, folder))
    with contextlib.closing(wb.open(folder / "bench.db")) as bench:
        bench.ingest(folder / "checkpoints.sqlite")
        yield bench.run("thread")


def step(run: wb.RecordedRun, name: str) -> int:
    return next(step.index for step in run.steps if step.name == name)


def test_given_to_what_goes_live(tmp_path: Path, ledger: Path) -> None:
    """A live tool is given the context as the graph's own type, in a fork and in a fork of that, and a re-run's nodes see it at every start."""
    with recorded(SHAPES["context"](), tmp_path) as run:
        assert ledger.read_text().splitlines() == ["before asking", "before asking", "model", "serve Ada in Kyoto"]
        replayed = run.fork(0, graph=graph_of("context"))
        ledger.write_text("")
        live = replayed.fork(step(replayed, "serve"), graph=graph_of("context"), live=["tool:serve"], approve=["serve"])
        assert ledger.read_text() == "serve Ada in Kyoto\n"
        assert [row for row in wb.compare(run, live).comparison.rows if row.relation != "same"] == []


def test_not_recorded(tmp_path: Path, ledger: Path) -> None:
    """Where nothing tells of the context, a re-run says so beside the failure of the code that reads it, and a tool that reads it does not go live."""
    with recorded(SHAPES["context"](), tmp_path) as run:
        place = {"databases": [tmp_path / "checkpoints.sqlite"], "scratch": tmp_path / "scratch.sqlite", "graph": graph_of("context")}
        done = fork(run.run, at=step(run, "Scripted"), change=Change(), run_id="fork", execute=("*",), **place)  # without the spans
        live = fork(run.run, at=step(run, "serve"), change=Change(), run_id="live", live=("tool:serve",), **place)
    assert 'tool serve({"city":"Kyoto"}) at tools can\'t go live: its code uses runtime.context, and what the run was started with was not' in live.run.notes[0]
    assert "'NoneType' object has no attribute 'lock'" in done.run.notes[0]
    assert "the graph takes a context, and what this run was started with was not recorded (wb.record does)" in done.run.notes[0]


def test_can_not_be_written_down(tmp_path: Path, ledger: Path) -> None:
    """What of a context can't be written down stays away, and a node that asks for it halts with its name and type; all else is there."""
    with recorded(Shape(SHAPES["context"]().graph, (ASKED, YES), context=Guest("Ada", ADA.since, threading.Lock())), tmp_path) as run:
        forked = run.fork(0, graph=graph_of("context"))
        assert "what the run's context held as 'lock', a _thread.lock, can't be written down" in forked.receipt.outcome
        edited = run.fork(step(run, "serve"), tool_result="served nobody", graph=graph_of("context"))
    assert edited.steps[-1].result == "served nobody"


@dataclass
class Keyed:
    """A context that holds a secret."""

    user: str
    api_key: str


def test_secrets(tmp_path: Path) -> None:
    """A secret in a context is redacted on its way into the store; what was given to each start of a thread is told of that start."""
    builder = StateGraph(MessagesState, context_schema=Keyed)
    builder.add_node("idle", lambda _: {})
    builder.add_edge(START, "idle")
    config: Any = {"configurable": {"thread_id": "thread"}}
    with wb.record(builder.compile(), tmp_path / "bench.db") as graph:
        graph.invoke({"messages": []}, config, context=Keyed("ada", "hunter2"))
        graph.invoke({"messages": []}, config, context={"user": "bob", "api_key": "hunter3"})
    with contextlib.closing(sqlite3.connect(tmp_path / "bench.db")) as rows, Store.open(tmp_path / "bench.db") as store:
        spans = store.spans({trace for (trace,) in rows.execute("SELECT trace_id FROM span")})
    said = sorted((json.loads(span.attributes[VALUE]) for span in spans if VALUE in span.attributes), key=lambda one: one["user"])
    assert [one["user"] for one in said] == ["ada", "bob"]
    assert all(one["api_key"].startswith("[redacted ") for one in said)


class Told(BaseModel):
    """A context of pydantic's."""

    name: str
    at: date


@dataclass
class Other:
    """A context of another shape."""

    person: str


def refuse(why: str) -> Any:
    raise LookupError(why)


@pytest.mark.parametrize(
    ("schema", "context"),
    [
        (Guest, ADA),
        (Told, Told(name="Ada", at=date(2026, 1, 2))),
        (dict[str, Any], {"name": "Ada", "ids": [1, 2]}),
        (None, "Ada"),
        (Guest, None),
    ],
)
def test_there_and_back(schema: Any, context: Any) -> None:
    """A dataclass, a pydantic model, a dictionary, a plain value and none come back as what they were."""
    said = written(context)
    assert LOST not in said
    assert rebuilt(schema, Context(value=json.loads(said[VALUE])), refuse) == context


def test_another_schema() -> None:
    """A context that the graph's schema can't be made of is refused with its fields and what the schema says."""
    with pytest.raises(ContextError, match=r"the context name, since, lock, which Other can't be made of: .*unexpected keyword argument 'name'"):
        rebuilt(Other, Context(value=json.loads(written(ADA)[VALUE])), refuse)


def test_absent() -> None:
    """What stands for a lost part says what it was when it is looked at, and halts whatever is asked of it; a redacted part is no context for a live call."""
    lost = rebuilt(Guest, Context(value={"name": "Ada", "since": "2026-11-23"}, lost={"lock": "_thread.lock"}), refuse)
    assert (lost.name, lost.since) == ("Ada", ADA.since)
    for ask in (lambda: lost.lock.acquire, lost.lock, lambda: lost.lock["a"], lambda: list(lost.lock), lost.lock.__enter__):
        with pytest.raises(LookupError, match=r"held as 'lock', a _thread.lock, can't be written down, so it is not there in a re-run: put a result"):
            ask()
    assert absent_in(lost) == "what the run's context held as 'lock', a _thread.lock, can't be written down"
    assert absent_in({"key": "[redacted key 1f]"}) == "what the run's context held as 'key' was redacted when it was recorded"
    assert absent_in(rebuilt(None, Context(lost={"": "socket.socket"}), refuse)) == "what the run's context held, a socket.socket, can't be written down"
    assert (absent_in(ADA), absent_in(None)) == ("", "")
    assert isinstance(lost.lock, Absent)
