"""`%load_ext workbench`: a cell's agent is recorded, and the incident shown. `workbench lab` opens a notebook over a store."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from langchain_core.messages import AIMessage
from langgraph.types import Command
from opentelemetry.util._once import Once
from psycopg_pool import ConnectionPool

import workbench as wb
from sample_traces.record import HERE
from tests.postgres import Server
from tests.test_cli import run as command
from tests.test_live_recorder import CONFIG, agent, calling
from workbench.database import connect, location
from workbench.live.checkpointers import place_of
from workbench.magics import Recorded
from workbench.report.markup import STILL


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """IPython in an empty folder, with the extension loaded and an agent that books and then asks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", None)  # a process can set it once, and other tests want none
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # the shell puts its own there, and other tests start processes from it
    made = InteractiveShell()
    made.history_manager.enabled = False
    made.run_line_magic("load_ext", "workbench")
    answers = calling("book_flight", flight="NH 1"), calling("cancel_flight", flight="NH 1", idempotency_key="k1"), AIMessage("done")
    made.user_ns |= {"graph": agent(*answers), "CONFIG": CONFIG, "Command": Command}
    yield made
    made.reset(new_session=False)


def result(shell: InteractiveShell, cell: str) -> ExecutionResult:
    done: ExecutionResult = shell.run_cell(cell)
    return done


def recorded(shell: InteractiveShell, line: str, cell: str) -> Recorded:
    made: Recorded = shell.run_cell_magic("record", line, cell)
    return made


def test_a_cells_agent_is_recorded(shell: InteractiveShell, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Two cells that start and resume a graph make one run, with what no convention carries; a plain OpenTelemetry span is kept too."""
    first = recorded(shell, "cell.db --agent clerk", 'graph.invoke({"messages": [("user", "book")]}, CONFIG)')
    again = recorded(shell, "cell.db", 'graph.invoke(Command(resume="yes"), CONFIG)')
    assert [one.run_ids for one in (first, again)] == [["trip"], ["trip"]]
    run = again.run.run
    tools = [(step.name, step.invocation, step.status) for step in run.of_kind("tool")]
    assert tools == [("book_flight", 0, "ok"), ("cancel_flight", 0, "interrupted"), ("cancel_flight", 1, "ok")]
    assert run.steps[-1].decision.alternatives == ("book_flight", "cancel_flight")
    assert [effect.idempotency_key for effect in again.run.effects if effect.tool == "cancel_flight"] == ["k1"]
    plain = "trace.get_tracer('mine').start_span('invoke_agent x', attributes={'gen_ai.operation.name': 'invoke_agent'}).end()"
    mine = recorded(shell, "cell.db", f"from opentelemetry import trace\n{plain}")
    assert (len(mine.run_ids), "trip" in mine.run_ids) == (1, False)
    assert "1 run" in repr(mine)
    assert mine.run_ids[0] in mine._repr_html_()
    assert type(mine._repr_html_()) is str  # marimo sends no subclass of it
    result(shell, plain)
    assert wb.open("cell.db").runs().height == 2
    assert [path.name for path in tmp_path.glob("*.db")] == ["cell.db"]


BOOKS = """
import sqlite3
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from tests import replay_agents
saver = {saver}
agent = replay_agents.graph.copy(update={{"checkpointer": saver}})
answer = agent.invoke({{"messages": [("user", '[["book", {{"flight": "AF7"}}]]')]}}, {{"configurable": {{"thread_id": 7}}}})
getattr(saver, "conn", None) and saver.conn.close()
"""
FORK = '_.run.fork(STEP, graph="tests.replay_agents:graph")'


@pytest.mark.parametrize("saver", ["InMemorySaver()", 'SqliteSaver(sqlite3.connect("agent.sqlite", check_same_thread=False))'])
def test_a_recorded_cell_can_be_forked(shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saver: str):
    """The thread's checkpoints are stored with its spans, of a file that is closed by then and of memory alike; the line that is offered forks it.

    Deleting the run deletes the copy, and no database of the user's.
    """
    monkeypatch.setenv("LEDGER", str(tmp_path / "ledger"))
    made = recorded(shell, "cell.db", BOOKS.format(saver=saver))
    place = tmp_path / "agent.sqlite" if "SqliteSaver" in saver else next(Path("cell.db.forks").glob("*.sqlite"))
    assert made.says == (f"7: spans and 5 checkpoints ({place}{'' if 'SqliteSaver' in saver else ', copied from InMemorySaver'}); fork it by {FORK}",)
    assert FORK in repr(made)
    assert "5 checkpoints" in made._repr_html_()
    run = made.run
    assert [(one.name, one.status) for one in run.run.of_kind("tool")] == [("book", "ok")]
    book = next(one for one in run.steps if one.name == "book")
    assert run.state(book.index)["messages"]
    fork = run.fork(book.index, tool_result="sold out", graph="tests.replay_agents:graph", live=["model"])
    assert "sold out" in fork.outcome
    assert (tmp_path / "ledger").read_text().splitlines().count("book AF7") == 1
    made.bench.delete("7", dependants=True)
    assert place.exists() == ("SqliteSaver" in saver)


def test_what_is_missing_for_a_fork_is_told(shell: InteractiveShell):
    """A graph that only the notebook holds, one without a checkpointer, and a cell without a thread: each is told, and the spans are kept."""
    here = recorded(shell, "cell.db", 'graph.invoke({"messages": [("user", "book")]}, CONFIG)')
    assert 'move its graph from this notebook into a module, which a re-run imports: _.run.fork(STEP, graph="your_module:graph")' in here.says[0]
    bare = recorded(shell, "cell.db", BOOKS.format(saver="None").replace('"thread_id": 7', '"thread_id": "bare"'))
    assert bare.says == ("bare: spans alone are recorded, so that it can't be forked: its graph has no checkpointer",)
    assert bare.run_ids == ["bare"]
    assert "no LangGraph graph was called with a thread_id" in recorded(shell, "cell.db", "1 + 1").says[0]
    secret = recorded(shell, "cell.db", 'graph.invoke({"messages": [("user", "my password: hunter2zz")]}, CONFIG)')
    assert re.fullmatch(r"redacted \d+ × secret", secret.says[1])


def test_a_cell_that_awaits_is_refused(shell: InteractiveShell):
    """In a notebook's running event loop such a cell would never run: the magic says so, and what to write instead."""

    async def as_in_a_kernel() -> None:
        with pytest.raises(UsageError, match=r"with wb\.record"):
            recorded(shell, "cell.db", "await anything()")

    asyncio.run(as_in_a_kernel())


def test_the_database_of_a_connection_is_known(postgres: Server):
    """What a connection or pool of PostgreSQL writes to is found without its password in the name; a connection that is closed is none."""
    database = location(postgres.create())
    with connect(database) as connection, ConnectionPool(connection.info.dsn, kwargs={"password": connection.info.password}, min_size=1) as pool:
        for one in (connection, pool):
            found = place_of(SimpleNamespace(conn=one))
            assert "password" not in str(found)
            with connect(found) as again:
                assert again.info.dbname == connection.info.dbname
    assert place_of(SimpleNamespace(conn=connection)) is None


def test_a_cell_that_fails_says_what_is_recorded(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]):
    """The cell's own error is shown, and the magic fails with what was recorded until then, so that running all cells stops there."""
    done = result(shell, '%%record cell.db\ngraph.invoke({"messages": [("user", "book")]}, CONFIG)\n1 / 0')
    assert isinstance(done.error_in_exec, UsageError)
    assert "what it did until then is recorded: trip" in str(done.error_in_exec)
    assert "ZeroDivisionError" in capsys.readouterr().out
    nothing = recorded(shell, "cell.db", "1 + 1")
    with pytest.raises(LookupError, match="the cell made no run"):
        _ = nothing.run


