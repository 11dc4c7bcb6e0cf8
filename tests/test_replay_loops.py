"""A re-run is driven as the recorded run was, in an event loop or without one: code that only runs in one fails in the other as it never did."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command

import workbench as wb
from tests import replay_loops

CONFIG: Any = {"configurable": {"thread_id": "thread"}}
GIVEN = ({"messages": [("user", "ann")]}, Command(resume="yes"))


async def _in_a_loop(folder: Path, graph: Any, *, spans: bool) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(folder / "checkpoints.sqlite")) as saver:
        saved = graph.copy(update={"checkpointer": saver})
        with wb.record(saved, folder / "bench.db") if spans else contextlib.nullcontext(saved) as running:
            for one in GIVEN:
                await running.ainvoke(one, CONFIG)


def _directly(folder: Path, graph: Any, *, spans: bool) -> None:
    with contextlib.closing(sqlite3.connect(folder / "checkpoints.sqlite", check_same_thread=False)) as connection:
        saved = graph.copy(update={"checkpointer": SqliteSaver(connection)})
        with wb.record(saved, folder / "bench.db") if spans else contextlib.nullcontext(saved) as running:
            for one in GIVEN:
                running.invoke(one, CONFIG)


@contextlib.contextmanager
def recorded(folder: Path, name: str, *, loops: bool, spans: bool) -> Iterator[wb.RecordedRun]:
    """The recorded run of a graph of `replay_loops` that asks before it wires, and is told yes."""
    graph = getattr(replay_loops, name)
    asyncio.run(_in_a_loop(folder, graph, spans=spans)) if loops else _directly(folder, graph, spans=spans)
    with contextlib.closing(wb.open(folder / "bench.db")) as bench:
        bench.ingest(folder / "checkpoints.sqlite")
        yield bench.run("thread")


def refused(run: wb.RecordedRun, name: str) -> wb.RecordedRun:
    """The fork in which the person says no, and the tool's code runs."""
    asked = next(step.index for step in run.steps if step.name == "approval")
    tool = next(step.name for step in run.steps if step.kind == "tool")
    return run.fork(asked, answer="no", live=["model"], execute=[tool], graph=f"{replay_loops.__name__}:{name}", trust=True)


@pytest.mark.parametrize("spans", [True, False], ids=["spans", "checkpoints"])
@pytest.mark.parametrize("name", ["coroutine", "refusing"])
def test_a_tool_that_has_a_coroutine_alone(name: str, spans: bool, tmp_path: Path, ledger: Path) -> None:
    """Its code runs in an event loop, be that recorded or not: whoever was told no is not told of an error which the agent can never have had."""
    with recorded(tmp_path, name, loops=True, spans=spans) as run:
        before = ledger.read_text()
        fork = refused(run, name)
        assert (fork.outcome, fork.receipt.clean) == ("wired to ann: no", True)
        assert ledger.read_text() == before == "wire to ann\n"


@pytest.mark.parametrize("loops", [True, False])
def test_a_tool_that_has_both(loops: bool, tmp_path: Path, ledger: Path) -> None:
    """It runs as it did in the recorded run, which spans tell."""
    with recorded(tmp_path, "both", loops=loops, spans=True) as run:
        fork = refused(run, "both")
        way = "wired in a loop to" if loops else "wired without a loop to"
        assert (run.outcome, fork.outcome, fork.receipt.clean) == (f"{way} ann: yes", f"{way} ann: no", True)


@pytest.mark.parametrize("spans", [True, False], ids=["spans", "checkpoints"])
def test_a_tool_that_was_never_called_tells_nothing(spans: bool, tmp_path: Path, ledger: Path) -> None:
    """An agent whose middleware only runs directly was run so, whatever its other tools need."""
    with recorded(tmp_path, "beside", loops=False, spans=spans) as run:
        fork = refused(run, "beside")
        assert (fork.outcome, fork.receipt.clean) == ("wired without a loop to ann: no", True)


def test_a_tool_that_could_not_have_run(tmp_path: Path, ledger: Path) -> None:
    """Where the recorded run was made without a loop, a tool that is given a coroutine alone since then halts: it is no error of the agent's."""
    with recorded(tmp_path, "both", loops=False, spans=True) as run:
        fork = refused(run, "coroutine")
        assert fork.receipt.outcome.startswith("halted: tool wire")
        assert "only runs in an event loop" in fork.receipt.outcome
