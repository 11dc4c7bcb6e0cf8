"""What a plain node's HTTP calls are answered can be changed, or made to fail, one at a time; the rest is served, and what follows runs on it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

import workbench as wb
from tests import replay_services
from tests.recording_agents import read_back, recording, recording_later
from tests.serving import Service, serving
from workbench.cli import app
from workbench.replay import ForkError

CONFIG: Any = {"configurable": {"thread_id": "thread"}}
GRAPHS = replay_services.__name__


class Polled(Service):
    """Answers what it is asked with its path, and polls with their number; what is asked together is only answered once all have asked."""

    polls, together = itertools.count(1), itertools.count(1)
    all_asked = threading.Barrier(len(replay_services.CITIES))
    asked: ClassVar[list[str]] = []

    def answer(self, path: str, body: str) -> tuple[int, Any]:
        """What it says, and that it was asked."""
        self.asked.append(path)
        if path == "/together":
            self.all_asked.wait(60)
        return 200, {"/poll": lambda: f"poll {next(self.polls)}", "/together": lambda: f"number {next(self.together)}"}.get(path, lambda: {"path": path})()


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Its address."""
    with serving(Polled) as url:
        yield url


async def drive(name: str, folder: Path, url: str) -> None:
    """Run an agent for real, recorded."""
    graph = getattr(replay_services, name)
    if name == "later":
        async with recording_later(graph, folder) as running:
            await running.ainvoke({"url": url}, CONFIG)
    else:
        with recording(graph, folder) as running:
            running.invoke({"url": url}, CONFIG)


@contextlib.contextmanager
def recorded(name: str, folder: Path, url: str) -> Iterator[wb.RecordedRun]:
    """The recorded run of an agent."""
    asyncio.run(drive(name, folder, url))
    with read_back(folder) as run:
        yield run


@pytest.fixture(scope="module")
def run(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[wb.RecordedRun]:
    """A run whose nodes call services one after the other."""
    with recorded("several", tmp_path_factory.mktemp("several"), service) as found:
        yield found


def at(run: wb.RecordedRun, node: str) -> int:
    return next(step.index for step in run.steps if step.node == node)


def forked(run: wb.RecordedRun, node: str, **change: Any) -> wb.RecordedRun:
    """A fork with one HTTP call changed: nothing reaches the service, whatever came of it."""
    before = list(Polled.asked)
    fork = run.fork(at(run, node), graph=f"{GRAPHS}:several", **change)
    assert Polled.asked == before
    return fork


def said(run: wb.RecordedRun) -> list[str]:
    """What the last node, which runs after all, tells of each."""
    return str(run.final_state()["said"]).split(" | ")


def test_a_request_that_acts_is_an_effect_attempted(run: wb.RecordedRun, service: str) -> None:
    """What a node posts itself stands in the receipt and the ledger as a tool's act does; what it only gets does not."""
    fork = forked(run, "weather")
    assert {name: count for name, count in fork.receipt.attempts.items() if count} == {"attempted": 1, "served": 1}
    (line,) = run.bench.store.entries(run_id=fork.run_id)
    assert (line.kind, line.name, line.effect, line.guessed, line.answered) == ("http", f"POST {service}/book", "effect", True, "served")


WEATHER, BOOK, POLL = '{"path": "/weather"}', '{"path": "/book"}', '"poll 1", "poll 2", "poll 3"'


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        ({"kind": "timeout"}, f"200 ReadTimeout, 200 {WEATHER}"),
        ({"kind": "timeout", "times": 3}, "200 ReadTimeout, ReadTimeout, ReadTimeout"),
        ({"kind": "error"}, f"200 ConnectError, 200 {WEATHER}"),
        ({"kind": "error", "message": "ConnectTimeout: far away"}, f"200 ConnectTimeout, 200 {WEATHER}"),
        ({"kind": "error", "status": 503, "message": "busy"}, f"200 503 busy, 200 {WEATHER}"),
        ({"kind": "empty"}, "200 200 "),
        ({"kind": "slow", "seconds": 5}, f"200 ReadTimeout, 200 {WEATHER}"),
        ({"kind": "slow", "seconds": 0.01}, f"200 200 {WEATHER}"),
    ],
    ids=str,
)
def test_a_fault_of_one_of_several_calls(run: wb.RecordedRun, service: str, fault: dict[str, Any], heard: str) -> None:
    """The named call meets the fault as its client would, the attempt after it gets the recorded answer, and the node's other call is served."""
    fork = forked(run, "weather", fault={**fault, "call": f"GET {service}/weather"})
    assert said(fork) == [heard, f"200 {BOOK}", POLL]
    assert (fork.run.status, fork.receipt.calls.halted, fork.receipt.calls.blocked) == ("ok", 0, 0)
    assert fork.receipt.change.value == {**fault, "call": f"GET {service}/weather"}
    assert next(one.verdict for one in fork.receipt.checks if one.name == "change met") == "pass"


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        ("timeout", f"ReadTimeout, 200 {BOOK}"),
        ("error", f"ConnectionError, 200 {BOOK}"),
        ("empty", "200 "),
        ({"kind": "slow", "seconds": 5}, f"ReadTimeout, 200 {BOOK}"),
    ],
    ids=str,
)
def test_a_fault_of_the_only_call(run: wb.RecordedRun, fault: Any, heard: str) -> None:
    """Of a node that made one call no name is needed; requests' own exceptions are raised where it is the client."""
    assert said(forked(run, "booking", fault=fault)) == [f"200 200 {WEATHER}", heard, POLL]


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        ({"json": {"seats": 0}}, '200 {"seats": 0}'),
        ({"status": 404}, f"404 {BOOK}"),
        ({"status": 422, "body": "no", "headers": {"X-Kind": "ours"}}, "422 no"),
        ({"status": 503, "body": "busy"}, "503 busy, 503 busy, 503 busy"),
    ],
    ids=str,
)
def test_another_answer(run: wb.RecordedRun, answer: dict[str, Any], heard: str) -> None:
    """What is given of an answer takes the place of what was recorded, and stands for each further attempt at the same call too."""
    fork = forked(run, "booking", http=answer)
    assert said(fork)[1] == heard
    told = [(one.name.partition(" ")[0], one.answer, one.from_step) for one in fork.receipt.records if one.kind == "http"]
    assert told == [*[("POST", "edited", at(run, "booking"))] * heard.replace(", 503", "|").count("|"), ("POST", "edited", 1), *[("GET", "served", 2)] * 3]