def test_a_frame_is_no_mathematics(shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Once a store is open, a notebook shows frames in an element that MathJax passes over, and shows them as the user asked where they did."""
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    frame, formatter = pl.DataFrame({"said": ["$x$"]}), shell.display_formatter.formatters["text/html"]
    wb.open(tmp_path / "workbench.db").close()
    assert formatter(frame).startswith(f'<div class="{STILL}"><div><style>')
    formatter.for_type(pl.DataFrame, lambda _: "as I like it")
    wb.open(tmp_path / "workbench.db").close()
    assert formatter(frame) == "as I like it"


def test_the_incident_is_shown(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch):
    """`%incident` takes a store, else the variable `bench`, else WORKBENCH_STORE, and the scope of an incident."""
    shell.user_ns["bench"] = wb.open("mine.db")
    shell.user_ns["bench"].ingest(HERE / "booked_twice")
    assert "1 of 1 run affected" in repr(result(shell, "%incident --name 'Charged twice'").result)
    monkeypatch.setenv("WORKBENCH_STORE", "mine.db")
    del shell.user_ns["bench"]
    assert result(shell, "%incident --agent travel-agent").result.incident.affected == ("booked-twice",)
    assert "0 of 0" in repr(result(shell, "%incident other.db").result)
    assert isinstance(result(shell, "%incident --nope").error_in_exec, UsageError)


def test_lab_opens_a_notebook_over_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is made once beside the store, runs from top to bottom, and is never overwritten; without a store it is the first notebook."""
    started: list[tuple[list[str], str | None]] = []
    real = subprocess.run
    asked = lambda line, **given: started.append((line, given["env"].get("WORKBENCH_STORE"))) or real(["true"], check=False)  # noqa: E731  # in place of Lab
    monkeypatch.setattr("workbench.cli.notebooks.subprocess.run", asked)
    monkeypatch.delenv("WORKBENCH_STORE", raising=False)
    monkeypatch.setattr("workbench.cli.terminal.PIPED_WIDTH", 500)
    store, made = tmp_path / 'an "odd" name.db', tmp_path / 'an "odd" name.ipynb'
    command("ingest", HERE / "booked_twice", "--store", store)
    assert "it is yours" in command("lab", "--store", store, "--no-browser")
    assert started[0][0][3:5] == [f"--ServerApp.root_dir={tmp_path}", "--LabApp.default_url=/lab/tree/an%20%22odd%22%20name.ipynb"]
    assert started[0][1] == str(store)
    names: dict[str, object] = {}
    monkeypatch.chdir(tmp_path)
    for cell in json.loads(made.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]).removeprefix("%load_ext workbench\n"), names)  # what we have just written
    assert names["run"].run_id == "booked-twice"  # type: ignore[attr-defined]  # a RecordedRun
    made.write_text("mine", "utf-8")
    command("lab", "--store", store, "--no-browser")
    assert made.read_text("utf-8") == "mine"
    command("lab", "--no-browser")
    assert started[-1][0][4] == "--LabApp.default_url=/lab/tree/00_start_here.ipynb"
    assert "there is no store" in command("lab", "--store", tmp_path / "no.db", status=2)
