"""How a re-run ends is what happened in it: done, waiting for a person, or failed, whatever was asked before."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command

import workbench as wb
from tests import replay_asking
from workbench.model import Change, Check, Run, Status, Step
from workbench.replay.protocol import Answer, Ended
from workbench.replay.receipts import Proof, checks, error_type
from workbench.sketch import sketch, tool, user

ITEM = {"item": "tea"}
ANSWERS = (Command(resume="yes"), Command(resume="Ann"))


@contextlib.contextmanager
def recorded(folder: Path, name: str, *given: Any, spans: bool = True) -> Iterator[wb.RecordedRun]:
    """The recorded run of a graph of `replay_asking`, started with each of these, or what they make of where it stands, in turn, whether it fails or not."""
    path, config = folder / "checkpoints.sqlite", {"configurable": {"thread_id": "thread"}}
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        graph = getattr(replay_asking, name).copy(update={"checkpointer": SqliteSaver(connection)})
        with wb.record(graph, folder / "bench.db") if spans else contextlib.nullcontext(graph) as running:
            for one in given:
                with contextlib.suppress(KeyError, ConnectionError):
                    running.invoke(one(running.get_state(config)) if callable(one) else one, config)
    with contextlib.closing(wb.open(folder / "bench.db")) as bench:
        bench.ingest(path)
        yield bench.run("thread")


def graph_of(name: str) -> str:
    return f"{replay_asking.__name__}:{name}"


def step_of(run: wb.RecordedRun, kind: str) -> int:
    return next(step.index for step in run.steps if step.kind == kind)


def verdict_of(fork: wb.RecordedRun, name: str) -> Check:
    return next(one for one in fork.receipt.checks if one.name == name)


def told(step: Step) -> tuple[int, str, str, str]:
    return step.invocation, step.kind, step.name, step.status


def test_a_failure_after_an_answer(tmp_path: Path, ledger: Path) -> None:
    """A run that failed at a person's answer fails so in an unchanged replay, although LangGraph keeps the question pending."""
    with recorded(tmp_path, "answering", ITEM, Command(resume={"yes": 1})) as run:
        fork = run.fork(0, graph=graph_of("answering"))
        assert (run.run.status, fork.run.status, fork.receipt.outcome) == ("error", "error", "failed: KeyError: 'by'")
        assert verdict_of(fork, "same end") == Check(
            name="same end", verdict="pass", says="it ended as failed with KeyError, the recorded run as failed with KeyError"
        )
        assert fork.receipt.notes == ()


def test_an_answer_that_fails(tmp_path: Path, ledger: Path) -> None:
    """A fork whose changed answer makes its node fail has failed, and waits for nobody."""
    with recorded(tmp_path, "answering", ITEM, Command(resume={"by": "Ada"})) as run:
        fork = run.fork(step_of(run, "human"), answer={"yes": 1}, graph=graph_of("answering"))
        assert (fork.run.status, fork.receipt.outcome) == ("error", "failed: KeyError: 'by'")


