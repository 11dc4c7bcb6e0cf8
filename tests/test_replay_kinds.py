"""Recorded values come back as what they were: of the same type, whole, and in no other order than nobody's."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import SecretStr

import workbench as wb
from tests import replay_kinds
from tests.recording_agents import read_back, recording
from workbench.live import recorder
from workbench.live.returned import written
from workbench.reading import kinds
from workbench.reading.serde import UndecodedError
from workbench.replay.fence.answers import as_returned, is_told
from workbench.store import Store

CONFIG: Any = {"configurable": {"thread_id": "thread"}}


@contextlib.contextmanager
def recorded(folder: Path, name: str) -> Iterator[wb.RecordedRun]:
    """The recorded run of a graph."""
    folder.mkdir(exist_ok=True)
    with recording(getattr(replay_kinds, name), folder) as running:
        running.invoke({"asked": "this"}, CONFIG)
    with read_back(folder) as run:
        yield run


def forked(run: wb.RecordedRun, name: str, **change: Any) -> wb.RecordedRun:
    return run.fork(0, graph=f"{replay_kinds.__name__}:{name}", trust=True, **change)


def failing(fork: wb.RecordedRun) -> list[str]:
    return [f"{one.name}: {one.says}" for one in fork.receipt.checks if one.verdict == "fail"]


UNCHANGED = ("rating", "counting", "picturing", "drawing", "tagging", "citing", "pointing", "sending", "flowing")


@pytest.mark.parametrize("name", UNCHANGED)
def test_an_unchanged_replay_ends_in_the_recorded_state(name: str, tmp_path: Path) -> None:
    """What a node wrote is what goes into the state, whatever its code makes of what it is given; what comes after it sees that."""
    with recorded(tmp_path, name) as run:
        fork = forked(run, name)
        assert (failing(fork), fork.final_state()) == ([], run.final_state())


@pytest.mark.parametrize("name", ["tagging", "counting"])
def test_sets_have_no_order(name: str, tmp_path: Path) -> None:
    """Nor where the code of every node runs, in a process that goes through them in another order."""
    with recorded(tmp_path, name) as run:
        fork = forked(run, name, execute=["*"])
        assert (failing(fork), fork.final_state()) == ([], run.final_state())


def test_a_state_too_deep_to_be_looked_into(tmp_path: Path) -> None:
    """It reloads as it was all the same."""
    with recorded(tmp_path, "nesting") as run:
        assert failing(forked(run, "nesting", execute=["*"])) == []


def test_what_is_executed_and_writes_otherwise_fails_a_check(tmp_path: Path) -> None:
    """By name, where nothing was to be another."""
    with recorded(tmp_path, "drawing") as run:
        fork = forked(run, "drawing", execute=["drawn"])
        assert "same state: other values than recorded were written by drawn" in failing(fork)
        (note,) = [one for one in forked(run, "drawing").receipt.notes if "drawn" in one]
        assert note == "drawn wrote other values than recorded (said): its recorded writes were served (execute=['drawn'] lets those of its code stand)"


@pytest.mark.parametrize("name", ["rating_after", "picturing_after", "citing_after", "metering_after"])
def test_off_the_recorded_course_values_come_back_as_what_they_were(name: str, tmp_path: Path) -> None:
    """After a change the code runs on numbers, dates, tuples, types of its own, an artifact, documents with their ids, a model's answer with what it took."""
    with recorded(tmp_path, name) as run:
        fork = forked(run, name, tool_result="13")
        assert ([*failing(fork), *fork.receipt.notes], fork.final_state()) == ([], run.final_state() | ({"kept": "13"} if "citing" not in name else {}))


def test_what_only_the_checkpoint_holds_is_taken_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another recorder tells of documents without their ids: the task that retrieved them wrote them whole."""
    monkeypatch.setattr(recorder, "written", lambda _: {})
    with recorded(tmp_path, "citing_after") as run:
        fork = forked(run, "citing_after", tool_result="13")
        assert (failing(fork), fork.final_state()) == ([], run.final_state())


def test_a_type_that_nobody_recorded_is_said_to_be_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the re-run hangs on it; on course, what the node wrote stands, and nothing hangs on it."""
    monkeypatch.setattr(recorder, "written", lambda _: {})
    with recorded(tmp_path, "rating_after") as run:
        unchanged, changed = forked(run, "rating_after"), forked(run, "rating_after", tool_result="13")
        assert (failing(unchanged), unchanged.final_state()) == ([], run.final_state())
        assert any(note.endswith("answers were untyped: tool rate") for note in changed.receipt.notes)
        assert any("whether it returned text or what that says was not recorded" in one for one in changed.receipt.divergences)
    with recorded(tmp_path / "picture", "picturing_after") as run:
        assert any("its artifact was not recorded" in one for one in forked(run, "picturing_after", tool_result="13").receipt.divergences)


