"""Live tools that take what the graph injects: it crosses to the process outside the sandbox as what it is, or the reason why it can't is told."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.store.memory import InMemoryStore

import workbench as wb
from tests import replay_injected
from tests.recording_agents import read_back, recording_later
from workbench.model import Tokens
from workbench.replay.effects.approvals import Question
from workbench.replay.fence.injected import CantCrossError, Crossing, looked_up_in
from workbench.replay.fence.outside import answer
from workbench.replay.protocol import Packed

CALLS = {
    "crossing": [
        ["visa", {"country": "Japan"}],
        ["tell", {"name": "Ada"}],
        ["quiet", {"name": "Ada"}],
        ["move", {"city": "Nara"}],
        ["chart", {"city": "Uji"}],
        ["table", {"city": "Otsu"}],
    ],
    "shelved": [],
    "remembering": [],
    "unshelved": [["keep", {"city": "Nara"}], ["afford", {"item": "tea"}]],
    "reading": [[name, {"item": "tea"}] for name in ("afford", "rank", "weigh", "name_it")],
    "staying": [[name, {"city": "Nara"}] for name in ("keep", "recall", "lend", "sure")],
}


async def drive(name: str, folder: Path) -> None:
    config: Any = {"configurable": {"thread_id": "thread", "user": "ada"}}
    given = {"store": InMemoryStore()} if name == "unshelved" else {}
    async with recording_later(getattr(replay_injected, name), folder, **given) as graph:
        await graph.ainvoke({"messages": [("user", json.dumps(CALLS[name]))], "city": "Kyoto"}, config)


@pytest.fixture(scope="module", params=["crossing", "staying"])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[wb.RecordedRun]:
    """The recorded run of an agent: each test names the one it is for."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEDGER", str(folder / "ledger.txt"))
        asyncio.run(drive(request.param, folder))
    with read_back(folder) as run:
        yield run


def at(run: wb.RecordedRun, name: str) -> int:
    return next(step.index for step in run.steps if step.name == name and step.kind == "tool")


@pytest.mark.parametrize("recorded", ["crossing"], indirect=True)
def test_crossing(recorded: wb.RecordedRun, ledger: Path) -> None:
    """State, call id, runtime and config reach the process outside as what they are, and Commands and artifacts come back as what they are."""
    asked: dict[str, Question] = {}

    def approve(question: Question) -> bool:
        asked[question.name] = question
        return True

    served = recorded.fork(at(recorded, "visa"), graph=f"{replay_injected.__name__}:crossing")
    assert ledger.read_text() == ""
    live = [f"tool:{name}" for name, _ in CALLS["crossing"]]
    forked = recorded.fork(at(recorded, "visa"), live=live, graph=f"{replay_injected.__name__}:crossing", approve=approve, stale=["model"])
    assert sorted(ledger.read_text().splitlines()) == [
        "chart Uji Kyoto",
        "move Nara from Kyoto",
        "quiet Ada ada wb-",
        "table Otsu",
        "tell Ada ada 2 Kyoto call-1",
        "visa Japan Trip Kyoto call-0",
    ]
    assert [row for row in wb.compare(recorded, forked).comparison.rows if row.relation != "same"] == []
    assert (asked["visa"].arguments, asked["visa"].injected) == ({"country": "Japan"}, {"trip": '{"city":"Kyoto"}', "call": '"call-0"'})
    assert [(name, list(one.injected)) for name, one in sorted(asked.items()) if name != "visa"] == [
        ("chart", ["trip"]),
        ("move", ["state", "call"]),
        ("quiet", ["config"]),
        ("table", []),
        ("tell", ["runtime"]),
    ]
    assert "the graph adds trip = " in str(asked["visa"])
    ledgers = [recorded.bench.ledger(run_id=one.run_id) for one in (served, forked)]
    keys = [dict(zip(lines["name"], lines["idempotency_key"], strict=True)) for lines in ledgers]
    assert keys[0] == keys[1] == {name: one.idempotency_key for name, one in asked.items()}
    assert "a Frame, which LangGraph can't write down: its text was handed on" in next(one.says for one in forked.receipt.records if one.name == "table")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("keep", "its argument 'store' is the graph's store, which is held in the re-run's process"),
        ("recall", "its code uses runtime.store, and the graph's store can't leave the re-run's process"),
        ("lend", "its argument 'state' holds a lock at ['lock'], which LangGraph can't write down"),
        ("sure", "it asks a person in its body (interrupt)"),
    ],
)
@pytest.mark.parametrize("recorded", ["staying"], indirect=True)
def test_staying(name: str, says: str, recorded: wb.RecordedRun, ledger: Path) -> None:
    """A tool that needs what can't cross does not go live: the reason and what to do are told before anybody is asked."""
    forked = recorded.fork(
        0, live=[f"tool:{name}"], execute=["first"], graph=f"{replay_injected.__name__}:staying", approve=lambda question: pytest.fail(str(question))
    )
    assert says in forked.receipt.outcome
    assert "put a result in its place" in forked.receipt.outcome
    assert ledger.read_text() == ""


