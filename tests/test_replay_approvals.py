"""What a tool's body asks a person is asked again by every re-run of it: side by side, one after the other, twice, from spans and from checkpoints alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command, StateSnapshot

import workbench as wb
from tests.test_replay_endings import graph_of, recorded
from workbench.replay.recording.cassette import record
from workbench.sketch import approval, sketch, tool

BOTH = {"messages": [("user", "Ann Bob")]}
ANN = {"messages": [("user", "Ann")]}


def answers(**given: str) -> Callable[[StateSnapshot], Command[Any]]:
    """What a person answers to the questions about these people, whatever else is asked."""

    def of(state: StateSnapshot) -> Command[Any]:
        asked = {one.id: given.get(one.value["wire to"]) for one in state.interrupts}
        return Command(resume={known: said for known, said in asked.items() if said})

    return of


APART, THE_OTHER_WAY = (answers(Ann="yes"), answers(Bob="no")), (answers(Bob="no"), answers(Ann="yes"))


def unlike(run: wb.RecordedRun, fork: wb.RecordedRun) -> list[Any]:
    return [row for row in wb.compare(run, fork).comparison.rows if row.relation != "same"]


def approval_of(run: wb.RecordedRun, name: str) -> int:
    """The step at which a person was asked about somebody."""
    return next(one.index for one in run.steps if one.kind == "human" and one.tool_call and name in str(one.tool_call.arguments))


@pytest.mark.parametrize(
    ("given", "spans"), [(APART, True), (THE_OTHER_WAY, True), (APART, False), ((answers(Ann="yes", Bob="no"),), False)], ids=["one", "other", "plain", "both"]
)
def test_calls_that_ask_side_by_side(given: tuple[Any, ...], tmp_path: Path, ledger: Path, *, spans: bool) -> None:
    """Unchanged, each call is asked about and answered as it was, at once or one after the other, and nothing is done for real."""
    with recorded(tmp_path, "wiring", BOTH, *given, spans=spans) as run:
        assert ledger.read_text() == "wire to Ann\n"
        fork = run.fork(0, graph=graph_of("wiring"), trust=True)
        assert unlike(run, fork) == []
        assert (fork.receipt.clean, fork.receipt.calls.answered, fork.receipt.notes) == (True, 2, ())
        assert (fork.outcome, ledger.read_text()) == ("wired to Ann, not to Bob", "wire to Ann\n")


@pytest.mark.parametrize("spans", [True, False], ids=["spans", "checkpoints"])
def test_a_question_is_asked_again_after_a_change(tmp_path: Path, ledger: Path, *, spans: bool) -> None:
    """Where the model thinks anew and calls the tool again, the person's answer is carried over to the same question: the call is not served without it."""
    with recorded(tmp_path, "wiring", ANN, Command(resume="yes"), spans=spans) as run:
        fork = run.fork(1, system="Be nice.", live=["model"], graph=graph_of("wiring"), trust=True)
        assert [(one.kind, one.name) for one in fork.steps if one.kind == "human"] == [("human", "user"), ("human", "approval")]
        assert (fork.receipt.clean, fork.receipt.calls.answered, fork.outcome) == (True, 1, "wired to Ann")
        refused = run.fork(approval_of(run, "Ann"), answer="no", live=["model"], graph=graph_of("wiring"), trust=True)
        assert "which was another when it was recorded" in refused.receipt.outcome
        assert ledger.read_text() == "wire to Ann\n"


@pytest.mark.parametrize(("given", "spans"), [(APART, True), (THE_OTHER_WAY, False)], ids=["spans", "checkpoints"])
def test_one_of_several_answers_is_changed(given: tuple[Any, ...], tmp_path: Path, ledger: Path, *, spans: bool) -> None:
    """The call that was given the answer halts, and no other; its code may be run in the sandbox, which then is given the new one."""
    with recorded(tmp_path, "wiring", BOTH, *given, spans=spans) as run:
        asked: dict[str, Any] = {"answer": "no", "live": ["model"], "graph": graph_of("wiring"), "trust": True}
        halted = run.fork(approval_of(run, "Ann"), **asked)
        assert 'tool wire({"to":"Ann"}) at tools: its code reads a person\'s answer, which was another' in halted.receipt.outcome
        assert "execute=['wire']" in halted.receipt.outcome
        assert [one.arguments for one in halted.receipt.records if one.answer == "halted" and "its code reads" in one.says] == [{"to": "Ann"}]
        executed = run.fork(approval_of(run, "Ann"), **asked, execute=["wire"])
        assert (executed.receipt.clean, executed.outcome, executed.receipt.notes) == (True, "not to Ann, not to Bob", ())
        assert ledger.read_text() == "wire to Ann\n"


