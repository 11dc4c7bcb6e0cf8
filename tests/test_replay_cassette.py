"""What a cassette holds of a run, and how a tape plays it."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.model import Message, Run, ToolCall
from workbench.replay.recording.cassette import canonical_messages, edited, record
from workbench.replay.recording.place import node_path
from workbench.replay.recording.scrubbing import Scrubber, ScrubError, configured
from workbench.replay.recording.tape import Call, CutOff, Divergence, Tape, differences
from workbench.sketch import approval, model, restart, sketch, tool

ASKED = (Message(role="user", content="Book it"),)


def tape(*steps: Any, **options: Any) -> Tape:
    return Tape(record(sketch(*steps)), **options)


def book(flight: str, path: str = "tools") -> Call:
    return Call("tool", "book", path, {"flight": flight})


def booked(flight: str, result: str, **fields: Any) -> Any:
    return tool("book", {"flight": flight}, result, node="tools", **fields)


def test_kinds() -> None:
    """Model calls, tool calls and answers of people are recorded, each with its step and node path."""
    steps = (model("hello", messages=ASKED, node="agent"), booked("NH 1", "ok", namespace="quote:1f|", error=None), approval("sure?", "yes"))
    found = record(sketch(*steps)).interactions
    assert [(one.kind, one.node_path, one.step) for one in found] == [("model", "agent", 0), ("tool", "quote/tools", 1), ("human", "", 2)]
    assert found[2].arguments == "sure?"


def test_missing() -> None:
    """A step whose answer was not captured is listed with the reason."""
    steps = (
        model("hello"),
        tool("book", {"flight": "NH 1"}),
        tool("book", {"flight": "NH 1"}, status="running"),
        tool("book", {}, "ok").model_copy(update={"tool_call": ToolCall(name="book")}),
        approval("sure?"),
    )
    reasons = [one.why for one in record(sketch(*steps)).missing]
    assert reasons == [
        "what the model was given was not captured",
        "the result was not captured",
        "it never came back",
        "the arguments were not captured",
        "nobody answered",
    ]


def test_recorded_order() -> None:
    """Equal calls get their answers in recorded order, different calls whichever comes first, each only once."""
    played = tape(booked("NH 1", "first"), booked("NH 2", "other"), booked("NH 1", "second"))
    assert [played.take(book(flight)).interaction.result for flight in ("NH 2", "NH 1", "NH 1")] == ["other", "first", "second"]
    with pytest.raises(Divergence, match="the same call was recorded at step 0, 2, and each recording has been served once"):
        played.take(book("NH 1"))


def test_moved() -> None:
    """The same call at another node is served and marked as moved; one at its own node goes first."""
    played = tape(booked("NH 1", "elsewhere").model_copy(update={"node": "other"}), booked("NH 1", "here"))
    assert played.take(book("NH 1")).notes == ()
    assert played.take(book("NH 1")).notes == ("moved from other",)


def test_repeated() -> None:
    """A model may be asked the same again; it is marked as repeated."""
    played = tape(model("hello", messages=ASKED, node="agent"))
    call = Call("model", "renamed", "agent", canonical_messages(ASKED))
    assert [played.take(call).notes for _ in range(2)] == [(), ("repeated",)]


def test_ids_and_spacing_do_not_count() -> None:
    """What was said makes two model calls the same: not ids, names, times, or how a tool's JSON is spaced."""
    one = Message(role="tool", content='{"a": 1}', tool_call_id="1", at_ns=1)
    other = Message(role="tool", content='{"a":1}', tool_call_id="2", name="x")
    assert canonical_messages([one]) == canonical_messages([other])
    assert canonical_messages([one]) != canonical_messages([one.model_copy(update={"content": '{"a": 2}'})])


def test_lost_argument_name() -> None:
    """A tool's only text argument that was recorded without its name still matches, by its value."""
    played = Tape(record(sketch(tool("search", {}, "found").model_copy(update={"tool_call": ToolCall(name="search", raw="otel")}))))
    assert played.take(Call("tool", "search", "", {"query": "otel"})).interaction.result == "found"


def test_divergence() -> None:
    """A miss names the cassette, the call, the nearest recordings of the same tool first, what differs, and what can be done."""
    played = tape(tool("cancel", {"flight": "NH 12"}, "ok"), booked("NH 11", "ok"), booked("LH 4", "ok"))
    with pytest.raises(Divergence) as raised:
        played.take(book("NH 12"))
    said = str(raised.value).splitlines()
    assert said[0] == 'no recording of tool book({"flight":"NH 12"}) at tools in the cassette of run sketch (3 recorded answers from here on, 3 left)'
    assert said[1] == '  nearest: step 1 book at tools: $.flight: recorded "NH 11", asked "NH 12"'
    assert [line.split()[2] for line in said[2:4]] == ["2", "0"]
    assert said[4].startswith("  edit: ")
    assert "--serve-stale book" in said[5]
    assert not isinstance(raised.value, Exception)


