"""The recorded incidents are real, complete, clean of this machine, and the same when they are recorded again."""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from sample_traces import findings, fleet
from sample_traces.incidents import ALL, BOOKING, CONTROLS, INCIDENTS
from sample_traces.record import HERE, main
from sample_traces.script import DESK, answer
from sample_traces.scripted_chat import ScriptedChat
from sample_traces.travel_agent import graph
from sample_traces.travel_api import Faults, acts, serve

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}, "max_concurrency": 1}
FLIGHT = {"flight": "NH 204", "date": "2026-04-03", "passenger": "Ada", "fare_usd": 842}
ITINERARY = ("send_itinerary", {"to": "ada@example.com", "flight": "NH 204", "date": "2026-04-03"})
BOOKINGS = {"booked_twice": ["BK-1001", "BK-1002"], "healthy_booking": ["BK-1001"], "healthy_retry": ["BK-1001"]}
DETECTOR = {
    "booked_twice": "duplicated-effect",
    "progress_lost": "lost-progress",
    "followed_up_47_times": "waiting-ignored",
    "budget_burned": "runaway-loop, budget-exceeded",
    "quietly_wrong": "confidence-drift, empty-result-used, unescalated-doubt",
}
MAILS = {"followed_up_47_times": 47, "healthy_waiting": 1}


