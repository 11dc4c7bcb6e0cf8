"""What each start of a run was configured with (configurable, metadata, tags, recursion limit) is what the same start of its re-run is configured with."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.errors import GraphRecursionError

import workbench as wb
from tests import replay_configs

THREAD: dict[str, Any] = {"thread_id": "thread"}
ANY = {"graph": f"{replay_configs.__name__}:prompting", "trust": True, "live": ["model"], "execute": ["*"]}
"""How a re-run is asked for in which nothing is served: all that it says is made of what its starts are given."""


@contextlib.contextmanager
def recorded(folder: Path, does: Callable[[Any], None], name: str, *, spans: bool) -> Iterator[wb.RecordedRun]:
    """The recorded run of what somebody does with a graph."""
    path, graph = folder / "checkpoints.sqlite", getattr(replay_configs, name)
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        saved = graph.copy(update={"checkpointer": SqliteSaver(connection)})
        with wb.record(saved, folder / "bench.db") if spans else contextlib.nullcontext(saved) as running:
            does(running)
    with contextlib.closing(wb.open(folder / "bench.db")) as bench:
        bench.ingest(path)
        yield bench.run("thread")


def started(text: str = "hello", configurable: dict[str, Any] | None = None, **config: Any) -> Callable[[Any], None]:
    """Something that is said to a graph configured so."""
    return lambda graph: graph.invoke({"messages": [("user", text)]}, {"configurable": {**THREAD, **(configurable or {})}, **config})


def said(run: wb.RecordedRun) -> list[str]:
    return [message["content"] for message in run.final_state()["messages"] if message["type"] == "ai"]


ACME = started(configurable={"tenant": "acme", "limits": {"usd": 4}}, metadata={"plan": "free", "owner": {"name": "Ada"}}, tags=["prod"])
EVIL = started(configurable={"tenant": "evil"}, metadata={"plan": "paid"}, tags=["test", "slow"])


def both(graph: Any) -> None:
    """Two turns, each configured otherwise."""
    ACME(graph)
    EVIL(graph)


def test_each_start_is_configured_as_it_was(tmp_path: Path) -> None:
    """A recorder's re-runs are given the configurable, metadata and tags of the very start, whatever type of value; nothing is left to be told."""
    with recorded(tmp_path, both, "bound", spans=True) as run:
        assert said(run) == ["heard acme {'usd': 4} free {'name': 'Ada'} ['bound', 'prod']", "heard evil None paid None ['bound', 'test', 'slow']"]
        for at in [step.index for step in run.steps]:
            anew = run.fork(at, **{**ANY, "graph": f"{replay_configs.__name__}:bound"})
            assert (said(anew), anew.receipt.notes) == (said(run), ())
        again = anew.fork(1, **{**ANY, "graph": f"{replay_configs.__name__}:bound"})
        assert said(again) == said(run)


def test_as_far_as_checkpoints_tell(tmp_path: Path) -> None:
    """Without spans, what checkpoints note of a start is given to that start; what they don't and the code reads is named."""
    with recorded(tmp_path, both, "prompting", spans=False) as run:
        anew = run.fork(0, **ANY)
    assert said(anew) == ["heard acme None free None None", "heard evil None paid None None"]
    (note,) = anew.receipt.notes
    assert (
        "code looks up configurable['database'], configurable['limits'], metadata['owner'], tags, which was not recorded, if there was such (wb.record does)"
        in note
    )


def test_what_cant_be_written_down(tmp_path: Path) -> None:
    """What a start was configured with and can't be written down halts whoever asks for it, by its name."""
    database = SimpleNamespace(name="orders")
    with recorded(tmp_path, started(configurable={"database": database}), "querying", spans=True) as run:
        halted = run.fork(0, **{**ANY, "graph": f"{replay_configs.__name__}:querying"})
    assert "what the start's configurable held as 'database', a types.SimpleNamespace, can't be written down, so it is not there" in halted.outcome


