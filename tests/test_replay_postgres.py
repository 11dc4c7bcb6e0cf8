"""Forking a run that was recorded with PostgresSaver: its thread is cut out of the server into a scratch file, and the server is only read."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.types import Command

import workbench as wb
from tests import replay_agents
from tests.postgres import Server
from tests.replay_recording import AGENTS, Recorder
from workbench.database import location
from workbench.replay.process import parent as process
from workbench.semconv import read
from workbench.store import Origin

TWO = [["book", {"flight": "NH 1"}], ["book", {"flight": "NH 2"}]]
ROWS = "SELECT md5(string_agg(one::text, '' ORDER BY one::text)) FROM {table} AS one"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[wb.Bench]:
    with contextlib.closing(wb.open(tmp_path / "workbench.db")) as opened:
        yield opened


def recorded(bench: wb.Bench, url: str, name: str, *given: Any) -> wb.RecordedRun:
    """Run the agent `name` with PostgresSaver, and put its spans and its checkpoints into the store."""
    recorder = Recorder()
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        graph = getattr(replay_agents, name).copy(update={"checkpointer": saver})
        for one in given:
            graph.invoke(one, {"configurable": {"thread_id": "thread"}, "callbacks": [recorder]})
    bench.store.add(Origin(Path("spans"), hashlib.sha256(b"spans").hexdigest(), "otlp"), recorder.spans, lambda span: read(span).conversation_id)
    (run_id,) = bench.ingest(url).summary.runs
    return bench.run(run_id)


def asked(calls: list[Any]) -> dict[str, Any]:
    return {"messages": [("user", json.dumps(calls))]}


def rows(url: str) -> list[Any]:
    """What stands in the saver's tables."""
    with psycopg.connect(url) as connection:
        return [connection.execute(ROWS.format(table=table)).fetchone() for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes")]


def test_an_unchanged_replay_is_served_whole(bench: wb.Bench, postgres: Server, ledger: Path) -> None:
    """Every call of the replay is answered from the recording, no tool runs, the outcome is the same, and the server's rows are as they were."""
    url = postgres.create()
    run = recorded(bench, url, "graph", asked(TWO))
    before = ledger.read_text(), rows(url)
    forked = run.fork(0, trust=True, graph=f"{AGENTS}:graph")
    assert (ledger.read_text(), rows(url)) == before
    assert forked.receipt.calls.model_dump() == {"served": 4, "live": 0, "blocked": 0, "halted": 0, "answered": 0}
    assert forked.receipt.clean
    assert (forked.receipt.parent_intact, list(forked.receipt.parent_sha256)) == (True, [str(location(url))])
    assert forked.outcome == run.outcome
    assert [row for row in wb.compare(run, forked).comparison.rows if row.relation != "same"] == []


def test_a_changed_tool_result_leads_elsewhere(bench: wb.Bench, postgres: Server, ledger: Path) -> None:
    """From the middle of a thread, with its state spliced together, a changed result and a live model give another answer."""
    url = postgres.create()
    run = recorded(bench, url, "graph", asked(TWO))
    at = [step.index for step in run.steps if step.name == "book"][1]
    forked = run.fork(at, tool_result="no seat", live=["model"], trust=True, graph=f"{AGENTS}:graph")
    assert forked.outcome == "booked NH 1; no seat"
    assert forked.state(at)["messages"] == run.state(at)["messages"]


def test_a_fork_in_a_shared_store_keeps_its_own_thread_here(postgres: Server, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a store on a server, a fork's own thread stands in the folder one works in, and its states are fetched from there."""
    monkeypatch.chdir(tmp_path)
    store = postgres.create()
    with contextlib.closing(wb.open(store)) as bench:
        forked = recorded(bench, postgres.create(), "graph", asked(TWO)).fork(0, trust=True, graph=f"{AGENTS}:graph")
        assert forked.receipt.clean
        assert len(forked.state(forked.steps[-1].index)["messages"]) > 1
        assert bench.run(forked.run_id).receipt == forked.receipt
    assert [one.parent.name for one in tmp_path.rglob("*.sqlite")] == [f"{location(store).name}.forks"]


def test_another_question_is_asked_and_an_answer_served(bench: wb.Bench, postgres: Server, ledger: Path) -> None:
    """A question is answered from the recording when it is the same, and waits for a person when it is another: old answers stay in the server."""
    run = recorded(bench, postgres.create(), "approving", {**asked(TWO), "budget": 5}, Command(resume="go ahead"))
    again = run.fork(0, trust=True, graph=f"{AGENTS}:approving")
    assert [step.result for step in again.run.of_kind("human")] == [None, "go ahead"]
    at = next(step.index for step in run.steps if step.name == "approval")
    other = run.fork(at, state={"budget": 9000}, trust=True, graph=f"{AGENTS}:approving")
    assert (other.run.status, other.steps[-1].tool_call.arguments) == ("interrupted", {"question": {"question": "Spend 9000?"}})


def test_a_thread_that_grew_meanwhile_is_told(bench: wb.Bench, postgres: Server, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where production goes on with the thread during the fork, the receipt doesn't call it intact."""
    url = postgres.create()
    run = recorded(bench, url, "graph", asked(TWO))

    def ask_and_write(*given: Any) -> Any:
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE checkpoints SET metadata = metadata || '{\"seen\": true}'")
        return really_ask(*given)

    really_ask = process.ask
    monkeypatch.setattr(process, "ask", ask_and_write)
    assert not run.fork(0, trust=True, graph=f"{AGENTS}:graph").receipt.parent_intact