@pytest.fixture(scope="module", params=["graph", "flow"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, wb.RecordedRun]]:
    """A run of a tool and a model, with two questions after them, as a graph and as a function; and its name."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as during:
        during.setenv("LEDGER", str(folder / "ledger"))
        with recorded(folder, request.param, ITEM, *ANSWERS) as run:
            during.undo()
            yield request.param, run


@pytest.mark.parametrize(("kind", "fault", "error"), [("tool", "error", "RuntimeError"), ("model", "timeout", "TimeoutError")])
def test_a_fault_before_a_question(asked: tuple[str, wb.RecordedRun], ledger: Path, kind: str, fault: str, error: str) -> None:
    """A failure injected before the recorded questions ends the fork: the starts that brought their answers take nothing back."""
    name, run = asked
    fork = run.fork(step_of(run, kind), fault=fault, graph=graph_of(name))
    assert fork.receipt.outcome.startswith(f"failed: {error}")
    assert fork.run.status == "error"
    assert [step for step in fork.steps if step.kind == "human"] == []
    assert ledger.read_text() == ""


def test_a_crash_that_was_started_again(tmp_path: Path, ledger: Path) -> None:
    """A run that failed and was started again does so in an unchanged replay; a fault put in the way of the second try ends it."""
    scarce = {"item": f"scarce {ledger}"}
    with recorded(tmp_path, "graph", scarce, None, *ANSWERS) as run:
        before = ledger.read_text()
        fork = run.fork(0, graph=graph_of("graph"))
        assert [step.invocation for step in run.steps if step.name == "reserve"] == [0, 1]
        assert sorted(map(told, fork.steps)) == sorted(map(told, run.steps))
        assert (fork.run.status, verdict_of(fork, "same end").verdict) == ("ok", "pass")
        again = run.fork(step_of(run, "model"), fault="error", graph=graph_of("graph"))
        assert again.receipt.outcome == "failed: RuntimeError: failed (injected by the fork)"
        assert ledger.read_text() == before


@pytest.mark.parametrize("spans", [True, False], ids=["spans", "checkpoints"])
def test_a_node_that_failed_and_was_started_again(tmp_path: Path, ledger: Path, *, spans: bool) -> None:
    """A node that made no recorded call fails as it did, and writes what it wrote when it is started again, wherever before that the fork is made."""
    with recorded(tmp_path, "retried", ITEM, None, spans=spans) as run:
        assert [told(step) for step in run.steps] == [(0, "node", "plan", "ok"), (0, "node", "try_it", "error"), (1, "node", "try_it", "ok")]
        for at in (0, 2):
            fork = run.fork(at, graph=graph_of("retried"), trust=True)
            assert [row for row in wb.compare(run, fork).comparison.rows if row.relation != "same"] == []
            assert (fork.receipt.clean, fork.run.status, fork.receipt.notes) == (True, "ok", ())
        assert ledger.read_text() == "try\ntry\n"


def ends(status: Status, ended: Ended, says: str = "", **fields: Any) -> str:
    """The verdict on how an unchanged replay ended, of a run that ended with this status, and with a ValueError if that is a failure."""
    failed = {"error": "ValueError('no')", "status": "error"} if status == "error" or fields.pop("beside", False) else {}
    steps = [user("pay 5"), tool("pay", {"amount": 50}, "paid", **failed)]
    run: Run = sketch(*steps).model_copy(update={"status": status})
    answer = Answer(ended=ended, says=says)
    proof = Proof(run, run, 0, (0, 1), Change(**fields), (), answer, (), {}, intact=True, history=("a", "a"))
    return next(one.verdict for one in checks(proof) if one.name == "same end")


def test_same_end() -> None:
    """An unchanged replay has to end as the recorded run did, a failure with an error of its type; of a changed one a failure alone is judged."""
    assert (ends("ok", "done"), ends("ok", "interrupted"), ends("ok", "failed", "KeyError: 1")) == ("pass", "fail", "fail")
    assert (ends("interrupted", "interrupted"), ends("interrupted", "done"), ends("interrupted", "failed", "KeyError: 1")) == ("pass", "fail", "fail")
    assert (ends("error", "failed", "ValueError: no"), ends("error", "failed", "KeyError: 1"), ends("error", "done")) == ("pass", "fail", "fail")
    assert (ends("interrupted", "failed", "ValueError: no", beside=True), ends("interrupted", "failed", "KeyError: 1", beside=True)) == ("pass", "fail")
    assert {ends("running", "done"), ends("ok", "done", kind="fault"), ends("ok", "halted")} == {"not applicable"}
    assert {ends("ok", "failed", "KeyError: 1", kind="fault"), ends("interrupted", "failed", "KeyError: 1", kind="state")} == {"fail"}
    assert {ends(status, "failed", "KeyError: 1", kind="fault") for status in ("error", "running")} == {"not applicable"}
    assert ends("interrupted", "failed", "ValueError: no", kind="fault", beside=True) == "not applicable"


def test_error_type() -> None:
    """The type of a recorded error is told from its text in each form that recorders write it in; other words name none."""
    assert [error_type(one) for one in ("KeyError: 'by'", "KeyError('by')", "httpx.ConnectError: no", "TimeoutError", "no such thing")] == [
        *["KeyError"] * 2, "ConnectError", "TimeoutError", None
    ]  # fmt: skip
