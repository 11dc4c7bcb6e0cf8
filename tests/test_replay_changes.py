"""Each kind of change a fork can make: where it applies, what it does, and what can't be changed where."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.replay_recording import Recording, record
from workbench.comparison.comparison import compare
from workbench.model import Change
from workbench.replay import Forked, ForkError
from workbench.report.receipts import attempts_words
from workbench.report.static import comparison_text

MODEL = ("model",)
ONE = [["book", {"flight": "NH 1"}]]


@pytest.fixture
def attentive(tmp_path: Path, ledger: Path) -> Recording:
    """A recorded run of a model that says what it was shown."""
    return record(tmp_path, "attentive", [])


def seen(forked: Forked) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(forked.run.outcome)
    return found


def change(recording: Recording, kind: Any, value: Any, live: tuple[str, ...] = MODEL) -> Forked:
    """Fork at the only model call."""
    return recording.fork(next(recording.run.of_kind("model")).index, Change(kind=kind, value=value), live=live)


def test_system(attentive: Recording) -> None:
    """A changed system prompt takes the place of the one the agent's code puts in, and nothing else changes."""
    assert seen(change(attentive, "system", "Be kind.")) == {**json.loads(attentive.run.outcome), "heard": ["Be kind.", "[]"]}


def test_system_without_a_live_model(attentive: Recording) -> None:
    """Recorded answers to another system prompt are not served: the fork halts, and says what differs."""
    forked = change(attentive, "system", "Be kind.", live=())
    assert forked.receipt.calls.halted == 1
    assert 'recorded "Be brief.", asked "Be kind."' in next(one.says for one in forked.receipt.records if one.answer == "halted")


@pytest.mark.parametrize(
    ("value", "name", "temperature"),
    [("attentive-2", "attentive-2", 1.0), ({"temperature": 0.0}, "attentive-1", 0.0), ({"name": "b", "temperature": 0}, "b", 0)],
)
def test_model(value: Any, name: str, temperature: float, attentive: Recording) -> None:
    """A changed model or setting is what the live model thinks with; the other settings stay."""
    said = seen(change(attentive, "model", value))
    assert (said["name"], said["temperature"]) == (name, temperature)


def test_unknown_setting(attentive: Recording) -> None:
    """A setting that the model doesn't have halts the fork, and the nearest one is named."""
    forked = change(attentive, "model", {"temprature": 0})
    assert forked.receipt.outcome == "halted: Attentive has no setting 'temprature'; it has temperature"
    assert forked.receipt.calls.live == 0


def test_tools(attentive: Recording) -> None:
    """The tools that are listed are offered, or the definitions that are given change; what maps to nothing is not offered."""
    assert list(seen(change(attentive, "tools", ["seats"]))["tools"]) == ["seats"]
    assert seen(change(attentive, "tools", []))["tools"] == {}
    assert seen(change(attentive, "tools", {"book": {"description": "Never."}, "seats": None}))["tools"] == {"book": "Never."}


def test_unknown_tool(attentive: Recording) -> None:
    """A tool that is not offered can't stay: the fork halts, and the nearest one is named."""
    assert change(attentive, "tools", ["boook"]).receipt.outcome == "halted: no tool 'boook' is offered; near it is book"


@pytest.mark.parametrize("kind", ["model", "tools"])
def test_thinking_needs_a_live_model(kind: str, attentive: Recording) -> None:
    """What only changes how the model thinks is refused where the model may not think."""
    with pytest.raises(ForkError, match=r"name the model as live \(live=\['model'\]\)"):
        change(attentive, kind, ["book"] if kind == "tools" else "b", live=())


def test_message_in_the_state(tmp_path: Path, ledger: Path) -> None:
    """A changed message of the history is changed in the state too, so that the model sees it from then on."""
    recording = record(tmp_path, "graph", ONE)
    last = [step.index for step in recording.run.of_kind("model")][-1]
    forked = recording.fork(last, Change(kind="message", value={"index": -1, "content": "sold out"}), live=MODEL)
    assert forked.run.outcome == "sold out"
    assert [message.content for message in forked.run.steps[-1].messages][1:] == ["", "sold out"]
    assert forked.receipt.notes == ()


