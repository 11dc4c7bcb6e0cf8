"""Every shape of a LangGraph program replays unchanged: no tool, model, service or node does anything for real, and the steps are the same."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests import replay_shapes
from tests.recording_agents import read_back, recording, recording_later
from tests.replay_agents import really
from tests.replay_shapes import SHAPES, Shape
from tests.serving import Service, serving
from workbench.model import PASSED_ON, Change, Span, Step
from workbench.replay.recording.nesting import inside_tools
from workbench.replay.wishes import ForkError, checked

CONFIG = {"configurable": {"thread_id": "thread", "user": "ada"}}
REACHING = {"opaque_after_a_call": 1, "questions_after_a_call": 3, "leaving_a_subgraph": 1, "sends_that_retry": 3}
"""Shapes whose code reaches for something that nobody recorded, and how often: it is refused, counted, and their recorded writes are served."""


class Noted(Service):
    """A service that plain nodes call. What it is asked goes into the ledger."""

    def answer(self, path: str, body: str) -> tuple[int, Any]:
        """What was asked."""
        really(f"{self.command} {path}")
        return 404 if "missing" in path else 200, {"path": path, "got": body}


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Its address."""
    with serving(Noted) as url:
        yield url


async def drive(shape: Shape, folder: Path) -> None:
    """Run a shape for real, recorded as a user would."""
    if shape.way.startswith("a"):
        async with recording_later(shape.graph, folder) as graph:
            await shape.record(graph, CONFIG)
    else:
        with recording(shape.graph, folder) as graph:
            await shape.record(graph, CONFIG)


@contextlib.contextmanager
def recorded(name: str, folder: Path) -> Iterator[wb.RecordedRun]:
    """The recorded run of a shape."""
    asyncio.run(drive(SHAPES[name](), folder))
    with read_back(folder) as run:
        yield run


def said_to_a_question(step: Step) -> bool:
    """Whether a step is a person's own answer: what a task around the asking one passed on is the same answer again."""
    return step.tool_call is not None and PASSED_ON not in step.notes


def graph_of(name: str) -> str:
    return f"{replay_shapes.__name__}:shape_{name}"


def first(run: wb.RecordedRun) -> int:
    return next(step.index for step in run.steps if step.checkpoint_id)


