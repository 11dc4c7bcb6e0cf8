"""Threads that people work on: they put something into the state between turns, go back to an earlier checkpoint and on from there, try again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import RemoveMessage, ToolMessage
from langgraph.types import Command

import workbench as wb
from tests import replay_threads
from tests.recording_agents import read_back, recording, recording_later
from workbench.replay.fence.later import DOUBTFUL
from workbench.replay.forking import ForkError

THREAD: Any = {"configurable": {"thread_id": "thread"}}
Doing = Callable[[Any], None]


@contextlib.contextmanager
def recorded(folder: Path, does: Doing, name: str = "chat", *, spans: bool = True) -> Iterator[wb.RecordedRun]:
    """The recorded run of what somebody does with a graph."""
    with recording(getattr(replay_threads, name), folder, spans=spans) as running:
        does(running)
    with read_back(folder) as run:
        yield run


def graph_of(name: str = "chat") -> str:
    return f"{replay_threads.__name__}:{name}"


def say(graph: Any, text: str, config: Any = THREAD) -> Any:
    """Say something in the thread, and return where it stands then."""
    graph.invoke({"messages": [("user", text)]}, config)
    return graph.get_state(THREAD).config


def after(graph: Any, node: str, place: int = 0) -> Any:
    """The config of the newest checkpoint from which this node was to run; or of one before."""
    return [one.config for one in graph.get_state_history(THREAD) if node in one.next][place]


def correct(graph: Any) -> None:
    """Put a word in between two turns."""
    say(graph, "one")
    graph.update_state(THREAD, {"messages": [("user", "be brief")]})
    say(graph, "two")


def retract(graph: Any) -> None:
    """Take a message out between two turns, as two nodes."""
    say(graph, "one")
    spoken = graph.get_state(THREAD).values["messages"]
    graph.update_state(THREAD, {"messages": [RemoveMessage(id=spoken[-1].id)], "seen": ["a person"]}, as_node="think")
    say(graph, "two")


def turn_back(graph: Any) -> None:
    """Say a second thing, then another one instead."""
    first = say(graph, "one")
    say(graph, "two")
    say(graph, "three", first)


def to_and_fro(graph: Any) -> None:
    """Go back, and then on from the branch that was left."""
    first = say(graph, "one")
    second = say(graph, "two")
    say(graph, "three", first)
    say(graph, "four", second)


def try_again(graph: Any) -> None:
    """Have the last answer of the first turn made anew, then say more."""
    say(graph, "one")
    graph.invoke(None, after(graph, "think"))
    say(graph, "two")


def rewrite(graph: Any) -> None:
    """Change what was said, and have it answered anew."""
    say(graph, "one")
    at = after(graph, "think", 1)
    said = graph.get_state(at).values["messages"][0]
    graph.invoke(None, graph.update_state(at, {"messages": [said.model_copy(update={"content": "uno"})]}))
    say(graph, "two")


def steer(graph: Any) -> None:
    """Change what a tool is to be called with, while the graph waits before it."""
    say(graph, "one")
    asked = graph.get_state(THREAD).values["messages"][-1]
    graph.update_state(THREAD, {"messages": [asked.model_copy(update={"tool_calls": [{**asked.tool_calls[0], "args": {"text": "1"}}]})]})
    graph.invoke(None, THREAD)


def stand_in(graph: Any) -> None:
    """Answer in a tool's place, while the graph waits before it."""
    say(graph, "one")
    stand_in_now(graph)


def stand_in_now(graph: Any) -> None:
    """Answer the call that waits, and go on."""
    call = graph.get_state(THREAD).values["messages"][-1].tool_calls[0]["id"]
    graph.update_state(THREAD, {"messages": [ToolMessage("noted by hand", tool_call_id=call, name="note")]}, as_node="tools")
    graph.invoke(None, THREAD)


def repair(graph: Any) -> None:
    """Answer in the place of a tool that failed, and go on."""
    with pytest.raises(KeyError):
        say(graph, "one")
    stand_in_now(graph)
    say(graph, "two")


def try_the_tool_again(graph: Any) -> None:
    """Have a tool called anew."""
    say(graph, "one")
    graph.invoke(None, after(graph, "tools"))


def copy(graph: Any) -> None:
    """Copy a checkpoint between two turns."""
    say(graph, "one")
    graph.update_state(THREAD, None, as_node="__copy__")
    say(graph, "two")


def words(run: wb.RecordedRun) -> list[str]:
    """What stands in the thread."""
    return [str(one["content"]) for one in run.final_state()["messages"] if one["content"]]


WAYS: dict[str, tuple[Doing, str]] = {
    "correct": (correct, "chat"),
    "retract": (retract, "chat"),
    "turn back": (turn_back, "chat"),
    "to and fro": (to_and_fro, "chat"),
    "try again": (try_again, "chat"),
    "rewrite": (rewrite, "chat"),
    "steer": (steer, "careful"),
    "stand in": (stand_in, "careful"),
    "repair": (repair, "strict"),
    "repair what was sent": (repair, "sent"),
    "fail": (lambda graph: say(graph, "one"), "lenient"),
}