def test_message_outside_the_state(attentive: Recording) -> None:
    """A message that the agent's code puts in, and no state holds, is changed as the model is given it."""
    assert seen(change(attentive, "message", {"index": 0, "content": "Be long."}))["heard"] == ["Be long.", "[]"]


def test_message_of_the_model(tmp_path: Path, ledger: Path) -> None:
    """The calls that an earlier answer of the model asked for can be changed where it is part of the history."""
    recording = record(tmp_path, "graph", ONE)
    last = [step.index for step in recording.run.of_kind("model")][-1]
    calls = [{"name": "book", "arguments": {"flight": "NH 7"}, "call_id": "call-0"}]
    forked = recording.fork(last, Change(kind="message", value={"index": 1, "tool_calls": calls}), live=MODEL)
    assert forked.run.steps[-1].messages[1].tool_calls[0].arguments == {"flight": "NH 7"}


def asking(recording: Recording) -> int:
    """The step at which the run stopped to ask."""
    return next(step.index for step in recording.run.of_kind("human") if step.tool_call)


def test_answer(tmp_path: Path, ledger: Path) -> None:
    """A person's answer can be another one, and the run goes the other way."""
    recording = record(tmp_path, "spending", [], answers=("yes",))
    forked = recording.fork(asking(recording), Change(kind="answer", value="no"))
    assert [step.changes.get("said") for step in recording.run.steps if step.changes][-1] == "spent"
    assert [step.changes.get("said") for step in forked.run.steps if step.changes][-1] == "kept"
    assert [(one.kind, one.answer) for one in forked.receipt.records] == [("human", "edited")]


def test_answer_nobody_gave(tmp_path: Path, ledger: Path) -> None:
    """A question that was left open can be answered in a fork."""
    recording = record(tmp_path, "spending", [])
    assert recording.run.status == "interrupted"
    forked = recording.fork(asking(recording), Change(kind="answer", value="yes"))
    assert (forked.run.status, forked.receipt.calls.halted) == ("ok", 0)


def test_answer_inside_a_tool(tmp_path: Path, ledger: Path) -> None:
    """What a tool returned after one answer is not served after another: the fork halts there."""
    recording = record(tmp_path, "graph", [["confirm", {"flight": "NH 1"}]], answers=("yes",))
    forked = recording.fork(asking(recording), Change(kind="answer", value="no"))
    assert "a person's answer, which was another when it was recorded" in forked.receipt.outcome
    assert ledger.read_text() == "confirm NH 1\n"


def test_a_call_beside_another(tmp_path: Path, ledger: Path) -> None:
    """Of two calls that one answer asked for, the time of one lies within the other's: a fork at it serves the other, whose code doesn't run."""
    recording = record(tmp_path, "graph", [["book", {"flight": "NH 1"}], ["book", {"flight": "NH 2"}]])
    one, other = recording.step("book"), recording.step("book", 1)
    around, within = recording.run.step(one), recording.run.step(other)
    longest = around.model_copy(update={"started_ns": within.started_ns - 1, "ended_ns": within.ended_ns + 1})
    overlapping = recording.run.model_copy(update={"steps": tuple(longest if step is around else step for step in recording.run.steps)})
    forked = replace(recording, run=overlapping).fork(other, Change(kind="tool_result", value="no seat"), live=("model",))
    assert sorted((one.name, one.answer) for one in forked.receipt.records) == [("Scripted", "live"), ("book", "edited"), ("book", "served")]
    assert (forked.receipt.calls.blocked, forked.run.outcome) == (0, "booked NH 1; no seat")


def said(forked: Forked) -> Any:
    return [step.changes["said"] for step in forked.run.steps if "said" in step.changes][-1]