def test_a_result_in_place_of_the_question(tmp_path: Path, ledger: Path) -> None:
    """A result that is put in place of a call's first attempt asks nobody about it, and the other call is asked about once."""
    with recorded(tmp_path, "wiring", BOTH, *APART) as run:
        first = next(one.index for one in run.steps if one.kind == "tool" and one.tool_call and one.tool_call.arguments == {"to": "Ann"})
        fork = run.fork(first, tool_result="put", live=["model"], graph=graph_of("wiring"), trust=True)
        assert (fork.receipt.clean, fork.receipt.calls.answered, fork.outcome) == (True, 1, "put, not to Bob")


@pytest.mark.parametrize(("asked", "came"), [({"tool_result": "put"}, "put"), ({"fault": "empty"}, "")], ids=["result", "fault"])
@pytest.mark.parametrize(("name", "others"), [("wiring", "not to Bob"), ("noting", "noted Bob")])
def test_a_change_of_a_call_that_asked(name: str, others: str, asked: dict[str, Any], came: str, tmp_path: Path, ledger: Path) -> None:
    """From checkpoints alone a change of a call that asked a person is met by that call, and by no other, though its answer is served with its node."""
    answered = APART if name == "wiring" else (lambda state: Command(resume={one.id: "yes" for one in state.interrupts}),)
    with recorded(tmp_path, name, BOTH, *answered, spans=False) as run:
        before = ledger.read_text()
        at = next(one.index for one in run.steps if one.kind == "tool" and one.tool_call and one.tool_call.arguments == {"to": "Ann"})
        assert [one.step for one in run.foresee(at, live=["model"], **asked).forecast.of("edited")] == [at]
        fork = run.fork(at, live=["model"], graph=graph_of(name), trust=True, **asked)
        assert [one.says for one in fork.receipt.checks if one.name == "change met"] == ["the change was met"]
        assert (fork.receipt.clean, fork.outcome, ledger.read_text()) == (True, f"{came}, {others}", before)


def test_a_tool_that_asks_twice(tmp_path: Path, ledger: Path) -> None:
    """Each question of a tool's body has its own answer, and each attempt is made again."""
    with recorded(tmp_path, "wiring_surely", ANN, Command(resume="ok"), Command(resume="sure")) as run:
        fork = run.fork(0, graph=graph_of("wiring_surely"), trust=True)
        assert unlike(run, fork) == []
        assert (fork.receipt.clean, fork.outcome, ledger.read_text()) == (True, "wired to Ann: ok sure", "wire to Ann\n")


def test_a_question_before_a_call(tmp_path: Path, ledger: Path) -> None:
    """What a middleware asks before a call is not asked once more in the call, although checkpoints alone don't tell which of the two asked."""
    with recorded(tmp_path, "noting", ANN, Command(resume="yes"), spans=False) as run:
        for change in ({}, {"system": "Be nice.", "live": ["model"]}):
            fork = run.fork(1, graph=graph_of("noting"), trust=True, **change)
            assert (fork.receipt.clean, fork.receipt.calls.answered, fork.run.status, fork.outcome) == (True, 1, "ok", "noted Ann")
        assert ledger.read_text() == "note to Ann\n"


def test_calls_of_which_one_asked() -> None:
    """Where only a task tells of several calls and a question, nobody knows which of them asked: they are served with their node, or not at all."""
    asked = approval("go?", "yes")
    calls = [tool("pay", {"amount": amount}, "paid") for amount in (1, 2)]
    placed = {"task_id": "one", "checkpoint_id": "c", "span_id": None}
    run = sketch(*(one.model_copy(update=placed) for one in (asked, *calls)))
    assert [(one.step, one.by_node) for one in record(run).missing] == [(1, True), (2, True)]
    assert "which of the task's calls did is not recorded" in record(run).missing[0].why
    assert [one.questions for one in record(sketch(*(one.model_copy(update=placed) for one in (asked, calls[0])))).interactions] == [(), ("go?",)]