@pytest.mark.parametrize("spans", [True, False], ids=["spans", "checkpoints"])
@pytest.mark.parametrize("way", WAYS)
def test_unchanged(way: str, spans: bool, tmp_path: Path, ledger: Path) -> None:
    """An unchanged replay does what people did to the thread too, at the same places, and so makes the same steps to the same end, from wherever it begins."""
    does, name = WAYS[way]
    with recorded(tmp_path, does, name, spans=spans) as run:
        before = ledger.read_text()
        for at in (0, len(run.steps) // 2) if spans else (len(run.steps) - 1,):
            fork = run.fork(at, graph=graph_of(name), trust=True)
            assert fork.receipt.clean, str(fork.receipt)
            assert words(fork) == words(run)
        assert ledger.read_text() == before


@pytest.mark.parametrize("spans", [True, False], ids=["spans", "checkpoints"])
@pytest.mark.parametrize("way", ["stand in", "repair", "repair what was sent"])
def test_an_answer_in_a_tools_place_is_no_tools(way: str, spans: bool, tmp_path: Path, ledger: Path) -> None:
    """What a person put in for a tool is an update of the state; the tool's own call stands as it ended, if it was made at all."""
    does, name = WAYS[way]
    with recorded(tmp_path, does, name, spans=spans) as run:
        by_hand = [step for step in run.steps if "by hand" in str(step.changes) and "tool_call_id" in str(step.changes)]
        assert [step.name for step in by_hand] == ["update_state"]
        calls = [] if way == "stand in" else [None, "noted two"] if spans or way == "repair what was sent" else ["noted two"]
        assert [step.result for step in run.run.of_kind("tool")] == calls


@pytest.mark.parametrize(("name", "spans"), [("strict", True), ("sent", True), ("sent", False)])
def test_a_repair_of_what_did_not_fail(name: str, spans: bool, tmp_path: Path, ledger: Path) -> None:
    """In a fork whose tool did not fail nobody answers in its place; what was said later is said there too."""
    with recorded(tmp_path, repair, name, spans=spans) as run:
        at = next(step.index for step in run.run.of_kind("tool"))
        fork = run.fork(at, tool_result="noted ONE", live=["model"], graph=graph_of(name), trust=True)
        assert words(fork) == ["one", "noted ONE", "one & noted ONE", "two", "noted two", words(fork)[-1]]
        assert fork.receipt.clean, str(fork.receipt)
        assert any("was left out: it was put in for a task that failed then" in note for note in fork.receipt.notes)


def test_unchanged_asynchronously(tmp_path: Path, ledger: Path) -> None:
    """What was put into the state is put in again where the graph runs asynchronously alone, too."""

    async def record() -> None:
        async with recording_later(replay_threads.chat_later, tmp_path) as running:
            await running.ainvoke({"messages": [("user", "one")]}, THREAD)
            first = await running.aget_state(THREAD)
            await running.aupdate_state(THREAD, {"messages": [("user", "be brief")]})
            await running.ainvoke({"messages": [("user", "two")]}, THREAD)
            await running.aupdate_state(first.config, {"messages": [("user", "be long")]})
            await running.ainvoke({"messages": [("user", "three")]}, THREAD)

    asyncio.run(record())
    with read_back(tmp_path) as run:
        fork = run.fork(0, graph=graph_of("chat_later"))
        assert fork.receipt.clean, str(fork.receipt)
        assert words(fork) == words(run) == ["one", "noted one", "one & noted one", "be long", "three", "noted three", words(run)[-1]]


def test_a_correction_stays(tmp_path: Path, ledger: Path) -> None:
    """What a person had put into the state stands in a changed fork at the same place, and is told to be doubtful there."""
    with recorded(tmp_path, correct) as run:
        fork = run.fork(2, tool_result="noted ONE", live=["model"], graph=graph_of())
        assert words(fork)[:5] == ["one", "noted ONE", "one & noted ONE", "be brief", "two"]
        (put,) = (step for step in fork.steps if step.name == "update_state")
        (of_it,) = (note for note in fork.receipt.notes if "update_state" in note)
        assert put.notes[0] == "served"
        assert DOUBTFUL in put.notes
        assert DOUBTFUL in of_it
        (told,) = (one for one in run.foresee(2, tool_result="noted ONE", live=["model"]).forecast.steps if one.step == put.index)
        assert told.how == "stands"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("note one", ["one", "noted other", "one & noted other", "three", "noted three"]),
        ("note two", ["one", "noted one", "one & noted one", "three", "noted three"]),
        ("note three", ["one", "noted one", "one & noted one", "three", "noted other"]),
    ],
)
def test_a_branch_of_its_own(name: str, says: list[str], tmp_path: Path, ledger: Path) -> None:
    """After a change, each turn still goes on from where it went on: what was said on a branch that was left is in no other conversation."""
    with recorded(tmp_path, turn_back) as run:
        at = next(step.index for step in run.steps if step.tool_call and step.tool_call.arguments == {"text": name.removeprefix("note ")})
        fork = run.fork(at, tool_result="noted other", live=["model"], graph=graph_of())
        assert fork.receipt.clean, str(fork.receipt)
        assert words(fork)[:-1] == says
        assert [step.name for step in fork.steps] == [step.name for step in run.steps]