def test_fault_and_retry(tmp_path: Path, ledger: Path) -> None:
    """An injected time-out is met once, and the agent's retry gets the recorded answer; as often as is asked, it gives up."""
    recording = record(tmp_path, "stubborn", [])
    at = recording.step("book")
    once = recording.fork(at, Change(kind="fault", value="timeout"))
    assert said(once) == "booked NH 1"
    assert [(one.answer, one.says) for one in once.receipt.records] == [("edited", "injected: timeout"), ("served", "")]
    twice = recording.fork(at, Change(kind="fault", value={"kind": "timeout", "times": 2}), scratch=tmp_path / "twice.sqlite")
    assert said(twice) == "gave up"
    assert ledger.read_text() == "book NH 1\n"
    told = comparison_text(compare(recording.run, once.run))
    assert 'book(flight="NH 1"): 1 → 1: 1 attempted (1 served), 1 answered by the edit' in told
    assert attempts_words(once.receipt) == "1 attempted (1 served), 1 answered by the edit"
    assert [(one.original, one.fork) for one in twice.receipt.effects] == [(1, twice.receipt.attempts["attempted"])] == [(1, 0)]


def test_fault_error(tmp_path: Path, ledger: Path) -> None:
    """An injected error is raised as the type that is named, and one that nobody handles ends the run."""
    recording = record(tmp_path, "stubborn", [])
    forked = recording.fork(recording.step("book"), Change(kind="fault", value={"kind": "error", "message": "ValueError: no seat"}))
    assert forked.receipt.outcome == "failed: ValueError: no seat"
    empty = recording.fork(recording.step("book"), Change(kind="fault", value="empty"), scratch=tmp_path / "empty.sqlite")
    assert said(empty) == ""


def test_fault_slow(tmp_path: Path, ledger: Path) -> None:
    """A slow call takes longer, so that code which doesn't wait meets its own time limit."""
    recording = record(tmp_path, "hasty", [])
    forked = recording.fork(recording.step("book"), Change(kind="fault", value={"kind": "slow", "seconds": 3}))
    assert said(forked) == "too slow"


@pytest.mark.parametrize("live", [(), MODEL])
def test_fault_of_the_model(live: tuple[str, ...], attentive: Recording) -> None:
    """A model's call can fail too, or come back empty, recorded or live."""
    assert change(attentive, "fault", "timeout", live).receipt.outcome.startswith("failed: TimeoutError: no answer")
    assert change(attentive, "fault", "empty", live).run.outcome == "ended without an answer"


@pytest.mark.parametrize(
    ("name", "at", "kind", "value", "says"),
    [
        ("graph", "scripted", "fault", "explode", r"a changed fault should be \"timeout\", \"error\""),
        ("graph", "book", "message", {"index": 0, "content": ""}, r"step 2 is a tool step \(book\) and was shown no messages; the nearest model steps are"),
        ("graph", "scripted", "message", {"index": 7, "content": ""}, "was shown 1 messages, from 0 to 0: there is none at 7"),
        ("graph", "scripted", "message", {"index": 0}, "a changed message should be"),
        ("graph", "scripted", "answer", "yes", "step 1 is a model step .* and asked nobody; the run has no human step|asked nobody; the nearest human steps"),
        ("graph", "scripted", "system", 7, "a changed system prompt should be the text"),
        ("graph", "scripted", "tools", "book", "changed tools should be a list of the names"),
        ("graph", "scripted", "state", {}, "a changed state should be an object from channel to value"),
    ],
)
def test_not_there(name: str, at: str, kind: Any, value: Any, says: str, tmp_path: Path, ledger: Path) -> None:
    """A change that doesn't fit the step, or has the wrong shape, is refused with what would be right."""
    recording = record(tmp_path, name, ONE)
    with pytest.raises(ForkError, match=says):
        recording.fork(recording.step(at), Change(kind=kind, value=value), live=MODEL)
