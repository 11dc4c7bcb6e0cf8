"""Records an agent of `replay_agents` as production would: a SQLite checkpointer, and a callback handler that writes GenAI spans."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command

from tests import replay_agents
from workbench.model import Change, Checkpoint, Run, Span, SpanEvent, canonical
from workbench.normalise import normalise
from workbench.plugins import collectors
from workbench.replay.forking import Forked, fork
from workbench.source import Source

AGENTS = Path(replay_agents.__file__)


class Recorder(BaseCallbackHandler):
    """Spans of model and tool calls, as an instrumentor writes them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.open: dict[UUID, Span] = {}
        self.roots = 0

    def on_chat_model_start(self, serialized: Any, messages: list[list[BaseMessage]], *, run_id: UUID, metadata: Any = None, **kwargs: Any) -> None:
        """A model call begins."""
        given = json.dumps([message.model_dump(mode="json") for message in messages[0]])
        self._start(run_id, "scripted", metadata, {"gen_ai.operation.name": "chat", "openinference.span.kind": "LLM", "gen_ai.input.messages": given})

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A model has answered."""
        answer = response.generations[0][0].message
        self._end(run_id, {"gen_ai.output.messages": json.dumps([answer.model_dump(mode="json")])})

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: UUID, metadata: Any = None, inputs: Any = None, **kwargs: Any) -> None:
        """A tool call begins."""
        name = serialized["name"]
        given = {
            "gen_ai.operation.name": "execute_tool",
            "openinference.span.kind": "TOOL",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.arguments": json.dumps(inputs),
        }
        self._start(run_id, name, metadata, given | ({"gen_ai.tool.call.id": kwargs["tool_call_id"]} if kwargs.get("tool_call_id") else {}))

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A tool has returned."""
        said = output.content if isinstance(output, BaseMessage) else output
        self._end(run_id, {"gen_ai.tool.call.result": said if isinstance(said, str) else json.dumps(said)})

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A tool has raised."""
        self._end(run_id, {}, error)

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """The graph is started or resumed; what runs inside it is no span of its own."""
        if parent_run_id is None:
            self.roots += 1
            self._start(run_id, "agent", None, {"gen_ai.operation.name": "invoke_agent", "openinference.span.kind": "AGENT"})

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """The graph has ended or stopped."""
        if run_id in self.open:
            self._end(run_id, {})

    def _start(self, run_id: UUID, name: str, metadata: Any, attributes: dict[str, Any]) -> None:
        number = len(self.spans) + len(self.open) + 1
        where = {key: value for key, value in (metadata or {}).items() if key in ("langgraph_checkpoint_ns", "langgraph_node", "thread_id")}
        found = attributes | {"metadata": json.dumps(where)}
        trace_id, root = f"{self.roots:032x}", f"{self.roots:016x}"
        span_id, parent = (root, None) if name == "agent" else (f"ff{number:014x}", root)
        self.open[run_id] = Span(trace_id=trace_id, span_id=span_id, parent_span_id=parent, name=name, start_ns=time.time_ns(), attributes=found)

    def _end(self, run_id: UUID, attributes: dict[str, Any], error: BaseException | None = None) -> None:
        span = self.open.pop(run_id)
        raised = (SpanEvent(name="exception", attributes={"exception.type": type(error).__name__, "exception.message": str(error)}),) if error else ()
        ended = {"end_ns": time.time_ns(), "attributes": span.attributes | attributes, "status": "error" if error else "ok", "events": raised}
        self.spans.append(span.model_copy(update=ended))


@dataclass(frozen=True)
class Recording:
    """A recorded run and its database."""

    run: Run
    database: Path
    graph: str

    def fork(self, at: int, change: Change | None = None, **options: Any) -> Forked:
        """Fork it, with what most tests have in common: the code of nodes runs, where it would be served from what they wrote."""
        options = {
            "execute": ("*",),
            "graph": self.graph,
            "run_id": "fork",
            "databases": [self.database],
            "scratch": self.database.with_name("forks") / "fork.sqlite",
        } | options
        return fork(self.run, at=at, change=change or Change(), **options)

    def step(self, name: str, number: int = 0) -> int:
        """The index of the step of this name, the first unless a number is given; of calls made at once, by their arguments: they begin in any order."""
        begun: dict[str | None, int] = {}
        for one in self.run.steps:
            begun.setdefault(one.checkpoint_id, one.index)
        named = [one for one in self.run.steps if one.name == name]
        return sorted(named, key=lambda one: (begun[one.checkpoint_id], canonical(one.tool_call and one.tool_call.arguments), one.index))[number].index


def record(folder: Path, name: str, calls: list[Any], *, answers: tuple[Any, ...] = (), **state: Any) -> Recording:
    """Run the agent `name` for real: the user asks for these calls, and answers what it is asked."""
    database, recorder = folder / "checkpoints.sqlite", Recorder()
    config: Any = {"configurable": {"thread_id": "thread"}, "callbacks": [recorder]}
    given = [{"messages": [("user", json.dumps(calls))], **state}, *(Command(resume=answer) for answer in answers)]
    graph = getattr(replay_agents, name)
    if name in ("loop", "hasty"):
        asyncio.run(_run_later(graph, database, given, config))
    else:
        with contextlib.closing(sqlite3.connect(database, check_same_thread=False)) as connection:
            saved = graph.copy(update={"checkpointer": SqliteSaver(connection)})
            for one in given:
                saved.invoke(one, config)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return Recording(read(recorder.spans, database), database, f"{AGENTS}:{name}")


async def _run_later(graph: Any, database: Path, given: list[Any], config: Any) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(database)) as saver:
        saved = graph.copy(update={"checkpointer": saver})
        for one in given:
            await saved.ainvoke(one, config)


def read(spans: list[Span], database: Path) -> Run:
    """The run in these spans and this database."""
    source = Source(database)
    collector = next(one for one in collectors().values() if one.state and one.accepts(source))
    return normalise(spans, [one for one in collector.collect(source) if isinstance(one, Checkpoint)])[0]
