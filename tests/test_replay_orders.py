"""Branches that run at the same time are given their own recorded answers, whichever of them comes first in a re-run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests import replay_orders
from tests.replay_orders import BRANCHES, Gate
from tests.replay_shapes import Shape, one_word_each
from tests.test_replay_shapes import drive
from workbench.replay.recording.starts import stops_of

KYOTO, NARA, OSAKA = BRANCHES
RECORDED = [KYOTO, NARA, OSAKA] * 3
ORDERS = {
    "reversed": [OSAKA, NARA, KYOTO] * 3,
    "one after the other": [NARA] * 3 + [OSAKA] * 3 + [KYOTO] * 3,
    "entangled": [NARA, KYOTO, KYOTO, OSAKA, NARA, KYOTO, OSAKA, OSAKA, NARA],
}
ASKED = [OSAKA, NARA, KYOTO] * 2
ASKED_AGAIN = {"in order": [KYOTO, NARA, OSAKA] * 2, "entangled": [NARA, OSAKA, KYOTO, KYOTO, OSAKA, NARA]}
"""In which order the branches ask, and then go on: nobody is answered before all have asked."""
CALLS = {"sends": 3, "sends_later": 3, "subgraphs": 2, "parallel_tools": 1}
"""How many calls each branch makes."""
GIVEN: dict[str, Any] = {"found": ["begun"]}
DRAW: dict[str, Any] = {"messages": [("user", "draw")]}
SHAPES = {
    "sends": Shape(replay_orders.sends, (GIVEN,)),
    "sends_later": Shape(replay_orders.sends_later, (GIVEN,), way="ainvoke"),
    "subgraphs": Shape(replay_orders.subgraphs, (GIVEN,)),
    "beside": Shape(replay_orders.beside, (GIVEN,)),
    "parallel_tools": Shape(replay_orders.parallel_tools, (DRAW,)),
    "parallel_tools_reversed": Shape(replay_orders.parallel_tools, (DRAW,)),
    "questions": Shape(replay_orders.questions, (DRAW, one_word_each)),
    "asking": Shape(replay_orders.asking, (GIVEN, one_word_each)),
}
FORCED = {"parallel_tools_reversed": ORDERS["reversed"], "questions": ASKED, "asking": ASKED}
"""The orders in which the branches came when they were recorded, where it was not by turns."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, wb.RecordedRun]]:
    """Each shape, recorded once, all its branches taking turns."""
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as during:
        found = {}
        for name, shape in SHAPES.items():
            folder = tmp_path_factory.mktemp(name)
            (folder / "ledger").touch()
            during.setenv("LEDGER", str(folder / "ledger"))
            during.setattr(replay_orders, "GATE", Gate(",".join(FORCED.get(name, RECORDED))))
            asyncio.run(drive(shape, folder))
            bench = stack.enter_context(contextlib.closing(wb.open(folder / "bench.db")))
            bench.ingest(folder / "checkpoints.sqlite")
            found[name] = bench.run("thread")
        yield found


def turns(order: list[str], calls: int) -> list[str]:
    """An order cut down to so many turns of each branch."""
    return [one for place, one in enumerate(order) if order[:place].count(one) < calls]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", CALLS)
def test_order(runs: dict[str, wb.RecordedRun], ledger: Path, monkeypatch: pytest.MonkeyPatch, name: str, order: str) -> None:
    """Whatever the order in which branches come to make the same calls, each is served what it was answered, and nothing is done for real."""
    run = runs[name]
    monkeypatch.setenv("ORDER", ",".join(turns(ORDERS[order], CALLS[name])))
    replays(run, name, ledger)


def replays(run: wb.RecordedRun, name: str, ledger: Path) -> None:
    """A fork from the first step comes out as recorded, and nothing is done for real."""
    forked = run.fork(next(step.index for step in run.steps if step.checkpoint_id), graph=f"{replay_orders.__name__}:{name}")
    assert ledger.read_text() == ""
    assert forked.receipt.notes == ()
    assert [row for row in wb.compare(run, forked).comparison.rows if row.relation != "same"] == []
    assert forked.outcome == run.outcome


@pytest.mark.parametrize("order", ASKED_AGAIN)
@pytest.mark.parametrize("name", ["questions", "asking"])
def test_order_of_questions(runs: dict[str, wb.RecordedRun], ledger: Path, monkeypatch: pytest.MonkeyPatch, name: str, order: str) -> None:
    """Whoever of several asks the very same question first, each is given the answer that it was given, and the steps are those of the recording."""
    monkeypatch.setenv("ORDER", ",".join(ASKED_AGAIN[order]))
    replays(runs[name], name, ledger)


