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
from typing import Any, NotRequired, TypedDict

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from typer.testing import CliRunner

import workbench as wb
from tests.replay_recording import record
from tests.replay_shapes import ASKED, SHAPES, YES, Guest, Shape
from tests.test_replay_shapes import drive, graph_of
from workbench.cli import app
from workbench.model import Change
from workbench.replay import ForkError, fork
from workbench.replay.protocol import Context
from workbench.replay.recording.contexts import Absent, ContextError, absent_in, rebuilt, with_given
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


def test_given_by_hand(tmp_path: Path, ledger: Path) -> None:
    """A context that was not recorded can be given by hand, is handed on as the graph's own type, and the receipt says so."""
    with recorded(SHAPES["context"](), tmp_path) as run:
        before = ledger.read_text()
        place = {"databases": [tmp_path / "checkpoints.sqlite"], "scratch": tmp_path / "scratch.sqlite", "graph": graph_of("context")}
        given = {"name": "Ada", "since": "2026-11-23"}
        wanted = {"at": step(run, "Scripted"), "change": Change(), "execute": ("*",), "context": given}
        done = fork(run.run, run_id="fork", **wanted, **place)  # without the spans, which tell of the context
    assert ledger.read_text() == before
    assert (done.run.status, done.receipt.calls.halted) == ("ok", 0)
    assert "the run's context was given by hand: name, since" in done.receipt.notes
    assert "what the run was started with was not recorded: what is served was made under that, be it another context than the one given or the same" in (
        done.receipt.notes
    )


def test_given_to_a_graph_without_a_context(tmp_path: Path, ledger: Path) -> None:
    """A graph that names no context_schema is handed what was given all the same, as LangGraph does, and the receipt says that nothing could check it."""
    recording = record(tmp_path, "signing", [])
    (note,) = recording.fork(0, context={"user": "ada"}).receipt.notes
    assert note.startswith("the run's context was given by hand: user; the graph names no context_schema, so that it was held against no type")


def test_given_otherwise_than_recorded(tmp_path: Path, ledger: Path) -> None:
    """A context that differs from the recorded one is a change: no node's writes are served, nor what a tool made of the old one; the same one is none."""
    with recorded(SHAPES["context"](), tmp_path) as run:
        before, place = ledger.read_text(), {"graph": graph_of("context")}
        same, other = (run.fork(step(run, "serve"), context={"name": name}, **place).receipt for name in ("Ada", "Eve"))
        again = run.fork(step(run, "serve"), context={"name": "Eve"}, stale=["serve"], **place)
        with pytest.raises(ForkError, match=r"was made under another context \(name\) than thread, which is not kept: give it again"):
            again.fork(step(again, "serve"), **place)
        with pytest.raises(ForkError, match="give it again"):
            again.foresee(step(again, "serve"), **place)
        with pytest.raises(ForkError, match="give it again"):
            run.bench.sweep(again, at=[step(again, "serve")], **place)
        unchanged, foreseen = (run.foresee(step(run, "serve"), context={"name": name}, approve=(), **place).forecast for name in ("Ada", "Eve"))
    assert unchanged.notes == ()
    assert "of the context, name was recorded with another value" in foreseen.notes[0]
    assert ledger.read_text() == before
    assert same is not None
    assert other is not None
    assert again.receipt is not None
    assert (same.clean, same.context, same.calls.served) == (True, (), 1)
    assert (other.clean, other.context, other.calls.served) == (False, ("name",), 0)
    assert "changed: the run's context: name" in str(other)
    assert "its code reads the run's context, of which name was recorded with another value, so what it returned then is not served now" in other.outcome
    assert "1 answers were stale: tool serve" in again.receipt.notes