def test_a_pattern_is_proposed_where_it_would_help() -> None:
    """To leave out what says nothing is told of a call that differs in the words of a text alone, not where there is an argument more or another tool."""
    for asked, proposed in (({"flight": "NH 12"}, True), ({"flight": "NH 12", "seat": "3A"}, False), ({"flight": 12}, False)):
        with pytest.raises(Divergence) as raised:
            tape(booked("NH 11", "ok")).take(Call("tool", "book", "tools", asked))
        assert ("[tool.workbench.replay.scrub]" in str(raised.value)) is proposed
    with pytest.raises(Divergence) as raised:
        tape(tool("cancel", {"flight": "NH 12"}, "ok")).take(book("NH 12"))
    assert "scrub" not in str(raised.value)


def test_only_some_steps() -> None:
    """Answers of steps that are not done again are not served."""
    with pytest.raises(Divergence, match=r"\(1 recorded answers from here on"):
        tape(booked("NH 1", "before"), booked("NH 2", "after"), steps=[1]).take(book("NH 1"))


def test_edited() -> None:
    """An edited step is served with the given result in place of what was recorded, also where nothing was."""
    run = sketch(booked("NH 1", "first"), tool("book", {"flight": "NH 1"}, status="running", node="tools"))
    played = Tape(edited(record(run), run, 1, {"id": 7}))
    assert [played.take(book("NH 1")).interaction.result for _ in range(2)] == ["first", {"id": 7}]


def test_cut_off() -> None:
    """Where the recorded run was cut off, an unchanged replay is too; started again, it goes on; free, it need not stop."""
    steps = (booked("NH 1", "ok"), *restart(booked("NH 2", "later")))
    played = tape(*steps, stops=[0])
    played.take(book("NH 1"))
    with pytest.raises(CutOff, match="cut off after step 0 and started again"):
        played.take(book("NH 2"))
    played.restart()
    assert played.take(book("NH 2")).interaction.result == "later"
    free = tape(*steps, stops=[0])
    free.free()
    assert free.take(book("NH 2")).interaction.result == "later"


def test_message_in_state() -> None:
    """A tool's message is taken from the state that its task wrote, by the id of its call."""
    call = ToolCall(name="book", arguments={}, call_id="7")
    written = {"messages": [{"type": "tool", "content": "full", "tool_call_id": "8"}, {"type": "tool", "content": "booked", "tool_call_id": "7"}]}
    step = tool("book", {}, "booked", task_id="t", changes=written).model_copy(update={"tool_call": call})
    (found,) = record(Run(run_id="r", steps=(step,))).interactions
    assert found.message["content"] == "booked"


@pytest.mark.parametrize(("namespace", "path"), [(None, "n"), ("", "n"), ("a:1f", "a/n"), ("a:1f|1|b:2e", "a/b/n")])
def test_node_path(namespace: str | None, path: str) -> None:
    """A node path has the nodes' names and neither task ids nor counters."""
    assert node_path(namespace, "n") == path


def test_differences() -> None:
    """Differences are named by JSON path, four at most."""
    assert differences({"a": [1, {"b": 2}], "c": 3}, {"a": [1, {"b": 4}], "d": 5}) == [
        "$.a[1].b: recorded 2, asked 4",
        "$.c: recorded 3, not asked",
        "$.d: not recorded, asked 5",
    ]
    assert differences(list(range(9)), [])[-1] == "and 5 more"


# ---- what differs from run to run

NOON_NS = 1_795_600_800 * 10**9
ONE, OTHER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def scrub(value: Any, known: str = "", **patterns: str) -> Any:
    return Scrubber((NOON_NS, NOON_NS), lambda one: one == known, patterns, clock=lambda: NOON_NS + 10**15).plain(value)


def test_times_of_the_run_are_scrubbed() -> None:
    """An instant near the run or the re-run is the time and says nothing, however it is written; any other is data."""
    assert scrub({"at": "2026-11-25T10:00:07.5Z", "said": "it is 2026-11-25 10:00:00"}) == {"at": "<time>", "said": "it is <time>"}
    assert scrub([1_795_600_801, 1_795_600_801.25, 1_795_600_801_250, "t=1795600801.5"]) == ["<time>", "<time>", "<time>", "t=<time>"]
    assert scrub(1_795_600_800 + 10**6) == "<time>"
    depart = {"depart": "2026-12-24T10:00:00Z", "day": "2026-11-25", "price": 1_700_000_000, "n": 7}
    assert scrub(depart) == depart