@pytest.fixture(autouse=True)
def at_hand(ledger: Path, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each recording has a ledger and a service."""
    monkeypatch.setenv("SERVICE", service)


@pytest.mark.parametrize("name", sorted(SHAPES.keys() - {"times_and_ids"}))
def test_shape(name: str, tmp_path: Path, ledger: Path) -> None:
    """An unchanged replay of this shape executes nothing live, halts nowhere and makes the same steps to the same end."""
    with recorded(name, tmp_path) as run:
        before = ledger.read_text()
        forked = run.fork(first(run), graph=graph_of(name))
        assert ledger.read_text() == before != ""
        assert forked.receipt.calls.model_dump(exclude={"served", "answered"}) == {"live": 0, "blocked": REACHING.get(name, 0), "halted": 0}
        assert forked.receipt.calls.answered == sum(step.kind == "human" and step.status == "ok" and said_to_a_question(step) for step in run.steps)
        assert [row for row in wb.compare(run, forked).comparison.rows if row.relation != "same"] == []
        assert [check for check in forked.receipt.checks if check.name == "nothing blocked" and check.verdict != "pass"] == []
        assert (forked.run.status, forked.outcome) == (run.run.status, run.outcome)
        assert [step.invocation for step in forked.steps] == [step.invocation for step in run.steps]
        assert [note for note in forked.receipt.notes if "moved" in note or "not made again" in note or "other values" in note] == []


@pytest.mark.parametrize("node", ["tallies", "ranks"])
def test_tuples_are_tuples_again(node: str, tmp_path: Path) -> None:
    """Checkpoints keep tuples as lists: what is served beside what a node's code writes, and what the schema names, reaches the code as it did."""
    with recorded("tuples", tmp_path) as run:
        at = next(step.index for step in run.steps if step.node == node)
        forked = run.fork(at, graph=graph_of("tuples"), execute=["ranks"])
        assert (forked.run.status, [step.error for step in forked.steps if step.error]) == ("ok", [])
        assert forked.final_state()["said"] == run.final_state()["said"]
        assert [note.partition(",")[0] for note in forked.receipt.notes] == ["lists in found were taken for tuples"] * (node == "tallies")


MIDST = {
    "agent_after_a_question": 7,
    "agents_beside_each_other": 8,
    "agent_async": 2,
    "subgraph_that_keeps": 7,
    "hand_back": 3,
    "human_rejects": 2,
    "question_inside": 5,
    "question_of_a_tool_beside": 3,
}
"""Shapes that are forked at a step in their midst."""


@pytest.mark.parametrize(("name", "at"), [*MIDST.items(), ("subgraph_that_keeps", 5)])
def test_an_unchanged_fork_from_the_midst_makes_the_same_steps(name: str, at: int, tmp_path: Path, ledger: Path) -> None:
    """What stands before the cut or beside it is told once, and what only runs asynchronously does so from there too."""
    with recorded(name, tmp_path) as run:
        before = ledger.read_text()
        forked = run.fork(at, graph=graph_of(name))
        assert ledger.read_text() == before
        assert [row for row in wb.compare(run, forked).comparison.rows if row.relation != "same"] == []
        assert (forked.receipt.calls.live, forked.receipt.calls.halted) == (0, 0)


def test_a_rejected_call_is_none(tmp_path: Path, ledger: Path) -> None:
    """A call that a person rejects is no effect, neither in the recorded run nor in a fork; it has the arguments that its model gave."""
    with recorded("human_rejects", tmp_path) as run:
        assert ledger.read_text().splitlines() == ["model", "book Kyoto", "model"]
        asked = next(step.index for step in run.steps if step.kind == "human" and step.tool_call)
        forked = run.fork(asked, answer={"decisions": [{"type": "reject"}, {"type": "reject"}]}, live=["model"], graph=graph_of("human_rejects"))
        outcomes = [{str(one.arguments): one.outcome for one in each.effects} for each in (run, forked)]
        assert outcomes == [{"{'city': 'Kyoto'}": kyoto, "{'city': 'Nara'}": "prevented"} for kyoto in ("done", "prevented")]
        compared = wb.compare(run, forked)
        assert compared.effects == {"book": "1 → 0"}
        assert 'book(city="Kyoto"): 1 → 0: 0 attempted, 1 refused by a person' in str(compared)


@pytest.mark.parametrize("spans", [True, False], ids=["spans", "checkpoints"])
def test_what_was_rejected_has_no_answer(tmp_path: Path, ledger: Path, *, spans: bool) -> None:
    """A call that was rejected was never made: where a fork's person approves it, nothing is there to serve, and the words of the rejection are none."""
    with recorded("human_rejects", tmp_path) as told, contextlib.closing(wb.open(tmp_path / "plain.db")) as plain:
        plain.ingest(tmp_path / "checkpoints.sqlite")
        run = told if spans else plain.run("thread")
        asked = next(step.index for step in run.steps if step.kind == "human" and step.tool_call)
        change: dict[str, Any] = {"answer": {"decisions": [{"type": "approve"}] * 2}, "live": ["model"], "graph": graph_of("human_rejects"), "trust": True}
        forked = run.fork(asked, **change)
        assert forked.receipt.outcome.startswith('halted: no recording of tool book({"city":"Nara"})')
        assert [one.status for one in forked.steps if one.kind == "tool" and one.tool_call and one.tool_call.arguments == {"city": "Nara"}] != ["interrupted"]
        assert not any("too far" in str(one.result) for one in forked.steps)
        assert [one.how for one in run.foresee(asked, **change).forecast.steps if one.kind == "tool" and one.step == run.steps[asked + 1].index] == ["executed"]
        rejected = run.fork(asked, **(change | {"answer": {"decisions": [{"type": "reject", "message": "no"}] * 2}}))
        said = [str(one.result).rpartition(": ")[2] for one in rejected.steps if one.kind == "tool"]
        assert said == ["no"] * 2


@pytest.mark.parametrize("spans", [True, False], ids=["spans", "checkpoints"])
def test_what_was_edited_is_another_call(tmp_path: Path, ledger: Path, *, spans: bool) -> None:
    """A call that a person edited was made as edited: where a fork's person approves the model's own, nothing is there to serve."""
    with recorded("human_edits", tmp_path) as told, contextlib.closing(wb.open(tmp_path / "plain.db")) as plain:
        plain.ingest(tmp_path / "checkpoints.sqlite")
        run = told if spans else plain.run("thread")
        assert [one.tool_call.arguments for one in run.steps if one.kind == "tool" and one.tool_call] == [{"city": "Uji"}]
        asked = next(step.index for step in run.steps if step.kind == "human" and step.tool_call)
        forked = run.fork(asked, answer={"decisions": [{"type": "approve"}]}, graph=graph_of("human_edits"), trust=True)
        assert forked.receipt.outcome.startswith('halted: no recording of tool book({"city":"Kyoto"})')
        assert run.fork(asked, graph=graph_of("human_edits"), trust=True).receipt.clean


@pytest.mark.parametrize("name", ["question_of_a_tool_beside", "subgraph_that_keeps", "functional_talk"])
def test_fork_of_a_fork(name: str, tmp_path: Path, ledger: Path) -> None:
    """An unchanged replay of an unchanged replay makes the recorded steps once more, each in the start in which it was made."""
    with recorded(name, tmp_path) as run:
        before, at, graph = ledger.read_text(), first(run), graph_of(name)
        again = run.fork(at, graph=graph).fork(at, graph=graph)
        assert ledger.read_text() == before
        assert [row for row in wb.compare(run, again).comparison.rows if row.relation != "same"] == []
        assert [step.invocation for step in again.steps] == [step.invocation for step in run.steps]


def test_a_question_inside_that_a_fork_reaches_later(tmp_path: Path, ledger: Path) -> None:
    """Where a fork takes more super-steps to a subgraph's question than the recording, what led there stands before it, and the task around still tells it."""
    with recorded("insisting", tmp_path) as run:
        forked = run.fork(2, fault="timeout", live=["model"], graph=graph_of("insisting"))
        inside = [("human", "approves"), ("human", "review"), ("model", "concludes")]
        assert [(step.kind, step.node) for step in run.steps[2:]] == [("tool", "tools"), ("model", "think"), *inside]
        assert [(step.kind, step.node) for step in forked.steps[2:]] == [*[("tool", "tools"), ("model", "think")] * 2, *inside]
        assert (forked.outcome, next(one.ran for one in forked.receipt.nodes if one.node == "review")) == (run.outcome, 1)


def test_forecast_of_a_question_inside(tmp_path: Path, ledger: Path) -> None:
    """A question that a task around passes on asks nobody again: a forecast stops there no more than the fork does."""
    with recorded("insisting", tmp_path) as run:
        foreseen = run.foresee(2).forecast
        assert foreseen.of("stops") == []
        assert [(one.step, one.how) for one in foreseen.steps if one.kind == "human"] == [(4, "served"), (5, "served")]


def test_answers_that_were_given_together(tmp_path: Path, ledger: Path) -> None:
    """Each of several answers that were given at once, by the ids of their questions, is told of the task it went to: LangGraph does not keep the last."""
    with recorded("questions_beside_each_other", tmp_path) as run:
        answers = {name: [step.result for step in run.steps if step.kind == "human" and step.node == name] for name in ("left", "right")}
        written = {step.node: step.changes["cities"] for step in run.steps if step.node in answers and "cities" in step.changes}
        assert {name: ["shall I?", *said] for name, said in answers.items()} == written


def test_fork_inside_a_tool(tmp_path: Path, ledger: Path) -> None:
    """A fork at a step of an agent that is a tool runs the tool's code, and answers its calls up to where the change leads elsewhere."""
    with recorded("agent_as_a_tool", tmp_path) as run:
        inner = next(step.index for step in run.steps if step.name == "book")
        before = ledger.read_text()
        forked = run.fork(inner, tool_result="full", graph=graph_of("agent_as_a_tool"))
        assert ledger.read_text() == before
    assert [(one.name, one.node_path, one.answer) for one in forked.receipt.records][:2] == [
        ("book", "tools/tools", "edited"),
        ("Scripted", "tools/model", "halted"),
    ]
    assert "$[2].content: recorded" in forked.receipt.records[1].says


def test_fault_inside_a_tool(tmp_path: Path, ledger: Path) -> None:
    """A call inside a tool whose code runs meets the fault that is meant for it, once."""
    with recorded("agent_as_a_tool", tmp_path) as run:
        inner = next(step.index for step in run.steps if step.name == "book")
        forked = run.fork(inner, fault={"kind": "error", "message": "ConnectionError: gone"}, graph=graph_of("agent_as_a_tool"))
        met = [(one.name, one.answer, one.says) for one in forked.receipt.records][:1]
        assert met == [("book", "edited", "injected: error")]
        assert [(one.status, one.error) for one in forked.steps if one.name == "book"] == [("error", "ConnectionError: gone")]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory, service: str) -> Iterator[wb.RecordedRun]:
    """Two agents that are tools, called by one task and under way at the same time."""
    folder = tmp_path_factory.mktemp("beside")
    (folder / "ledger").touch()
    with pytest.MonkeyPatch.context() as during:
        for name, value in {"SERVICE": service, "LEDGER": str(folder / "ledger"), "BESIDE": "1"}.items():
            during.setenv(name, value)
        with recorded("agents_side_by_side", folder) as run:
            during.undo()
            yield run


