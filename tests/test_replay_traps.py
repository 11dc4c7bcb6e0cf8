"""Where LangGraph's own time travel goes wrong without a word, a fork does it right."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command

from tests import replay_agents
from tests.replay_recording import AGENTS, Recorder, Recording, read, record
from workbench.comparison.comparison import compare
from workbench.model import Change


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What tools did for real."""
    path = tmp_path / "ledger.txt"
    path.touch()
    monkeypatch.setenv("LEDGER", str(path))
    return path


def asking(recording: Recording) -> int:
    return next(step.index for step in recording.run.of_kind("human") if step.tool_call)


def final_state(database: Path, graph: str, thread_id: str) -> dict[str, Any]:
    """The state of a thread as any LangGraph program finds it."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        found = getattr(replay_agents, graph).copy(update={"checkpointer": SqliteSaver(connection)})
        values: dict[str, Any] = found.get_state({"configurable": {"thread_id": thread_id}}).values
    return values


def test_stale_resume(tmp_path: Path) -> None:
    """Natively a new answer at an answered interrupt gives the old one again; in a fork, and in a fork of it, each new answer holds."""
    recording = record(tmp_path, "spending", [], answers=("yes",))
    with contextlib.closing(sqlite3.connect(recording.database, check_same_thread=False)) as connection:
        native = replay_agents.spending.copy(update={"checkpointer": SqliteSaver(connection)})
        config: Any = {"configurable": {"thread_id": "thread"}}
        asked = next(one for one in native.get_state_history(config) if one.interrupts)
        assert native.invoke(Command(resume={asked.interrupts[0].id: "no"}), asked.config)["said"] == "spent"
    first = recording.fork(asking(recording), Change(kind="answer", value="no"))
    assert final_state(tmp_path / "forks" / "fork.sqlite", "spending", "fork")["said"] == "kept"
    again = Recording(first.run, tmp_path / "forks" / "fork.sqlite", recording.graph)
    again.fork(asking(again), Change(kind="answer", value="yes"), run_id="second", scratch=tmp_path / "second.sqlite")
    assert final_state(tmp_path / "second.sqlite", "spending", "second")["said"] == "spent"


def test_reload_after_a_fork(tmp_path: Path) -> None:
    """Whoever opens the fork's thread finds what the fork came to, and nothing of the branch that was left; the recorded thread is as it was."""
    recording = record(tmp_path, "graph", [["book", {"flight": "NH 1"}]])
    before = [message.text for message in final_state(recording.database, "graph", "thread")["messages"]]
    recording.fork(recording.step("book"), Change(kind="tool_result", value="no seat"), live=("model",))
    texts = [message.text for message in final_state(tmp_path / "forks" / "fork.sqlite", "graph", "fork")["messages"]]
    assert texts[1:] == ["", "no seat", "no seat"]
    assert [message.text for message in final_state(recording.database, "graph", "thread")["messages"]] == before
    assert before[1:] == ["", "booked NH 1", "booked NH 1"]


def test_reused_run_id(tmp_path: Path) -> None:
    """Natively an input under a run id that the thread has is thrown away; a fork of such a thread is given each input that it was given then."""
    database, recorder = tmp_path / "checkpoints.sqlite", Recorder()
    with contextlib.closing(sqlite3.connect(database, check_same_thread=False)) as connection:
        saved = replay_agents.attentive.copy(update={"checkpointer": SqliteSaver(connection)})
        for run_id, text in (("a", "first"), ("b", "second")):
            config: Any = {"configurable": {"thread_id": "thread"}, "metadata": {"run_id": run_id}, "callbacks": [recorder]}
            saved.invoke({"messages": [("user", text)]}, config)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    recording = Recording(read(recorder.spans, database), database, f"{AGENTS}:attentive")
    forked = recording.fork(0)
    assert [row.relation for row in compare(recording.run, forked.run).rows] == ["same"] * len(recording.run.steps)
    assert [step.output.content for step in forked.run.of_kind("human") if step.output] == ["first", "second"]
