"""The fork panel, approvals, receipt and comparison views without a browser: what they offer, send, do and repeat as code."""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import traitlets

import workbench as wb
from tests.browser.forked import BOOKED, BOOKING, Recorded, exchange, forked, question, receipt
from tests.browser.runs import booked_twice
from workbench.model import Message, Receipt, Run, Step
from workbench.replay.effects.approvals import Reply
from workbench.replay.receipts import CHECKS, HOW_IT_FAILS
from workbench.replay.wishes import ForkError
from workbench.results.compared import Compared
from workbench.results.received import Received
from workbench.sketch import model, sketch, tool, user
from workbench.widgets import AskHere, ComparisonView, ForkPanel, ReceiptView, Stepper
from workbench.widgets.code import called
from workbench.widgets.packing import size

INCIDENT = Path(__file__).parents[1] / "sample_traces" / "booked_twice"
ASK = {"ask": "rerun", "kind": "tool_result", "text": json.dumps(BOOKING), "as_text": False, "live": ["model"], "budget": {"usd": 0.25}}


def arguments(code: str) -> dict[str, Any]:
    """The keyword arguments of a call, read as Python reads them."""
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(one.arg): ast.literal_eval(one.value) for one in call.keywords if not isinstance(one.value, ast.Call)}


# ---- the panel


@pytest.mark.parametrize(("step", "kind", "text"), [(9, "tool_result", "null"), (10, "message", None), (11, "tool_result", None)])
def test_opens_with_what_one_most_likely_changes(step: int, kind: str, text: str | None) -> None:
    """At a tool call the panel begins with its recorded result, at a model call with the last message it was shown."""
    panel = ForkPanel(Recorded(), step)
    assert panel.kind == kind
    assert text in (None, panel.text)
    assert panel._offers["kinds"][kind]["text"] == panel.text


def test_a_change_that_cant_be_made_there_says_why() -> None:
    """What can't change at a step is offered as such, with the reason and the nearest steps where it can."""
    kinds = ForkPanel(Recorded(), 9)._offers["kinds"]
    assert kinds["message"]["can"] is False
    assert "the nearest model steps are" in kinds["message"]["why"]
    assert kinds["fault"]["can"] is True