def test_what_was_left_before_stands(tmp_path: Path, ledger: Path) -> None:
    """A branch that had been left before the fork's step stands as it was recorded, and a later start from it still finds it."""
    with recorded(tmp_path, to_and_fro) as run:
        at = next(step.index for step in run.steps if step.tool_call and step.tool_call.arguments == {"text": "three"})
        fork = run.fork(at, tool_result="noted other", live=["model"], graph=graph_of())
        assert fork.steps[:at] == run.steps[:at]
        assert words(fork) == words(run)
        assert fork.receipt.clean, str(fork.receipt)


def test_no_such_place(tmp_path: Path, ledger: Path) -> None:
    """Where the recorded run went back to a place that the fork never came to, the fork halts and says so."""
    with recorded(tmp_path, try_the_tool_again) as run:
        fork = run.fork(1, message={"index": 0, "content": "nothing"}, live=["model"], graph=graph_of())
        assert not fork.receipt.clean
        assert "went back to a checkpoint" in fork.receipt.outcome


def test_a_changed_state_is_not_known(tmp_path: Path, ledger: Path) -> None:
    """Of an update of a checkpoint that the thread had moved past LangGraph keeps only what it made: a fork in which that would be another state halts."""
    with recorded(tmp_path, rewrite) as run:
        fork = run.fork(0, state={"seen": ["other"]}, live=["model"], graph=graph_of())
        assert not fork.receipt.clean
        assert "what update_state wrote then was not kept" in fork.receipt.outcome


@pytest.mark.parametrize(("way", "channel"), [("steer", "messages"), ("retract", "messages")])
def test_a_message_that_is_not_there(way: str, channel: str, tmp_path: Path, ledger: Path) -> None:
    """A message that was replaced or removed by hand, and that a fork with more messages has none like, is not added to those: the fork halts there."""
    does, name = WAYS[way]
    with recorded(tmp_path, does, name) as run:
        fork = run.fork(0, state={"messages": [("user", "uno")]}, live=["model"], stale=["note"], graph=graph_of(name))
        assert fork.receipt.outcome.startswith(f"halted: what update_state replaced or removed then, in {channel}, stands nowhere in this re-run")
        assert not fork.receipt.clean


def test_what_cannot_be_done_again(tmp_path: Path, ledger: Path) -> None:
    """A fork that would have to leave out what was done to the thread after it is refused, with what that was."""
    with recorded(tmp_path, copy) as run:
        with pytest.raises(ForkError, match=r"is a copy of one that stands beside it .* fork at a later step"):
            run.fork(0, graph=graph_of())
        assert run.fork(len(run.steps) - 1, graph=graph_of()).receipt.clean


def at_its_end(graph: Any) -> None:
    """Two turns of which LangGraph keeps the state at the end of each."""
    for text in ("one", "two"):
        graph.invoke({"messages": [("user", text)]}, THREAD, durability="exit")


def test_a_thread_kept_at_its_ends(tmp_path: Path, ledger: Path) -> None:
    """Of a thread that keeps the state at the end of each run alone, the outcome is what that state says, and it is said why there are no steps."""
    with recorded(tmp_path, at_its_end, spans=False) as run:
        assert run.steps == ()
        assert run.run.outcome.endswith("& two & noted two")
        assert any("7 super-steps left no checkpoint" in note for note in run.run.notes)
        for wanted in (run.fork, run.foresee):
            with pytest.raises(ForkError, match=r"^thread can't be re-run: 7 super-steps left no checkpoint .*durability='exit'"):
                wanted(0, graph=graph_of())


def test_no_fork_of_what_was_not_kept(tmp_path: Path, ledger: Path) -> None:
    """A turn whose input and super-steps were not kept is not re-run without them: the fork is refused, with the reason."""
    with recorded(tmp_path, at_its_end) as run:
        at = next(step.index for step in run.steps if step.checkpoint_id)
        with pytest.raises(ForkError, match="none was kept"):
            run.fork(at, graph=graph_of())


def test_an_answer_of_another_turn(tmp_path: Path, ledger: Path) -> None:
    """What a person said in a later turn answers no question of an earlier one: the fork waits there."""
    given = [{"total": 5}, Command(resume="yes"), Command(resume="paid, good"), {"total": 7}, Command(resume="no"), Command(resume="a pity")]

    def record(graph: Any) -> None:
        for one in given:
            graph.invoke(one, THREAD)

    with recorded(tmp_path, record, "paying") as run:
        questions = [step.index for step in run.run.of_kind("human") if step.tool_call]
        assert run.fork(0, graph=graph_of("paying")).receipt.clean
        fork = run.fork(questions[0], answer="no", graph=graph_of("paying"))
        assert [step.result for step in fork.run.of_kind("human") if step.tool_call] == ["no", None]
        assert fork.run.status == "interrupted"