def test_question_of_another_context(tmp_path: Path, ledger: Path) -> None:
    """What a person answered under the recorded context answers no question of another one: the node runs, and the fork stops to ask."""
    with recorded(SHAPES["context_asked"](), tmp_path) as run:
        at = next(one.index for one in run.steps if one.kind == "human" and one.tool_call)
        forks = [run.fork(at, graph=graph_of("context_asked"), context={"name": name}).receipt for name in ("Ada", "Eve")]
    came = [(one.context, one.calls.answered, one.outcome == "interrupted", one.clean) for one in forks if one]
    assert came == [((), 1, False, True), (("name",), 0, True, True)]


def test_given_in_place_of_what_was_lost(tmp_path: Path, ledger: Path) -> None:
    """A field that could not be written down is given by hand beside those that were, also on the command line; what doesn't fit is refused."""
    with recorded(Shape(SHAPES["context"]().graph, (ASKED, YES), context=Guest("Ada", ADA.since, threading.Lock())), tmp_path) as run:
        forked = run.fork(step(run, "Scripted"), graph=graph_of("context"), context={"lock": None})
        assert (forked.outcome, forked.run.status) == (run.outcome, "ok")
        with pytest.raises(ForkError, match="Guest has no field 'nme'; did you mean name\\? It has name \\(str\\), since \\(date\\), lock"):
            run.fork(0, graph=graph_of("context"), context={"nme": "Ada"})
    asked = ["fork", "thread", "--at", str(step(run, "Scripted")), "--graph", graph_of("context"), "--store", str(tmp_path / "bench.db")]
    assert CliRunner().invoke(app, [*asked, "--context", '{"lock": null}', "--json"]).exit_code == 0
    says = "the context given does not fit the graph's: the context's since should be date, and is \"soon\""
    assert says in str(CliRunner().invoke(app, [*asked, "--context", '{"since": "soon"}']).exception)


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


class Named(TypedDict):
    """A context of named fields."""

    user: str
    nights: NotRequired[int]


class Checked(BaseModel):
    """A context that checks itself."""

    user: str
    nights: int = 2


def by_hand(value: Any) -> Context:
    (given,) = with_given((), value)
    return given


@pytest.mark.parametrize(("schema", "lacking"), [(Named, "user"), (Checked, "user"), (Keyed, "user, api_key")])
def test_what_a_context_given_by_hand_lacks(schema: Any, lacking: str) -> None:
    """What a context that is given by hand lacks, or holds of another type, is told with the fields that the graph's own type has."""
    with pytest.raises(ContextError, match=f"the context given lacks {lacking}, which {schema.__name__} needs: it has user"):
        rebuilt(schema, by_hand({}), refuse)
    with pytest.raises(ContextError, match="the context's user should be str, and is 7"):
        rebuilt(schema, by_hand({"user": 7, "api_key": "k"} if schema is Keyed else {"user": 7}), refuse)
    with pytest.raises(ContextError, match=f"should be a JSON object with the fields of {schema.__name__}: user"):
        rebuilt(schema, by_hand("Ada"), refuse)


def test_what_is_given_beside_what_was_recorded() -> None:
    """Fields given by hand take the place of those recorded in every start; a context without fields is replaced as a whole."""
    recorded_ones = (Context(value={"user": "Ada"}, lost={"nights": "Lock"}), Context(value={"user": "Eve"}))
    assert [one.value for one in with_given(recorded_ones, {"nights": 3})] == [{"user": "Ada", "nights": 3}, {"user": "Eve", "nights": 3}]
    assert [one.lost for one in with_given(recorded_ones, {"nights": 3})] == [{}, {}]
    assert [one.other for one in with_given(recorded_ones, {"user": "Ada", "nights": 3})] == [(), ("user", "nights")]
    assert with_given(recorded_ones, None) == recorded_ones
    assert [one.other for one in with_given((Context(value={"key": "[redacted key 1f]"}), Context(value="Ada")), {"key": "k"})] == [(), ("",)]
    assert with_given((Context(lost={"": "socket"}),), "Ada") == (Context(value="Ada", by_hand=("",)),)
