"""What a cut copies of a thread, and what it leaves behind."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from workbench.model import Step
from workbench.replay.recording import cut


def step(checkpoint_id: str, namespace: str = "") -> Step:
    return Step(index=0, kind="node", name="n", namespace=namespace, checkpoint_id=checkpoint_id)


def rows(database: Path, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def ask(state: dict[str, Any]) -> dict[str, Any]:
    return {"said": interrupt("sure?")}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A thread that asked, was answered, and was then forked at its input by someone's `update_state`."""
    builder = StateGraph(dict)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    path = tmp_path / "checkpoints.sqlite"
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        graph = builder.compile(checkpointer=SqliteSaver(connection))
        config: Any = {"configurable": {"thread_id": "t", "user": "ada"}}
        graph.invoke({"said": ""}, config)
        graph.invoke(Command(resume="yes"), config)
        first = list(graph.get_state_history(config))[-1]
        graph.update_state(first.config, {"said": "forked"}, as_node="ask")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


def asking(database: Path) -> str:
    """The checkpoint at which the thread stopped to ask."""
    return str(rows(database, "SELECT checkpoint_id FROM writes WHERE channel = '__interrupt__'")[0][0])


def test_ancestors_only(database: Path, tmp_path: Path) -> None:
    """Only the ancestors of the cut are copied, by the parent chain: neither what came after, nor an abandoned fork."""
    found = cut.locate([database], "t", step(asking(database)))
    cut.copy(found, tmp_path / "scratch.sqlite", "fork")
    assert len(rows(database, "SELECT 1 FROM checkpoints")) == 4
    assert rows(tmp_path / "scratch.sqlite", "SELECT thread_id, json_extract(metadata, '$.step') FROM checkpoints ORDER BY 2") == [("fork", -1), ("fork", 0)]


def test_stale_answers(database: Path, tmp_path: Path) -> None:
    """Questions and answers at the cut are left behind, so that an old yes can't answer a new question."""
    assert {channel for (channel,) in rows(database, "SELECT channel FROM writes")} >= {"__interrupt__", "__resume__"}
    found = cut.locate([database], "t", step(asking(database)))
    cut.copy(found, tmp_path / "scratch.sqlite", "fork")
    assert rows(tmp_path / "scratch.sqlite", f"SELECT * FROM writes WHERE checkpoint_id = '{found.at[1]}'") == []


def test_configurable(database: Path) -> None:
    """What the run was configured with is known again, without LangGraph's own keys and the run id."""
    found = cut.locate([database], "t", step(asking(database)))
    assert found.noted(found.at) == {"user": "ada"}


def test_nowhere(database: Path) -> None:
    """A checkpoint that no database holds is an error that names it and where it was looked for."""
    with pytest.raises(cut.CutError, match=rf"no recorded database holds checkpoint nope of a:1 \(looked in: {database}\)"):
        cut.locate([database], "t", step("nope", "a:1"))


def test_bytes(database: Path, tmp_path: Path) -> None:
    """Cutting leaves the recorded database as it was, and no file beside it."""
    before = database.read_bytes(), list(tmp_path.iterdir())
    cut.copy(cut.locate([database], "t", step(asking(database))), tmp_path / "scratch.sqlite", "fork")
    assert (database.read_bytes(), [one for one in tmp_path.iterdir() if one.name != "scratch.sqlite"]) == before


def test_old_schema(database: Path, tmp_path: Path) -> None:
    """A database from before tasks had paths is cut too."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("ALTER TABLE writes DROP COLUMN task_path")
    last = rows(database, "SELECT checkpoint_id FROM checkpoints WHERE json_extract(metadata, '$.step') = 1 ORDER BY 1")[0][0]
    cut.copy(cut.locate([database], "t", step(last)), tmp_path / "scratch.sqlite", "fork")
    assert rows(tmp_path / "scratch.sqlite", "SELECT DISTINCT task_path FROM writes") == [("",)]