def test_moving_to_another_step_begins_anew() -> None:
    """Another step brings its own recorded value, and a forecast of its own; a step that isn't there is refused."""
    panel = ForkPanel(Recorded(), 9)
    panel.answer({"ask": "foresee", "step": 10})
    assert (panel.kind, panel._forecast["rows"][0][:2]) == ("message", ["9", "kept as recorded"])
    with pytest.raises(LookupError, match="no step 99"):
        ForkPanel(Recorded(), 99)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1,}', "line 1, column 9"),
        ('{\n "a" 1}', "line 2, column 6"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": 1, "a": 2}', "the key 'a' stands in an object"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: str, says: str) -> None:
    """A value that Python can't read as JSON starts nothing, and the answer says where it is wrong."""
    recorded = Recorded()
    panel = ForkPanel(recorded, 9)
    told = panel.answer({**ASK, "text": text})
    assert says in told["error"]
    assert (recorded.asked, panel.stage) == ([], "editing")


def test_a_rerun_does_what_the_code_says() -> None:
    """The re-run is given what was chosen, and `code` is the call that gives the same; the result names the new run and how to go on."""
    recorded = Recorded()
    panel = ForkPanel(recorded, 9)
    assert panel.answer(ASK) == {"ask": "rerun"}
    panel.wait(10)
    assert recorded.asked == [{"at": 9, "tool_result": BOOKING, "live": ["model"], "budget": {"usd": 0.25}}]
    assert {"at": 9, **arguments(panel.code)} == recorded.asked[0]
    assert (panel.stage, panel.fork.run_id, panel._result["clean"]) == ("done", "booked-twice~1", True)
    assert panel._result["code"]["compare"] == 'wb.compare(bench.run("booked-twice"), bench.run("booked-twice~1")).view()'
    assert "1 act" not in panel._result["why"]
    assert panel._result["effects"] == [[BOOKED, 2, 0, "0 attempted, 1 answered by the edit, 1 not attempted"]]
    assert "clean" in str(panel._repr_mimebundle_()[0]["text/html"])


def test_code_of_hostile_texts_is_only_ever_a_value() -> None:
    """Whatever stands in names and values, the line of code is a call with literals, equal to what was chosen."""
    hostile = {"k\u202e'\"\\": ['"); import os', "\x00\n", None, True, 1.5], "😀": {"": -3}}
    run = booked_twice().model_copy(update={"run_id": '"); evil("'})
    panel = ForkPanel(Recorded(run), 9, kind="tool_result", text=json.dumps(hostile))
    assert arguments(panel.code)["tool_result"] == hostile
    assert ast.dump(ast.parse(called("f", hostile), mode="eval"))
    assert ast.literal_eval(called("", '"); evil("')[1:-1]) == '"); evil("'


@pytest.mark.parametrize(
    ("chosen", "value"),
    [
        ({"kind": "message", "text": "Go", "place": 1}, {"message": {"index": 1, "content": "Go"}}),
        ({"kind": "system", "text": "{not json"}, {"system": "{not json"}),
        ({"kind": "tool_result", "text": "no seat", "as_text": True}, {"tool_result": "no seat"}),
        ({"kind": "fault", "text": '{"kind": "slow", "seconds": 2}'}, {"fault": {"kind": "slow", "seconds": 2}}),
        ({"kind": "state", "text": '{"budget": 5}'}, {"state": {"budget": 5}}),
        ({"kind": "none", "text": "left over"}, {}),
    ],
)
def test_each_kind_of_change(chosen: dict[str, Any], value: dict[str, Any]) -> None:
    """What stands in the editor becomes the value that its kind of change takes."""
    panel = ForkPanel(Recorded(), 10, **chosen)
    assert panel.options == value


def quoting() -> Recorded:
    """A run whose node asked two services."""
    recorded = Recorded(sketch(Step(index=0, kind="node", name="quote", node="quote"), model("Done.")))
    recorded.calls[0] = [exchange("GET", "rate", '{"rate": 1.5}'), exchange("POST", "quote", "accepted")]
    return recorded


def test_http_calls_of_a_node_are_offered() -> None:
    """At a node that called services, their answers can change, or fail: the panel begins with the recorded ones, by name; elsewhere it says why not."""
    panel = ForkPanel(quoting(), 0, kind="http")
    offers = panel._offers["kinds"]
    assert [json.loads(text) for _, text in offers["http"]["calls"]] == [
        {"call": "GET https://api.example/rate", "status": 200, "json": {"rate": 1.5}},
        {"call": "POST https://api.example/quote", "status": 200, "body": "accepted"},
    ]
    assert [words for words, _ in offers["fault"]["calls"]] == ["0 GET https://api.example/rate", "1 POST https://api.example/quote"]
    panel.answer({"ask": "foresee", "kind": "http", "text": '{"call": 1, "status": 404}'})
    assert panel.code.endswith('.fork(0, http={"call": 1, "status": 404})')
    assert "rows" in panel._forecast
    panel.answer({"ask": "foresee", "kind": "fault", "text": '"timeout"'})
    assert "made several HTTP calls: say which" in panel._forecast["error"]
    assert "no HTTP call of step 1" in ForkPanel(quoting(), 1)._offers["kinds"]["http"]["why"]


def test_a_context_is_given_by_hand() -> None:
    """What stands in the field for the context is given to the re-run, and stands in its code; what is no JSON starts nothing, and is told as the context's."""
    recorded = Recorded()
    panel = ForkPanel(recorded, 9, kind="none", context='{"user": "ada"}')
    assert panel.code == 'bench.run("booked-twice").fork(9, context={"user": "ada"})'
    panel.answer({"ask": "rerun"})
    panel.wait(10)
    assert recorded.asked == [{"at": 9, "context": {"user": "ada"}}]
    assert "the context: line 1, column 2" in panel.answer({"ask": "rerun", "context": "{user}"})["error"]


def test_seconds_are_those_of_the_rerun() -> None:
    """`seconds` bounds the re-run and stands in its code; how long a question waits is another matter."""
    panel = ForkPanel(Recorded(), 9, kind="none", seconds=30, wait=5)
    assert (panel.options, panel.desk.seconds) == ({"seconds": 30.0}, 5)
    assert panel.code == 'bench.run("booked-twice").fork(9, seconds=30.0)'


def test_the_recorded_state_is_fetched_on_request() -> None:
    """Channels of the state come when they are asked for; a very long one comes without its value, with its length."""
    panel = ForkPanel(Recorded(state={"budget": 900, "log": "x" * 300_000}), 9)
    assert panel.answer({"ask": "state"})["channels"] == [["budget", "900", 3], ["log", None, 300_002]]


def during(act: Callable[[dict[str, Any]], None]) -> tuple[ForkPanel, threading.Event]:
    """A panel whose re-run does something and then waits until it is let go."""
    go = threading.Event()

    def play(given: dict[str, Any]) -> None:
        act(given)
        go.wait(20)

    return ForkPanel(Recorded(play=play), 9, kind="none", by="Ada"), go


def test_stop_ends_the_rerun() -> None:
    """Stop tells the watch who stopped it; a second re-run is refused while one is under way."""
    begun, watches = threading.Event(), []
    panel, go = during(lambda given: (watches.append(given["watch"]), begun.set()))
    panel.rerun()
    assert begun.wait(10)
    assert "under way" in panel.answer({"ask": "rerun"})["error"]
    panel.answer({"ask": "stop"})
    assert (panel.stage, watches[0].stopped_by) == ("stopping", "Ada")
    with pytest.raises(TimeoutError, match="has not ended within 0 s"):
        panel.wait(0)
    go.set()
    panel.wait(10)
    assert (panel.stage, panel._result["clean"]) == ("done", False)


def test_a_question_waits_in_the_panel() -> None:
    """A re-run that wants to go live waits with its question, whole and safe, until a person answers; what was said is kept."""
    waiting, replies = threading.Event(), []
    panel, go = during(lambda given: replies.append(given["approve"](question())))
    panel.observe(lambda change: change["new"] and waiting.set(), "_waiting")
    go.set()
    panel.rerun()
    assert waiting.wait(10)
    (asked,) = panel._waiting
    assert (asked["name"], asked["effect"], asked["guessed"], asked["passes_key"]) == ("book_flight", "effect", True, False)
    assert json.loads(asked["arguments"]) == {"flight": "NH 11", "note": "für\u202eAda"}
    assert panel.answer({"ask": "reply", "number": asked["number"], "approved": True, "says": "customer agreed"}).get("error") is None
    panel.wait(10)
    assert replies == [Reply(True, "Ada", "customer agreed")]
    assert [(one["approved"], one["by"], one["says"], one["what"]) for one in panel.said] == [(True, "Ada", "customer agreed", 'book_flight(flight="NH 11")')]


def test_stopping_denies_what_waits() -> None:
    """Stop takes an open question back as a denial, and the next re-run may ask again."""
    waiting, replies = threading.Event(), []
    panel, go = during(lambda given: replies.append(given["approve"](question())))
    panel.observe(lambda change: change["new"] and waiting.set(), "_waiting")
    go.set()
    panel.rerun()
    assert waiting.wait(10)
    panel.stop()
    panel.wait(10)
    assert replies == [Reply(False, "Ada", "the re-run was stopped")]
    waiting.clear()
    panel.rerun()
    assert waiting.wait(10)
    panel.deny(panel._waiting[0]["number"])
    panel.wait(10)
    assert [one["approved"] for one in panel.said] == [False, False]


def test_what_goes_wrong_is_shown() -> None:
    """A fork that can't be made ends in the panel with its reason, and the panel can be used again."""

    def refuse(_: dict[str, Any]) -> None:
        raise ForkError("no graph is configured")

    panel = ForkPanel(Recorded(play=refuse), 9, kind="none")
    panel.rerun()
    panel.wait(10)
    assert (panel.stage, panel._result) == ("failed", {"error": "no graph is configured"})
    assert "no graph is configured" in repr(panel)
    assert panel.answer({"ask": "nonsense"})["error"] == "can't answer 'nonsense'"


def test_the_stepper_opens_the_panel_below() -> None:
    """The stepper's question for a fork puts the panel of that step below it, in place of the one before; without a store it says why there is none."""
    recorded = Recorded()
    stepper = Stepper(recorded.run, fork=lambda step: ForkPanel(recorded, step))
    assert stepper.answer({"ask": "fork", "step": 9}) == {"ask": "fork", "step": 9}
    assert (stepper.box.children, stepper.forked.step, stepper._outline["forks"]) == ((stepper, stepper.forked), 9, True)
    stepper.fork(10)
    assert [one.step for one in stepper.box.children] == [stepper.step, 10]
    assert "without a store" in Stepper(recorded.run).answer({"ask": "fork", "step": 9})["error"]


@pytest.mark.parametrize("widget", [ForkPanel, AskHere, ReceiptView, ComparisonView])
def test_the_browser_side_is_small(widget: type[Any]) -> None:
    """ESM and CSS of each view together, as they travel, are at most 60 kB."""
    assert len(f"{widget._esm}{widget._css}".encode()) <= 60_000


# ---- approvals


def test_nobody_answers() -> None:
    """A question that nobody answers in time is a denial that says so."""
    place = AskHere(wait=0, by="Ada")
    assert place(question()) == Reply(False, "nobody", "nobody answered within 0 s")
    assert (list(place._waiting), place.said[0]["approved"]) == ([], False)
    assert "denied by nobody" in repr(place)


def test_an_answer_is_a_plain_yes_or_no_to_an_open_question() -> None:
    """Neither a number that is not open nor an answer that is no plain yes or no counts."""
    place = AskHere()
    assert "question 3 is not open" in place.answer({"ask": "reply", "number": 3, "approved": True})["error"]
    assert "can't answer" in place.answer({"ask": "reply", "number": 0, "approved": "yes"})["error"]


def test_a_yes_in_the_panel_stands_in_ledger_and_receipt(tmp_path: Path) -> None:
    """A real re-run calls the tool for real only after the yes, and ledger and receipt tell who said it, with the note; here no server answers the call."""
    bench = wb.open(tmp_path / "a.db")
    bench.ingest(INCIDENT / "spans.otlp.jsonl", INCIDENT / "checkpoints.sqlite")
    panel = bench.run("booked-twice").fork_panel(11, kind="none", live=["tool:book_flight"], graph="sample_traces.travel_agent:graph", by="Ada")
    assert ["1", "made for real, after a person's yes", "11 book_flight", ""] in panel._forecast["rows"]
    waiting = threading.Event()
    panel.observe(lambda change: change["new"] and waiting.set(), "_waiting")
    panel.rerun()
    assert waiting.wait(60)
    assert panel._waiting[0]["already"][1] == "The recorded run did the same at step 13 (done)"
    panel.approve(panel._waiting[0]["number"], "customer agreed")
    panel.wait(60)
    lines = bench.store.entries(run_id=panel.fork.run_id)
    assert [(one.event, one.approved_by) for one in lines] == [("begun", "Ada"), ("failed", "Ada")]
    assert lines[0].says == "customer agreed"
    (went_live,) = panel.fork.receipt.view()._receipt["went_live"]
    assert went_live[2] == "Ada"
    assert str(panel.fork.receipt).startswith("receipt: not clean")
    bench.close()


# ---- receipt


def test_every_check_says_how_it_fails() -> None:
    """There is a sentence for each check, in the order of the checks."""
    assert list(HOW_IT_FAILS) == list(CHECKS)


@pytest.mark.parametrize("clean", [True, False])
def test_a_receipt_shows_itself_and_opens_as_a_view(clean: bool) -> None:
    """A receipt of a store is a receipt like any other, with text, HTML and a view; the view holds the verdict, each check and the isolation as a fact."""
    received = Received(**dict(receipt(clean=clean)))
    assert received.model_dump() == receipt(clean=clean).model_dump()
    assert isinstance(received, Receipt)
    view = received.view(part="calls", only="live")
    assert (view._receipt["clean"], ["isolation", "asked for process, reached"] in view._receipt["facts"]) == (clean, True)
    assert view.code == 'bench.run("booked-twice~1").receipt.view(part="calls", only="live")'
    data = view._repr_mimebundle_()[0]
    assert ("isolation level" in data["text/html"], "asked for process, reached" in data["text/plain"]) == (True, True)
    with pytest.raises(traitlets.TraitError):
        received.view(part="everything")


# ---- comparison


def test_a_comparison_opens_at_the_first_divergence() -> None:
    """The view opens at the first row that differs, holds what differs there, and its code opens it there again."""
    view = Compared(booked_twice(), forked(booked_twice())).view()
    assert (view.row, view._aligned["rows"]["others"][0]["signs"]) == (9, "=========~--=")
    assert [part[0] for part in view._aligned["told"][9]["others"][0]["parts"]] == ["status", "error", "result"]
    assert view.code == 'wb.compare(bench.run("booked-twice"), bench.run("booked-twice~1")).view(row=9)'
    assert view._head["runs"][1]["effects"][0][1:3] == [2, 0]
    assert "duplicated-effect" in {one[1] for one in view._head["runs"][1]["gone"]}
    assert "handed over without its store" in view.answer({"ask": "ends"})["ends"][0]["error"]
    assert "first divergence" in view._repr_mimebundle_()[0]["text/html"]


def ids(number: str) -> Run:
    """A run whose results differ in an id and a time alone."""
    result = {"request_id": f"r-{number}", "at": f"2025-06-15T10:00:0{number}Z", "seats": 3}
    return sketch(user("Seats?"), tool("search", {"to": "OSA"}, result), model("3 seats"), run_id=f"run-{number}")


def test_what_is_ignored_aligns_the_runs_anew() -> None:
    """Leaving out ids and times makes runs the same that differ in nothing else; three runs stand beside each other."""
    view = Compared(ids("1"), ids("2"), ids("3")).view()
    assert [one["signs"] for one in view._aligned["rows"]["others"]] == ["=~=", "=~="]
    view.ignore = ["ids", "times"]
    assert [one["signs"] for one in view._aligned["rows"]["others"]] == ["===", "==="]
    assert view.code == 'wb.compare(bench.run("run-1"), bench.run("run-2"), bench.run("run-3"), ignore=["ids", "times"]).view(row=1)'
    with pytest.raises(traitlets.TraitError):
        view.ignore = ["names"]


def test_five_thousand_rows_stay_small() -> None:
    """Two runs of 5,000 steps that differ in every tenth are sent in less than a megabyte; the rest of what rows say comes when it is asked for."""
    given = (Message(role="user", content="x" * 200),)

    def run(name: str) -> Run:
        said = (f"answer {index} {name if index % 10 == 0 else ''} {'y' * 400}" for index in range(5_000))
        steps = (Step(index=index, kind="model", name="chat", messages=given, output=Message(role="assistant", content=one)) for index, one in enumerate(said))
        return Run(run_id=name, steps=tuple(steps))

    runs = run("a"), run("b")
    view = ComparisonView(lambda ignored: Compared(*runs, ignore=ignored).comparisons, texts=lambda: ("", ""))
    assert view.row == 0
    assert size({"head": view._head, "aligned": view._aligned}) < 1_000_000
    assert 4_990 not in view._aligned["told"]
    assert view.answer({"ask": "rows", "from": 4_990, "to": 4_991})["told"][4_990]["others"][0]["parts"]
    assert len(view.answer({"ask": "rows", "from": 0, "to": 5_000})["told"]) == 200