def spans(folder: Path) -> list[dict[str, Any]]:
    """The recorded spans in the order they ended, attributes as a mapping."""
    lines = [json.loads(line) for line in (folder / "spans.otlp.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [line["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for line in lines]
    return [{**span, "attributes": {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}} for span in found]


def calls(folder: Path, tool: str) -> list[dict[str, Any]]:
    """The arguments of each recorded call of one tool."""
    return [json.loads(span["attributes"]["input.value"]) for span in spans(folder) if span["name"] == tool]


def answers(folder: Path) -> list[dict[str, Any]]:
    """Each recorded answer of the model."""
    models = [span for span in spans(folder) if span["attributes"]["openinference.span.kind"] == "LLM"]
    return [json.loads(span["attributes"]["output.value"])["generations"][0][0]["message"]["kwargs"] for span in models]


def confidence(message: dict[str, Any]) -> float:
    """Exp of the mean token log-probability."""
    found = [token["logprob"] for token in message["response_metadata"]["logprobs"]["content"]]
    return math.exp(sum(found) / len(found))


def incident(name: str, folder: Path = HERE) -> dict[str, Any]:
    """What `incident.json` says."""
    return dict(json.loads((folder / name / "incident.json").read_text(encoding="utf-8")))


def booking_turn(*results: tuple[str, str, str]) -> list[AnyMessage]:
    """A booking's messages after these tool results (name, content, status)."""
    messages: list[AnyMessage] = [SystemMessage(f"{DESK.format(desk='booking')}\nNH 204 on 2026-04-03 costs 842 USD"), HumanMessage(f"{BOOKING}.")]
    for number, (name, content, status) in enumerate(results):
        call = {"name": name, "args": FLIGHT if name == "book_flight" else ITINERARY[1], "id": f"c{number}", "type": "tool_call"}
        messages += [AIMessage("", tool_calls=[call]), ToolMessage(content, tool_call_id=f"c{number}", name=name, status=status)]
    return messages


@pytest.mark.parametrize("name", ALL)
def test_folder_is_complete(name: str) -> None:
    """Each incident has its spans, checkpoints, story, notes and expected findings, and no journal is left beside the database."""
    assert {path.name for path in (HERE / name).iterdir()} == {"spans.otlp.jsonl", "checkpoints.sqlite", "incident.json", "README.md", "findings.txt"}
    assert len((HERE / name / "README.md").read_text(encoding="utf-8").splitlines()) == 7


@pytest.mark.parametrize("name", ALL)
def test_recording_names_no_machine(name: str) -> None:
    """No recorded file holds a path of the machine, a stack trace or a resource attribute beyond the service's name and version."""
    for path in (HERE / name).iterdir():
        content = path.read_bytes()
        assert not [word for word in (b"/work", b"/tmp", b"/root", b"/home", b"Traceback", b"127.0.0.1") if word in content]
    for line in (HERE / name / "spans.otlp.jsonl").read_text(encoding="utf-8").splitlines():
        keys = [item["key"] for item in json.loads(line)["resourceSpans"][0]["resource"]["attributes"]]
        assert keys == ["service.name", "service.version"]


@pytest.mark.parametrize("name", ALL)
def test_database_is_settled(name: str) -> None:
    """The checkpoint database is whole, holds the incident's one thread and is not in write-ahead mode."""
    with closing(sqlite3.connect(f"{(HERE / name / 'checkpoints.sqlite').as_uri()}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert database.execute("SELECT DISTINCT thread_id FROM checkpoints").fetchall() == [(ALL[name].thread_id,)]


@pytest.mark.parametrize("name", ALL)
def test_ledger_says_what_was_done(name: str) -> None:
    """The ledger of the travel API holds exactly the bookings and follow-ups of the story."""
    ledger = incident(name)["ledger"]
    assert [act["booking_id"] for act in ledger if act["act"] == "book_flight"] == BOOKINGS.get(name, [])
    assert len([act for act in ledger if act["act"] == "send_followup"]) == MAILS.get(name, 0)


@pytest.mark.parametrize("name", ALL)
def test_each_incident_has_its_one_finding(name: str) -> None:
    """Each incident is found by its own detectors and no other; the controls have no findings but hints."""
    lines = (HERE / name / "findings.txt").read_text(encoding="utf-8").splitlines()
    found = [line.split("  ") for line in lines if line != "no findings"]
    assert ", ".join(detector for _, severity, detector, _ in found if severity != "info") == DETECTOR.get(name, "")


def test_recordings_are_small() -> None:
    """All recordings together stay under seven megabytes."""
    assert sum(path.stat().st_size for name in ALL for path in (HERE / name).iterdir()) < 7_000_000


def test_five_incidents_and_five_controls() -> None:
    """There are five incidents and five healthy controls."""
    assert (len(INCIDENTS), len(CONTROLS)) == (5, 5)


@pytest.mark.parametrize("name", ["progress_lost", "healthy_resume"])
def test_kill_was_real(name: str) -> None:
    """The first process ended by SIGKILL, so its trace has model calls but no root span; the second ended by itself."""
    assert [life["ended"] for life in incident(name)["lives"]] == ["SIGKILL", "exit 0"]
    traces: dict[str, list[dict[str, Any]]] = {}
    for span in spans(HERE / name):
        traces.setdefault(span["traceId"], []).append(span)
    rooted = [any("parentSpanId" not in span for span in trace) for trace in traces.values()]
    assert rooted == [False, True]


def test_work_is_redone_only_where_it_was_not_resumed() -> None:
    """After the kill, the new message fetches receipts 1 to 3 again; the resumed run fetches each receipt once."""
    assert [call["number"] for call in calls(HERE / "progress_lost", "fetch_receipt")] == [1, 2, 3, 1, 2, 3, 4, 5, 6]
    assert [call["number"] for call in calls(HERE / "healthy_resume", "fetch_receipt")] == [1, 2, 3, 4, 5, 6]


def test_double_booking_repeats_the_call_without_a_key() -> None:
    """Both bookings have the same arguments and no idempotency key, and approval was asked for once."""
    assert calls(HERE / "booked_twice", "book_flight") == [FLIGHT, FLIGHT]
    assert calls(HERE / "booked_twice", "send_itinerary") == [ITINERARY[1]]
    assert len([span for span in spans(HERE / "booked_twice") if span["name"] == "approval" and "events" in span]) == 1


def test_healthy_retry_repeats_the_key() -> None:
    """The retry of the control carries the same idempotency key as the first call."""
    assert [call["idempotency_key"] for call in calls(HERE / "healthy_retry", "book_flight")] == ["R-2042", "R-2042"]


def test_no_two_followups_are_the_same() -> None:
    """The 47 follow-ups all differ in their text."""
    assert len({call["text"] for call in calls(HERE / "followed_up_47_times", "send_followup")}) == 47


def test_budget_loop_repeats_and_grows() -> None:
    """The loop asks 36 times with the same arguments, each thought costs more tokens than the last, and the run ends in an error."""
    folder = HERE / "budget_burned"
    assert calls(folder, "search_flights") == [{"route": "FRA-HND", "date": "2026-04-03"}] * 36
    costs = [message["usage_metadata"]["input_tokens"] for message in answers(folder)[1:]]
    assert costs == sorted(set(costs))
    assert spans(folder)[-1]["status"]["code"] == 2


def test_confidence_sinks_only_when_quietly_wrong() -> None:
    """Confidence falls from .95 to .40 over fifteen model calls in the quietly wrong run, and stays above .9 in every other."""
    sinking = [confidence(message) for message in answers(HERE / "quietly_wrong")][1:]
    assert sinking[0] == pytest.approx(0.95, abs=0.001)
    assert sinking[-1] == pytest.approx(0.404, abs=0.001)
    assert sinking == sorted(sinking, reverse=True)
    assert min(confidence(message) for name in ALL if name != "quietly_wrong" for message in answers(HERE / name)) > 0.9


def test_model_thinks_anew_when_a_result_changes() -> None:
    """With the first booking's real result in place of the second, the agent sends the same itinerary and reports one booking."""
    timeout = ("book_flight", "TimeoutError: POST /bookings timed out after 1 s", "error")
    once = ("book_flight", json.dumps({"booking_id": "BK-1001", "status": "confirmed", "charged_usd": 842, "bookings_on_card": ["BK-1001"]}), "success")
    assert answer(booking_turn(timeout)).calls == (("book_flight", FLIGHT),)
    assert answer(booking_turn(timeout, once)).calls == (ITINERARY,)
    assert "BK-1001, charged once" in answer(booking_turn(timeout, once, ("send_itinerary", "{}", "success"))).text


def test_model_answers_the_same_with_and_without_await() -> None:
    """Asked twice, synchronously and not, the model gives equal messages down to their ids."""
    model, messages = ScriptedChat(), booking_turn()
    assert model.invoke(messages) == asyncio.run(model.ainvoke(messages))


def test_agent_reaches_nothing_outside_the_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a travel API in the environment the first tool call fails and says which variable is missing."""
    monkeypatch.delenv("TRAVEL_API_URL", raising=False)
    with pytest.raises(RuntimeError, match="TRAVEL_API_URL is not set"):
        graph.invoke({"messages": [HumanMessage(f"{BOOKING}.")]}, CONFIG)


@pytest.mark.parametrize(("said", "done"), [("yes", ["book_flight", "send_itinerary"]), ("no", [])])
def test_approval_decides(said: str, done: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A yes books, anything else books nothing: in an asynchronous run of the same graph, against a live API."""
    agent = graph.copy(update={"checkpointer": InMemorySaver()})

    async def run() -> dict[str, Any]:
        asked = await agent.ainvoke({"messages": [HumanMessage(f"{BOOKING}.")]}, CONFIG)
        assert asked["__interrupt__"][0].value["question"] == "Book NH 204 on 2026-04-03 for 842 USD?"
        return dict(await agent.ainvoke(Command(resume=said), CONFIG))

    with serve(tmp_path / "ledger.jsonl") as url:
        monkeypatch.setenv("TRAVEL_API_URL", url)
        ended = asyncio.run(run())
    assert [act["act"] for act in acts(tmp_path / "ledger.jsonl")] == done
    assert isinstance(ended["messages"][-1], AIMessage)


def test_booking_is_made_though_its_answer_never_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out that the tool reports comes after the booking stands in the ledger."""
    book = next(tool for tool in graph.nodes["tools"].bound.tools_by_name.values() if tool.name == "book_flight")  # type: ignore[attr-defined]
    with serve(tmp_path / "ledger.jsonl", Faults(late_bookings=1)) as url:
        monkeypatch.setenv("TRAVEL_API_URL", url)
        with pytest.raises(TimeoutError, match="POST /bookings timed out"):
            book.invoke(FLIGHT)
        assert [act["booking_id"] for act in acts(tmp_path / "ledger.jsonl")] == ["BK-1001"]


@pytest.mark.parametrize("name", ["booked_twice", "progress_lost"])
def test_recording_again_gives_the_same(name: str, tmp_path: Path) -> None:
    """A second recording has the same notes, ledger and findings, and the same spans: ids, names, parents and tool arguments, in the same order."""
    main([name, "--out", str(tmp_path)])
    assert (tmp_path / name / "findings.txt").read_bytes() == (HERE / name / "findings.txt").read_bytes()
    assert incident(name, tmp_path) == incident(name)

    def shape(folder: Path) -> list[tuple[Any, ...]]:
        return [(s["traceId"], s["spanId"], s.get("parentSpanId"), s["name"], s["attributes"].get("input.value")) for s in spans(folder / name)]

    assert shape(tmp_path) == shape(HERE)
    assert answers(tmp_path / name) == answers(HERE / name)


def test_unknown_incident_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """An incident that does not exist is refused, with the names of those that do."""
    with pytest.raises(SystemExit):
        main(["booked_thrice"])
    assert "no incident booked_thrice; there are booked_twice" in capsys.readouterr().err


def test_graph_loads_in_another_process(tmp_path: Path) -> None:
    """The graph named in every incident loads from any folder and takes a checkpointer."""
    module, attribute = incident("booked_twice")["graph"].split(":")
    code = f"import {module} as m; from langgraph.checkpoint.memory import InMemorySaver as S; print(m.{attribute}.copy(update={{'checkpointer': S()}}).name)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(HERE.parent)})
    assert found.stdout == "travel-agent\n"


def test_findings_are_lines_in_step_order() -> None:
    """Findings become one line each: about the whole run first, then by step; none at all is said."""
    found: list[dict[str, Any]] = [
        {"detector": "duplicated-effect", "severity": "error", "step": 12, "message": "book_flight\n1 → 2"},
        {"detector": "confidence-drift", "severity": "warning", "step": None, "message": "down"},
    ]
    assert findings.text(found) == "run  warning  confidence-drift  down\nstep 12  error  duplicated-effect  book_flight 1 → 2\n"
    assert findings.text([]) == "no findings\n"


def test_a_simulated_day_is_the_same_again_and_only_late_answers_without_a_key_book_twice(tmp_path: Path) -> None:
    """The same seed writes the same files; a booking is made twice where its first answer came late and no key was sent, and nowhere else."""
    fleet.main([str(tmp_path / "a"), "--runs", "60", "--seed", "3"])
    fleet.write(tmp_path / "b", runs=60, seed=3)
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in ("spans.otlp.jsonl", "ledger.jsonl"))
    spans = (tmp_path / "a" / "spans.otlp.jsonl").read_text().splitlines()
    late = {str(number).zfill(4) for number, line in enumerate(spans) if "TimeoutError" in line and "request R-" not in line}
    booked = [act["run_id"] for act in acts(tmp_path / "a" / "ledger.jsonl") if act["act"] == "book_flight"]
    assert len(spans) == 60
    assert {run_id.removeprefix("run-") for run_id in booked if booked.count(run_id) > 1} == late != set()