def test_days_of_the_run_are_scrubbed() -> None:
    """The day of the run says nothing, as prompts tell it; another day is data, and so is one that no calendar has."""
    for told in ("2026-11-25", "Wednesday, November 25, 2026, 10:00:07", "25 Nov 2026 at 9:30 am", "Nov 25th, 2026", "2026-11-25 Wednesday"):
        assert scrub(f"Today is {told}.") == "Today is <time>."
    for data in ("2026-12-03", "December 3, 2026", "2026-11-25-7", "31 February 2026"):
        assert scrub(f"on {data}") == f"on {data}"


def test_ids_that_no_answer_brought_are_scrubbed() -> None:
    """An id made up on the way says nothing; one that an answer brought is data. A pattern of the user's own is scrubbed wherever it matches."""
    assert scrub(f"request {ONE}") == "request <id>"
    assert scrub(f"order {ONE}", known=ONE) == f"order {ONE}"
    assert scrub("see req_A7", request="req_[A-Z0-9]+") == "see <request>"


def test_scrubbed_calls_match_and_say_so() -> None:
    """A call that differs in an id alone is served, after every exact match, and its note tells the difference."""
    played = tape(tool("book", {"flight": "NH 1", "key": ONE}, "first", node="tools"), tool("book", {"flight": "NH 2", "key": ONE}, "second", node="tools"))
    served = played.take(Call("tool", "book", "tools", {"flight": "NH 2", "key": OTHER}))
    assert served.interaction.result == "second"
    assert served.notes == (f'scrubbed: $.key: recorded "{ONE}", asked "{OTHER}"',)


def test_ids_that_are_data_do_not_match() -> None:
    """Another order's id, which a tool's answer brought, is another call."""
    steps = (tool("orders", {}, f"{ONE} and {OTHER}", node="tools"), tool("cancel", {"order": ONE}, "cancelled", node="tools"))
    with pytest.raises(Divergence, match="no recording of tool cancel"):
        tape(*steps).take(Call("tool", "cancel", "tools", {"order": OTHER}))


def test_stale() -> None:
    """Named so, a tool's call without a recording gets the nearest one's answer, marked; a person's word never is carried over."""
    played = tape(booked("NH 11", "ok"), booked("LH 4", "other"), approval("sure?", "yes"), stale=["book", "human"])
    served = played.take(book("NH 12"))
    assert (served.interaction.result, served.notes) == ("ok", ('stale: $.flight: recorded "NH 11", asked "NH 12"',))
    with pytest.raises(Divergence, match="an approval is never carried over"):
        played.take(Call("human", "interrupt", "", "really sure?"))


def test_patterns_of_the_project(tmp_path: Any) -> None:
    """A project's own patterns are read from its pyproject.toml, and one that is none is named."""
    (tmp_path / "pyproject.toml").write_text("[tool.workbench.replay.scrub]\nrequest = 'req_[a-z]+'\n")
    assert configured(tmp_path / "below") == {"request": "req_[a-z]+"}
    (tmp_path / "pyproject.toml").write_text("[tool.workbench.replay.scrub]\nrequest = '('\n")
    with pytest.raises(ScrubError, match=r"scrub\] request = '\(' is no regular expression"):
        configured(tmp_path)


def test_share() -> None:
    """A cassette says how many of the run's steps a re-run can be served; what its node wrote stands for a lost answer."""
    lost = tool("book", {"flight": "NH 1"}, node="tools")
    kept = lost.model_copy(update={"task_id": "t", "checkpoint_id": "c"})
    found = record(sketch(booked("NH 2", "ok"), lost, kept))
    assert (found.steps, found.replayable) == (3, 2)
    assert [(str(one), one.by_node) for one in found.missing] == [
        ("step 1 book: the result was not captured", False),
        ("step 2 book: the result was not captured", True),
    ]


def test_stale_is_offered_where_something_was_recorded() -> None:
    """A call that has no recording is offered another's answer where there is one, as a shell and Python take its name; else it is not."""
    played = tape(tool("it's here", {"city": "Nara"}, "found"))
    with pytest.raises(Divergence) as halted:
        played.take(Call("tool", "it's here", "", {"city": "Uji"}))
    assert """serve stale: stale=["it's here"] (--serve-stale 'it'"'"'s here') gives""" in str(halted.value)
    with pytest.raises(Divergence) as halted:
        played.take(Call("tool", "elsewhere", "", {"city": "Uji"}))
    assert "serve stale" not in str(halted.value)
    assert 'go live: live=["tool:elsewhere"] (--live tool:elsewhere)' in str(halted.value)