# ---- tools that read the state


def test_a_key_of_what_is_made_looks_nothing_up() -> None:
    """A tool that only writes a channel reads none of it; one that looks there too, in whatever way, does."""

    def spend(state: dict[str, Any]) -> dict[str, Any]:
        """Say what is left."""
        return {"messages": [str(state["balance"])]}

    def repeat(state: dict[str, Any]) -> dict[str, Any]:
        """Say it all again."""
        return {"messages": [*state["messages"]]}

    found = [looked_up_in(StructuredTool.from_function(one)) & {"messages", "balance"} for one in (spend, repeat)]
    assert found == [{"balance"}, {"messages"}]


def test_without_source_every_text_counts() -> None:
    """Code that was made of a text has no source to read: what may be looked up is taken to be."""
    made: dict[str, Any] = {}
    exec("def body(state: dict) -> dict:\n    'Move.'\n    return {'messages': state['city']}", made)  # our own text
    assert {"messages", "city"} <= looked_up_in(StructuredTool.from_function(made["body"], name="body"))


@pytest.mark.parametrize(
    ("state", "refused"),
    [
        ({"city": "Kyoto"}, {}),
        ({"trip": {"city": "Oslo"}}, {"weigh": "trip"}),
        ({"city": "Oslo", "trip": {"city": "Oslo"}}, {"afford": "city", "rank": "city", "weigh": "trip"}),
    ],
)
@pytest.mark.parametrize("recorded", ["reading"], indirect=True)
def test_reading_another_state(state: dict[str, Any], refused: dict[str, str], recorded: wb.RecordedRun, ledger: Path) -> None:
    """What a tool made of the state is not served where that holds another value in what it reads, but as stale, marked; any other tool's answer is."""
    tools = [name for name, _ in CALLS["reading"]]
    forked, stale = (
        recorded.fork(at(recorded, "afford"), state=state, stale=names, graph=f"{replay_injected.__name__}:reading") for names in ((), tuple(tools))
    )
    marked = {one.name: one.says for one in stale.receipt.records if one.kind == "tool" and one.says}
    why = {name: f"stale: its code reads the run's state, of which {channel} held another value then" for name, channel in refused.items()}
    assert (marked, stale.run.status, ledger.read_text()) == (why, "ok", "")
    halted = [(one.name, one.says.partition(": put a result")[0].partition(": ")[2]) for one in forked.receipt.records if one.answer == "halted"][:1]
    assert {name: f"stale: {says.removesuffix(', so what it returned then is not served now')}" for name, says in halted}.items() <= why.items()
    assert bool(halted) == bool(why) == (not forked.receipt.clean)


@pytest.mark.parametrize("recorded", ["reading"], indirect=True)
def test_result_in_place_of_what_read_another_state(recorded: wb.RecordedRun, ledger: Path) -> None:
    """A result that was put in the place of a call is that whatever the state holds, and the calls beside it are served on the state as it was."""
    forked = recorded.fork(at(recorded, "rank"), tool_result="tea in Nara", stale=["model"], graph=f"{replay_injected.__name__}:reading")
    answers = {one.name: one.answer for one in forked.receipt.records if one.kind == "tool"}
    assert answers == {"afford": "served", "rank": "edited", "weigh": "served", "name_it": "served"}
    assert ledger.read_text() == ""