def test_what_can_not_be_written_down_halts_by_name(tmp_path: Path) -> None:
    """Off the recorded course alone, and not where its text is asked for."""
    with recorded(tmp_path, "locking") as run:
        assert failing(forked(run, "locking")) == []
        halted = forked(run, "locking", tool_result="13")
        assert "which can't be made again here" in halted.outcome
        assert "_thread.lock" in halted.outcome
        assert failing(forked(run, "locking", tool_result="13", stale=["lock"])) == []


def test_a_tool_says_what_it_returns() -> None:
    """What it is declared to return tells what the text of its span was; one that leaves that open doesn't."""

    def declaring(hint: Any, wanted: str = "content") -> StructuredTool:
        def look() -> None:
            """Look."""

        look.__annotations__["return"] = hint
        return StructuredTool.from_function(look, response_format=wanted)

    given = [(float, "1.25", 1.25), (str, {"a": 1}, '{"a": 1}'), (Decimal, "1.10", Decimal("1.10")), (tuple[int, int], [1, 2], (1, 2)), (int, "x", "x")]
    assert [as_returned(value, declaring(hint)) for hint, value, _ in given] == [expected for _, _, expected in given]
    assert as_returned("3", declaring(tuple[int, dict[str, Any]], "content_and_artifact")) == 3
    for hint in (Any, str | float, bytes):
        assert (as_returned("1.25", declaring(hint)), is_told("1.25", declaring(hint)), is_told("text", declaring(hint))) == ("1.25", False, True)


SERIALIZER = JsonPlusSerializer(allowed_msgpack_modules=())


@pytest.mark.parametrize(
    "value",
    [*replay_kinds.VALUES.values(), {1, "a", None}, {(1, "b"): {"$made": 2}}, [frozenset({1})], dt.timedelta(days=1), Document("x", id="d"), -0.0, 2**63],
)
def test_what_is_told_can_be_made_again(value: Any) -> None:
    """As JSON, and the same for equal values."""
    told = json.loads(json.dumps(kinds.told(value, lambda one: SERIALIZER.dumps_typed([one])[1][1:])))
    serializer = SERIALIZER.with_msgpack_allowlist({("tests.replay_kinds", "Price"), ("tests.replay_kinds", "Grade")})
    made = kinds.made(told, lambda packed: serializer.loads_typed(("msgpack", packed)))
    assert (type(made), repr(made)) == (type(value), repr(value)) or made == value


def test_what_hides_itself_is_not_told() -> None:
    """A secret that shows asterisks wherever it is printed is in clear where LangGraph packs it."""
    assert written({"key": SecretStr("hunter2")}) == {kinds.LOST: "pydantic.types.SecretStr"}
    assert written(ToolMessage("picture", tool_call_id="call")) == {kinds.TEXT: True}
    assert written("12") == {kinds.VALUE: '"12"'}
    assert written([threading.Lock()]) == {kinds.LOST: "_thread.lock"}


@pytest.mark.parametrize(
    "told", [{"$bytes": "not base64"}, {"$made": 0, "$of": 1}, {"$made": "x", "$of": []}, {"$tuple": 1}, {"$float": "x"}, {"$object": 1, "$keys": {}}]
)
def test_what_was_told_by_nobody_is_refused(told: Any) -> None:
    """Or is plain data: it may come from anywhere."""
    with contextlib.suppress(UndecodedError):
        made = kinds.made(told, lambda packed: SERIALIZER.loads_typed(("msgpack", packed)))
        assert type(made) in {int, list, type(None)}


def test_what_the_instrumentor_hides_is_written_down_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor beside its spans."""
    monkeypatch.setenv("OPENINFERENCE_HIDE_OUTPUTS", "true")
    with wb.record(replay_kinds.citing, tmp_path / "bench.db") as running:
        running.invoke({"asked": "this"}, CONFIG)
    with Store.open(tmp_path / "bench.db") as store:
        spans = [span for group in store.groups([], ["thread"]) for span in group.spans]
    assert any(span.attributes.get("openinference.span.kind") == "RETRIEVER" for span in spans)
    assert not [name for span in spans for name in span.attributes if name in kinds.RETURNED]