def test_calls_of_one_task(runs: dict[str, wb.RecordedRun], ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal calls that one task made at once are told with their own ids and results, though they came in another order than they were asked for in."""
    run = runs["parallel_tools_reversed"]
    drawn = [(step.tool_call.call_id, step.result) for step in run.steps if step.kind == "tool" and step.tool_call]
    assert drawn == [(OSAKA, "card 1"), (NARA, "card 2"), (KYOTO, "card 3")]
    monkeypatch.setenv("ORDER", ",".join(turns(ORDERS["entangled"], 1)))
    replays(run, "parallel_tools", ledger)


def test_calls_that_asked_at_once(runs: dict[str, wb.RecordedRun]) -> None:
    """Of equal calls that each stopped to ask a person, each is told under the id of its own, in whatever order they were made."""
    asked = [step.tool_call.call_id for step in runs["questions"].steps if step.tool_call and step.status == "interrupted"]
    answered = {step.task_id: step.tool_call.call_id for step in runs["questions"].steps if step.tool_call and step.kind == "tool" and step.status == "ok"}
    assert asked == ASKED[:3]
    assert {step.task_id: step.tool_call.call_id for step in runs["questions"].steps if step.tool_call and step.status == "interrupted"} == answered


def test_what_ends_after_a_question(runs: dict[str, wb.RecordedRun]) -> None:
    """A run that stopped to ask a person was not cut off, also where something beside the question ended after it."""
    run = runs["questions"].run
    last = next(one.index for one in reversed(run.steps) if one.invocation == 0)
    late = run.model_copy(update={"steps": (*run.steps[:last], run.steps[last].model_copy(update={"kind": "tool"}), *run.steps[last + 1 :])})
    unasked = tuple(one.model_copy(update={"kind": "node"}) if one.kind == "human" else one for one in late.steps)
    assert list(stops_of(late)) == []
    assert list(stops_of(late.model_copy(update={"steps": unasked}))) == [last]


def changed(run: wb.RecordedRun, monkeypatch: pytest.MonkeyPatch, name: str, **change: Any) -> wb.RecordedRun:
    """A fork at the second branch's draw, in which the other branches come first."""
    monkeypatch.setenv("ORDER", ",".join(turns(ORDERS["reversed"], CALLS[name])))
    drawn = [step.index for step in run.steps if step.name == "draw"]
    return run.fork(drawn[1], graph=f"{replay_orders.__name__}:{name}", **change)


def test_result_of_one_branch(runs: dict[str, wb.RecordedRun], ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the very same call of three branches, the one that was named gets another result, though the others come first."""
    forked = changed(runs["sends"], monkeypatch, "sends", tool_result="joker")
    found = [step.changes["found"] for step in forked.steps if "found" in step.changes]
    assert found == [["Kyoto: thought 1, card 1, thought 4"], ["Nara: thought 2, joker, thought 5"], ["Osaka: thought 3, card 3, thought 6"]]


def test_fault_in_one_branch(runs: dict[str, wb.RecordedRun], ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the very same call under three ids, the one that was named fails, though the others come first."""
    forked = changed(runs["parallel_tools"], monkeypatch, "parallel_tools", fault={"kind": "error", "message": "ValueError: joker"})
    drawn = {step.tool_call.call_id: step.result or step.error for step in forked.steps if step.tool_call}
    assert drawn == {KYOTO: "card 1", NARA: "ValueError: joker", OSAKA: "card 3"}


def test_change_beside_another_task(runs: dict[str, wb.RecordedRun], ledger: Path) -> None:
    """What was changed in one task reaches the steps after it, and not a task of the same step that begins a moment later."""
    run = runs["beside"]
    forked = run.fork(next(step.index for step in run.steps if step.name == "draw"), graph=f"{replay_orders.__name__}:beside", tool_result="joker")
    recorded, found = (noted(one) for one in (run, forked))
    assert forked.step(next(step.index for step in forked.steps if step.name == "draw")).result == "joker"
    assert {who: found[who] == recorded[who] for who in recorded} == {NARA: True, "all": False}


def noted(run: wb.RecordedRun) -> dict[str, str]:
    """What was noted, by whom, in nodes of which nothing is known but what they wrote."""
    said = [one for step in run.steps for one in step.changes.get("found", ())]
    return {one.partition(":")[0]: one for one in said if "noted" in one}