# ---- what the graph's store held


@pytest.mark.parametrize("recorded", ["shelved"], indirect=True)
def test_looking_for_what_runs_had_put_into_the_store(recorded: wb.RecordedRun, ledger: Path) -> None:
    """Off the recorded course a node that looks for what a run had put into the store halts, or is given what there is, and the receipt says so."""
    where = {"at": next(step.index for step in recorded.steps if step.name == "fetch"), "graph": f"{replay_injected.__name__}:shelved"}
    unchanged, changed, stale = (
        recorded.fork(**where, **change) for change in ({}, {"state": {"city": "Uji"}}, {"state": {"city": "Uji"}, "stale": ["store"]})
    )
    assert (unchanged.receipt.clean, changed.receipt.clean, stale.receipt.clean) == (True, False, True)
    why = "the graph's store was asked for something, and what runs had put there was not recorded"
    assert (why in changed.receipt.outcome, "stale=['store']" in changed.receipt.outcome) == (True, True)
    assert (f"stale: {why}" in stale.receipt.notes, stale.final_state()["city"]) == (True, "Uji or nowhere")


@pytest.mark.parametrize("recorded", ["remembering"], indirect=True)
def test_what_a_model_was_told_of_the_store(recorded: wb.RecordedRun, ledger: Path) -> None:
    """On the recorded course a node that looks into the store stands as it was, where its model would be told something else; off it, it halts."""
    at = next(step.index for step in recorded.steps if step.kind == "model")
    graph = f"{replay_injected.__name__}:remembering"
    unchanged, changed = recorded.fork(at, graph=graph), recorded.fork(at, state={"city": "Uji"}, graph=graph)
    assert (unchanged.receipt.clean, changed.receipt.clean) == (True, False)
    assert ["after the graph's store had been asked for what was not recorded" in one.says for one in unchanged.receipt.records if one.kind == "node"] == [True]
    assert "the graph's store was asked for something" in changed.receipt.outcome


@pytest.mark.parametrize("recorded", ["unshelved"], indirect=True)
def test_a_store_that_production_gave(recorded: wb.RecordedRun, ledger: Path) -> None:
    """A tool that can't be called without a store is served where the graph's module makes none: production had one."""
    forked = recorded.fork(0, graph=f"{replay_injected.__name__}:unshelved")
    assert {one.name: one.answer for one in forked.receipt.records if one.kind == "tool"} == {"keep": "served", "afford": "served"}
    assert (forked.receipt.clean, ledger.read_text()) == (True, "")


# ---- what the sandbox may ask for


def packed(value: Any) -> Packed:
    return Packed(kind="value", data=base64.b64encode(JsonPlusSerializer().dumps_typed([value])[1]).decode())


@pytest.mark.parametrize(
    ("injected", "says"),
    [
        ({"country": packed("Peru")}, "country is nothing that the graph fills in for it"),
        (
            {"trip": Packed(kind="value", data=base64.b64encode(ormsgpack.packb([ormsgpack.Ext(0, ormsgpack.packb(("os", "system", "exit 1")))])).decode())},
            "os.system",
        ),
        ({"trip": packed(Tokens())}, "it is given workbench.model.Tokens, which the graph's schema does not name"),
    ],
)
def test_hostile_injection(injected: dict[str, Packed], says: str) -> None:
    """A re-run can't replace an argument that a person approved, nor have a type made that the graph's schema does not name."""
    with pytest.raises(CantCrossError, match=re.escape(says)):
        Crossing.of(replay_injected.crossing).unpack(replay_injected.visa, injected)


def test_injected_as_an_argument() -> None:
    """What the graph fills in can't be handed over as if the model had given it."""
    question = {"kind": "tool", "name": "visa", "arguments": {"country": "Japan", "trip": {"city": "Oslo"}}, "injected": {}}
    question |= {"idempotency_key": "k", "call_id": "call-0"}
    assert answer(question, Crossing.of(replay_injected.crossing)) == {"refused": "visa: the graph fills in trip, so no model's call can"}