@pytest.mark.parametrize("change", [{"http": {"status": 404}}, {"fault": {"kind": "timeout", "times": 2}}], ids=str)
def test_an_unchanged_replay_of_a_fork(run: wb.RecordedRun, change: dict[str, Any]) -> None:
    """A re-run of a fork hears what the fork heard, so that it makes the same steps again."""
    fork = forked(run, "booking", **change)
    again = forked(fork, "booking")
    assert said(again) == said(fork) != said(run)
    assert [row for row in wb.compare(fork, again).comparison.rows if row.relation != "same"] == []


def test_one_of_equal_calls(run: wb.RecordedRun, service: str) -> None:
    """A poll that is asked three times alike is changed by its number: the others get their own recorded answers."""
    assert said(forked(run, "poll", http={"call": 1, "json": "failed"}))[2] == '"poll 1", "failed", "poll 3"'
    assert said(forked(run, "poll", http={"call": f"GET {service}/poll", "json": "failed"}))[2] == '"failed", "poll 2", "poll 3"'


def test_a_compare_counts_what_nodes_post(run: wb.RecordedRun, service: str) -> None:
    """What a node posts itself counts alike in a comparison, the receipt and the ledger: served as attempted, edited as not, one before the cut once."""
    act = f"POST {service}/book"
    for node, change, effects, attempts in (
        ("weather", {}, "1 → 1", {"attempted": 1, "served": 1}),
        ("booking", {"http": {"json": {"seats": 0}}}, "1 → 0", {"edited": 1}),
        ("poll", {}, "1 → 1", {}),
    ):
        fork = forked(run, node, **change)
        compared = wb.compare(run, fork)
        assert compared.effects == {act: effects}
        assert compared.comparison.effects == fork.receipt.effects
        assert {name: count for name, count in fork.receipt.attempts.items() if count} == attempts
        assert [one.answered for one in run.bench.store.entries(run_id=fork.run_id)] == [name for name in attempts if name != "attempted"]
        assert compared.summary()["effects"].to_list() == [int(number) for number in effects.split(" → ")]
    assert "1 → 0: 0 attempted, 1 answered by the edit" in str(wb.compare(run, forked(run, "booking", http={"status": 404})))