def test_two_agents_at_once(beside: wb.RecordedRun, ledger: Path) -> None:
    """Of two agents that are tools and ran at the same time, a replay makes every step, and the one in which a step was made is known by its span."""
    inside = inside_tools(beside.run, spans_of(beside))
    booked = {step.index: step.tool_call for step in beside.steps if step.name == "book" and step.tool_call}
    around = {index: beside.run.step(inside[index]).tool_call for index in booked}
    assert [(call.name, call.arguments) for call in around.values() if call] == [("ask_beside", call.arguments) for call in booked.values()]
    forked = beside.fork(first(beside), graph=graph_of("agents_side_by_side"))
    assert ledger.read_text() == ""
    assert [row for row in wb.compare(beside, forked).comparison.rows if row.relation != "same"] == []


def spans_of(run: wb.RecordedRun) -> list[Span]:
    return list(run.bench.store.spans(step.trace_id for step in run.steps if step.trace_id))


def inner_steps(run: wb.RecordedRun) -> list[Step]:
    """What the two agents did, in order."""
    return [step for step in run.steps if step.namespace]


@pytest.mark.parametrize("number", range(6))
def test_fork_inside_one_of_two_agents_at_once(beside: wb.RecordedRun, ledger: Path, number: int) -> None:
    """A fork at any step of one of two overlapping agents runs that agent's code from there, on its own checkpoints, and serves the other as a whole."""
    step = inner_steps(beside)[number]
    forked = beside.fork(step.index, fault={"kind": "slow", "seconds": 0}, graph=graph_of("agents_side_by_side"))
    assert ledger.read_text() == ""
    assert [row for row in wb.compare(beside, forked).comparison.rows if row.relation != "same"] == []
    assert (forked.run.status, forked.receipt.notes) == ("ok", ())
    own = [one.from_step for one in forked.receipt.records if one.node_path.startswith("tools/")]
    assert own == [one.index for one in inner_steps(beside) if one.namespace == step.namespace and one.index >= step.index]