def test_redacted(tmp_path: Path) -> None:
    """What was redacted as it was recorded is given as what stands for it, and told; what checkpoints keep is taken from these, as the state is."""
    key = "sk-proj-" + "Ab3" * 12
    with recorded(tmp_path, started(metadata={"plan": key, "owner": {"api_key": key}}), "prompting", spans=True) as run:
        anew = run.fork(0, **ANY)
        assert key not in str([one.attributes for one in run.bench.store.spans(step.trace_id for step in run.steps if step.trace_id)])
    assert anew.receipt.notes == ("what the start's metadata held as 'owner' was redacted when it was recorded: code that reads it finds what stands for it",)
    assert said(anew) == said(run)


@pytest.mark.parametrize("spans", [True, False], ids=["spans", "checkpoints"])
def test_a_graph_made_by_the_config(tmp_path: Path, *, spans: bool) -> None:
    """A function that makes the graph by the config, as on LangGraph's platform, is given that of the first start; that another one had another is told."""
    made = {**ANY, "graph": f"{replay_configs.__name__}:made"}
    with recorded(tmp_path, both, "acme", spans=spans) as run:
        first = next(step.index for step in run.steps if step.name != "user")
        anew = run.fork(first, **made)
        assert said(anew) == ["heard for acme", "heard for acme"]
        assert "1 of those after it had another, and run the same graph" in anew.receipt.notes[0]
        again = run.fork(len(run.steps) - 1, **made)
        assert said(again) == ["heard for acme", "heard for evil"]


# ---- how far a start may go


def limited(graph: Any) -> None:
    """A start that meets its limit, and one without that goes on."""
    with contextlib.suppress(GraphRecursionError):
        graph.invoke({"done": 0}, {"configurable": THREAD, "recursion_limit": 2})
    graph.invoke(None, {"configurable": THREAD})


def then_more(graph: Any) -> None:
    """The same, and another turn."""
    limited(graph)
    graph.invoke({"done": -5}, {"configurable": THREAD, "recursion_limit": 40})


@pytest.mark.parametrize(
    ("does", "name", "spans"),
    [(limited, "working", True), (limited, "working", False), (then_more, "working", True), (then_more, "working", False), (limited, "nesting", True)],
)
def test_each_start_has_its_own_limit(does: Callable[[Any], None], name: str, tmp_path: Path, *, spans: bool) -> None:
    """The recursion limit that ended one start ends no later one; where a fork is cut, what is left of it is left."""
    graph = f"{replay_configs.__name__}:{name}"
    with recorded(tmp_path, does, name, spans=spans) as run:
        for at in (0, 1, len(run.steps) - 1):
            replayed = run.fork(at, graph=graph, trust=True)
            assert (replayed.receipt.clean, replayed.run.status, replayed.final_state()) == (True, run.run.status, run.final_state())
            assert [row for row in wb.compare(run, replayed).comparison.rows if row.relation != "same"] == []
        changed = run.fork(1, **{**ANY, "graph": graph}, state={"done": 3})
        assert changed.run.status == "ok"


def test_a_limit_that_nobody_recorded(tmp_path: Path) -> None:
    """Where checkpoints alone tell of a start that met its limit, it ends where the state was then updated: not before, and not behind it."""

    def correct(graph: Any) -> None:
        with contextlib.suppress(GraphRecursionError):
            graph.invoke({"done": 0}, {"configurable": THREAD, "recursion_limit": 2})
        graph.update_state({"configurable": THREAD}, {"done": 1}, as_node="work")
        graph.invoke(None, {"configurable": THREAD})

    with recorded(tmp_path, correct, "working", spans=False) as run:
        replayed = run.fork(0, graph=f"{replay_configs.__name__}:working", trust=True)
        assert (replayed.receipt.clean, replayed.final_state()) == (True, run.final_state())