def test_a_compare_tells_what_followed(run: wb.RecordedRun) -> None:
    """The nodes up to the change are the same, and those after it differ by what the change led to."""
    fork = forked(run, "booking", http={"json": {"seats": 0}})
    rows = wb.compare(run, fork).comparison.rows
    assert [(row.relation, row.aspects) for row in rows] == [("same", ()), ("changed", ("state",)), ("same", ()), ("changed", ("state",))]


def test_foreseen(run: wb.RecordedRun, service: str) -> None:
    """The forecast says which call is answered by the change, that the node's code runs, and that what follows runs on it; a slow call keeps the course."""
    foreseen = run.foresee(at(run, "booking"), http={"status": 404}).forecast.steps
    changed = f"its calls are served; POST {service}/book is answered by your change"
    assert [(one.how, one.says) for one in foreseen] == [("executed", changed), ("executed", "its calls are served"), ("executed", "")]
    late = run.foresee(at(run, "booking"), fault={"kind": "slow", "seconds": 0.1}).forecast.steps
    assert (late[0].says, late[2].how) == (f"its calls are served; POST {service}/book comes late", "stands")


@pytest.mark.parametrize(
    ("node", "change", "says"),
    [
        (
            "weather",
            {"fault": "timeout"},
            r"step 0 \(weather\) made several HTTP calls: say which with .call., .* it made 0 GET http://.*/station, 1 GET http://",
        ),
        ("weather", {"http": {"call": "GET http://127.0.0.1/wether", "status": 404}}, r"no HTTP call 'GET http://127.0.0.1/wether'; did you mean GET http"),
        ("weather", {"http": {"call": 2, "status": 404}}, "made no HTTP call number 2; it made 0 GET"),
        ("booking", {"http": {}}, "another HTTP answer says what is another: status, headers, json or body"),
        ("booking", {"http": {"json": 1, "body": "1"}}, "has one body: give json or body, not both"),
        ("booking", {"http": {"staus": 404}}, "there is no 'staus' in it; did you mean status"),
        ("booking", {"http": {"status": 1000}}, "'status' should be an HTTP status, from 100 to 599, and is 1000"),
        ("booking", {"http": 404}, "another HTTP answer should be .* it is 404"),
        ("booking", {"fault": {"kind": "timeot"}}, r"'kind' should be timeout, error, empty or slow, and is \"timeot\"; did you mean timeout\?"),
        ("booking", {"fault": {"kind": "timeout", "status": 503}}, "a timeout has no status: a fault with one is an error, or empty"),
        ("tell", {"fault": "timeout"}, r"no HTTP call of step 3 \(tell\) was recorded .*; what its node wrote can be changed too, with state at the next step"),
    ],
    ids=str,
)
def test_not_there(run: wb.RecordedRun, node: str, change: dict[str, Any], says: str) -> None:
    """A call that the node did not make, or an answer of another shape, is refused with what would be right, before anything runs."""
    with pytest.raises(ForkError, match=says):
        run.fork(at(run, node), graph=f"{GRAPHS}:several", **change)


def test_on_the_command_line(run: wb.RecordedRun) -> None:
    """`--http` takes the same as JSON, and the receipt prints what was asked."""
    asked = ["fork", "thread", "--at", str(at(run, "booking")), "--http", '{"status": 404}', "--graph", f"{GRAPHS}:several"]
    printed = CliRunner().invoke(app, [*asked, "--store", str(run.bench.store.path)])
    assert printed.exit_code == 0, printed.output
    assert 'http: {"status":404}' in printed.output


def test_asynchronous(service: str, tmp_path: Path) -> None:
    """An asynchronous client meets the same: its own time-out, another answer with its headers, and the recorded one where it tries again."""
    with recorded("later", tmp_path, service) as run:

        def heard(**change: Any) -> Any:
            return run.fork(0, graph=f"{GRAPHS}:later", **change).final_state()["said"]

        recorded_answer = "{'path': '/weather'} service"
        assert heard(fault={"kind": "slow", "seconds": 5}) == f"ReadTimeout, {recorded_answer}"
        assert heard(fault="error") == f"ConnectError, {recorded_answer}"
        assert heard(http={"json": {"rain": True}, "headers": {"x-kind": "other"}}) == "{'rain': True} other"


