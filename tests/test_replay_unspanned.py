"""Runs that only a checkpoint database tells of, without any span: their steps, their replays, and what can be changed in them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

import workbench as wb
from tests import replay_shapes
from tests.replay_shapes import SHAPES

pytestmark = pytest.mark.usefixtures("ledger")
CONFIG = {"configurable": {"thread_id": "thread"}}


@contextlib.contextmanager
def recorded(name: str, folder: Path) -> Iterator[wb.RecordedRun]:
    """A shape's run, of which there are checkpoints and nothing else."""
    path, shape = folder / "checkpoints.sqlite", SHAPES[name]()
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        asyncio.run(shape.record(shape.graph.copy(update={"checkpointer": SqliteSaver(connection)}), CONFIG))
    with contextlib.closing(wb.open(folder / "bench.db")) as bench:
        bench.ingest(path)
        yield bench.run("thread")


def graph_of(name: str) -> str:
    return f"{replay_shapes.__name__}:shape_{name}"


def differing(run: wb.RecordedRun, forked: wb.RecordedRun) -> list[object]:
    return [row for row in wb.compare(run, forked).comparison.rows if row.relation != "same"]


def test_messages_that_are_written_again_are_no_new_steps(tmp_path: Path) -> None:
    """What a middleware writes again behind a summary is told once, in the run and in forks before, at and after it; the run came to its last answer."""
    with recorded("summarising", tmp_path) as run:
        calls = [(step.kind, step.name) for step in run.steps if step.kind in ("model", "tool")]
        assert calls == [("model", "model"), ("tool", "book"), ("model", "model"), ("tool", "book"), ("model", "model"), ("tool", "Plan")]
        assert run.outcome == '{"city": "Kyoto", "nights": 2}'
        middle = [step.index for step in run.steps if step.name.startswith("Summarization")]
        for at in (0, middle[-1], middle[-1] + 1):
            forked = run.fork(at, graph=graph_of("summarising"), trust=True)
            assert differing(run, forked) == []
            assert (forked.receipt.clean, forked.outcome) == (True, run.outcome)