def test_fork_in_an_unknown_call(beside: wb.RecordedRun) -> None:
    """Where no span tells in which of two overlapping calls a step was made, a change there is refused with the two calls and what to do; a replay is not."""
    step = inner_steps(beside)[2]
    with pytest.raises(ForkError, match=r"not known in which: it may have been in step 2 \(ask_beside\) and 3 \(ask_beside\)\. .* Fork at step 2 instead"):
        checked(beside.run, step.index, Change(kind="fault", value="error"), ())
    assert checked(beside.run, step.index, Change(), ()).index == step.index
    assert checked(beside.run, step.index, Change(kind="fault", value="error"), (), spans_of(beside)).index == step.index


@pytest.mark.parametrize(
    ("at", "change", "live_calls", "failing"),
    [(2, {"answer": "no"}, 0, set()), (1, {"message": {"index": 0, "content": "Otherwise."}}, 1, {"nothing blocked", "model answered", "same end"})],
)
def test_what_ended_before_the_step(at: int, change: dict[str, Any], live_calls: int, failing: set[str], tmp_path: Path, ledger: Path) -> None:
    """What a task did that had ended before the fork's step is served though its name is live, as is foretold; a model after it thinks anew.

    The one of this shape writes where the sandbox lets nobody write.
    """
    asyncio.run(drive(SHAPES["functional_hold"](), tmp_path))
    names = ["tool:book", "model"]
    with read_back(tmp_path) as run:
        before, foreseen = ledger.read_text(), run.foresee(at, live=names, **change)
        receipt = run.fork(at, graph=graph_of("functional_hold"), live=names, approve=["book"], **change).receipt
    assert [(one.step, one.how) for one in foreseen.forecast.steps if one.step < at] == [(one, "served") for one in range(at)]
    assert receipt is not None
    assert (ledger.read_text(), receipt.calls.live) == (before, live_calls)
    assert {check.name for check in receipt.checks if check.verdict == "fail"} == failing