@pytest.mark.parametrize("city", ["Kyoto", "Nara"])
def test_the_same_call_of_two_tasks(service: str, tmp_path: Path, city: str) -> None:
    """Of branches that make the very same call at once, only the one that is forked at gets the other answer."""
    with recorded("beside", tmp_path, service) as run:
        wrote = {"Kyoto": "polled", "Nara": "said"}[city]
        step = next(step.index for step in run.steps if wrote in step.changes)
        before, after = run.final_state(), run.fork(step, graph=f"{GRAPHS}:beside", http={"json": "other"}).final_state()
        assert {name: after[name] for name in ("polled", "said")} == {name: before[name] for name in ("polled", "said")} | {wrote: '"other"'}


@pytest.fixture(scope="module")
def pooled(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[wb.RecordedRun]:
    """A run whose nodes call services from threads of their own."""
    with recorded("in_threads", tmp_path_factory.mktemp("in_threads"), service) as found:
        yield found


def in_threads(run: wb.RecordedRun, node: str, **change: Any) -> wb.RecordedRun:
    """A fork of it; nothing reaches the service, and no code halts."""
    before = list(Polled.asked)
    fork = run.fork(at(run, node), graph=f"{GRAPHS}:in_threads", **change)
    assert (Polled.asked, fork.receipt.calls.halted, fork.receipt.calls.blocked) == (before, 0, 0)
    return fork


def test_calls_in_a_nodes_own_threads_are_the_nodes(pooled: wb.RecordedRun, service: str) -> None:
    """What is asked in a pool or in threads that a node starts itself is listed as the node's own, whichever comes first."""
    assert {one.name for one in pooled.exchanges(at(pooled, "guide"))} == {f"GET {service}/{city}" for city in replay_services.CITIES}
    assert {(one.name, one.at_once) for one in pooled.exchanges(at(pooled, "wait"))} == {(f"GET {service}/together", True)}
    assert len(pooled.exchanges(at(pooled, "wait"))) == len(replay_services.CITIES)


def test_threads_are_answered_by_what_they_ask(pooled: wb.RecordedRun, service: str) -> None:
    """Each of several threads gets the answer to its own question; answers to the same one, asked at once, are given in turn, which is said."""
    fork = in_threads(pooled, "guide", execute=["guide", "wait", "sum_up"])
    assert fork.final_state() == pooled.final_state()
    assert [row for row in wb.compare(pooled, fork).comparison.rows if row.relation != "same"] == []
    assert fork.receipt.notes == (f"4 answers were given in turn: http GET {service}/together",)
    assert [one.says.partition(":")[0] for one in fork.receipt.records if one.kind == "http"] == [*[""] * 4, *["given in turn"] * 4]


def test_another_answer_in_a_thread(pooled: wb.RecordedRun, service: str) -> None:
    """One thread's call is changed by its name, one of the same calls by its number; the others get what they got."""
    assert said(in_threads(pooled, "guide", http={"call": f"GET {service}/Nara", "json": {"path": "other"}}))[0] == "/Kyoto other /Osaka /Uji"
    third = json.loads(pooled.exchanges(at(pooled, "wait"))[2].result["body"])
    assert said(in_threads(pooled, "wait", http={"call": 2, "json": "other"}))[1] == ", ".join(sorted({*said(pooled)[1].split(", "), "other"} - {third}))


def test_a_fault_in_a_thread(pooled: wb.RecordedRun, service: str) -> None:
    """A thread meets a fault as its client would, and its node with it."""
    fork = in_threads(pooled, "guide", fault={"kind": "timeout", "call": f"GET {service}/Nara"})
    assert (fork.run.status, [step.error for step in fork.steps if step.error]) == ("error", ["ReadTimeout('no answer (injected by the fork)')"])


@pytest.mark.parametrize("then", ["late", ""])
def test_a_thread_that_outlives_its_node(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    """What a thread asks once its node has ended is served as the node's; what was not recorded halts, though nobody waits for the answer."""
    monkeypatch.setenv("LATE", then)
    with recorded("outlived", tmp_path, service) as run:
        assert [one.name for one in run.exchanges(at(run, "leave"))] == ([f"GET {service}/late"] if then else [])
        monkeypatch.setenv("LATE", "late")
        before = list(Polled.asked)
        fork = run.fork(0, graph=f"{GRAPHS}:outlived")
        halts = [one.name for one in fork.receipt.records if one.answer == "halted"]
        assert (Polled.asked, halts[:1]) == (before, [] if then else [f"GET {service}/late"])
