"""Runs that only a checkpoint database tells of, without any span: their steps, their replays, and what can be changed in them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

import workbench as wb
from tests import replay_shapes
from tests.replay_shapes import SHAPES
from workbench.model import Change
from workbench.replay import ForkError
from workbench.replay.assembly import CALLS_UNKNOWN
from workbench.replay.protocol import Answer
from workbench.replay.receipts import CHECKS, Proof

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


@pytest.fixture
def insisting(tmp_path: Path) -> Iterator[wb.RecordedRun]:
    """An agent that books until that has not failed, and then asks a person."""
    with recorded("insisting", tmp_path) as run:
        yield run


def forked(run: wb.RecordedRun, at: int, **asked: Any) -> wb.RecordedRun:
    return run.fork(at, graph=graph_of("insisting"), trust=True, **asked)


@pytest.mark.parametrize("asked", [{"system": "Be brief."}, {"model": {"turns": []}}, {"tools": []}])
def test_a_model_step_of_plain_checkpoints_is_changed(insisting: wb.RecordedRun, ledger: Path, asked: dict[str, Any]) -> None:
    """What the model is told, its settings and its tools are met by the call of the step, whose node runs for it with the model live and its tools fenced."""
    before = ledger.read_text()
    fork = forked(insisting, 1, live=["model"], **asked)
    assert ledger.read_text() == before
    assert [check.says for check in fork.receipt.checks if check.name == "change met"] == ["the change was met"]
    assert (fork.receipt.clean, fork.receipt.calls.live > 0, fork.outcome) == (True, True, insisting.outcome)


def test_a_model_inside_a_subgraph_stands_where_it_was(tmp_path: Path) -> None:
    """A live answer of a model in an agent of the graph stands behind what that agent did before it; a model named in the fork alone is no other."""
    with recorded("insisting_inside", tmp_path) as run:
        for step in [step.index for step in run.steps if step.kind == "model"]:
            fork = run.fork(step, graph=graph_of("insisting_inside"), trust=True, live=["model"], system="Be brief.")
            assert (fork.steps[step].kind, fork.steps[step].notes, differing(run, fork)) == ("model", ("live",), [])


@pytest.mark.parametrize("live", ["model", "model:Insistent"])
def test_a_model_of_plain_checkpoints_thinks_anew_where_nothing_changes(insisting: wb.RecordedRun, live: str) -> None:
    """Named as live, it is asked at each of its steps, and where a node keeps its words alone: what was written then is not served in its place."""
    fork = forked(insisting, 1, live=[live], approve=["Insistent"] if ":" in live else ())
    steps = [step.index for step in insisting.steps[1:] if step.kind == "model" or step.name == "concludes"]
    assert (fork.receipt.calls.live, fork.receipt.clean) == (len(steps), True)


def test_a_node_that_runs_stands_beside_its_calls(insisting: wb.RecordedRun) -> None:
    """A node whose recorded calls nobody knows faces itself where it runs in a fork; its calls, which are there alone, are told as such."""
    fork = forked(insisting, 1, live=["model"])
    at = next(step.index for step in insisting.steps if step.name == "concludes")
    rows = wb.compare(insisting, fork).comparison.rows
    facing = next(fork.step(row.right) for row in rows if row.left == at and row.right is not None)
    assert (facing.kind, facing.name, facing.changes.keys()) == ("node", "concludes", insisting.step(at).changes.keys())
    alone = [fork.step(row.right) for row in rows if row.left is None and row.right is not None]
    assert [(step.kind, step.node, CALLS_UNKNOWN in step.notes) for step in alone] == [("model", "concludes", True)]
    assert [row for row in rows if row.relation == "removed"] == []
    assert [note for note in fork.receipt.notes if "concludes" in note] == [
        "what concludes called was not recorded: 1 calls stand in this fork alone, which a comparison shows as added"
    ]


def test_a_live_model_that_nobody_asked_is_told(insisting: wb.RecordedRun) -> None:
    """An unchanged re-run that names a model as live and has no call of it shows nothing of that model, and is not clean."""
    proof = Proof(insisting.run, insisting.run, 1, range(1, 7), Change(), ("model",), Answer(ended="done"), (), {}, intact=True, history=("", ""))
    says = CHECKS["model answered"](proof)
    assert says == (False, "the model was to think anew at step 1, and was not asked at all")
    assert CHECKS["model answered"](replace(proof, live=()))[0] is None


@pytest.mark.parametrize(("asked", "says"), [({"model": {"temperatur": 0}}, "has no setting 'temperatur'"), ({"tools": ["nix"]}, "no tool 'nix' is offered")])
def test_a_name_that_nothing_has_is_told(insisting: wb.RecordedRun, asked: dict[str, Any], says: str) -> None:
    """A setting or a tool that the model of plain checkpoints does not have halts the fork, with those that it has."""
    fork = forked(insisting, 1, live=["model"], **asked)
    assert not fork.receipt.clean
    assert says in str(fork.receipt)


def test_what_was_never_recorded_is_not_said_to_be_empty(insisting: wb.RecordedRun) -> None:
    """Where no span tells what a model was shown, a change of a message is refused for that reason, and a simulation says that it lacks a system prompt."""
    with pytest.raises(ForkError, match=r"what step 1 \(model\) was shown was not recorded: no span of the call .* Change that \(state=…, --state\)"):
        forked(insisting, 1, message={"index": 0, "content": "Nara"})
    lacking = "step 1 was not recorded: the history was put together from the steps"
    notes = [insisting.simulate(1, replay_shapes.Insistent(), **asked).receipt.notes[-1] for asked in ({}, {"system": "Be brief."})]
    assert [(lacking in note, "A system prompt" in note) for note in notes] == [(True, True), (True, False)]


def test_a_fault_of_a_model_without_a_span_is_met(insisting: wb.RecordedRun) -> None:
    """A fault at a model step of plain checkpoints strikes the call, though its answer could only be served with its node."""
    fork = forked(insisting, 1, fault="error")
    assert [check.says for check in fork.receipt.checks if check.name == "change met"] == ["the change was met"]
    assert fork.outcome.startswith("error: RuntimeError")


def test_a_call_that_hands_over_is_replayed(tmp_path: Path, ledger: Path) -> None:
    """A tool that ends its subgraph for another agent stands behind the model call that asked for it, and is served to go on where it went, also in a fork."""
    with recorded("hand_over", tmp_path) as run:
        before = ledger.read_text()
        assert [(step.kind, step.name) for step in run.steps[1:5]] == [("node", "first"), ("model", "model"), ("tool", "hand_over"), ("node", "second")]
        assert [step.name for step in run.steps].count("hand_over") == 1
        for at in (0, 3):
            forked = run.fork(at, graph=graph_of("hand_over"), trust=True)
            assert differing(run, forked) == []
            assert (forked.receipt.clean, forked.receipt.calls.halted, forked.outcome) == (True, 0, run.outcome)
        assert ledger.read_text() == before


def test_a_failure_that_is_handled(tmp_path: Path) -> None:
    """A node that failed and its error handler are two steps, each by its name, and both are done again; what follows sees the same error."""
    with recorded("handling", tmp_path) as run:
        steps = [(step.node, step.status) for step in run.steps]
        sent = [("seat", "error"), ("seat", "error"), ("__error_handler__seat", "ok"), ("__error_handler__seat", "ok")]
        assert sorted(map(str, steps[:4])) == sorted(map(str, sent))
        assert steps[4:] == [("plain", "error"), ("__default_error_handler__", "ok")]
        assert [run.run.status, {step.invocation for step in run.steps}] == ["ok", {0}]
        for at in range(len(run.steps)):
            forked = run.fork(at, graph=graph_of("handling"), trust=True)
            assert differing(run, forked) == []
            assert forked.receipt.clean, str(forked.receipt)
            assert forked.final_state()["said"] == run.final_state()["said"] == "plain: KeyError('Uji'), 'Uji'"
