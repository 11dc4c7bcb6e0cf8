"""The tree of every span of a run: who is under whom, where the steps stand, what was collapsed or tried again, and what a view is sent of it."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import pytest
import traitlets
from hypothesis import given
from hypothesis import strategies as st

from tests.browser.runs import AGENT, CHAIN, NODE, TRACE, booked_twice, twice_findings, twice_spans
from workbench.model import Json, Run, Span, Step
from workbench.normalise import normalise
from workbench.normalise.tree import MAX_LEVEL, Row, span_tree
from workbench.sketch import START_NS
from workbench.widgets import Stepper, packing
from workbench.widgets.spans import MAX_ATTRIBUTES, Spans

RUN = booked_twice()
SPANS = twice_spans(RUN)
MODEL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1", "gen_ai.response.id": "r-1"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}


def span(number: int, parent: int | None = None, **fields: Json) -> Span:
    """A span of a second that starts at its number's."""
    start = START_NS + number * 1_000_000_000
    given = {"name": f"s{number}", "start_ns": start, "end_ns": start + 1_000_000_000} | fields
    return Span(trace_id=TRACE, span_id=f"{number:016x}", parent_span_id=None if parent is None else f"{parent:016x}", **given)


def drawn(rows: list[Row]) -> list[str]:
    """The tree as one writes it: names, or what step it is, indented."""
    return [f"{'  ' * row.level}{row.step if row.step is not None else row.span and row.span.name}" for row in rows]


def test_steps_stand_among_the_spans() -> None:
    """A step stands where its span does, one without a span where it began, and what was begun inside stands below."""
    assert drawn(span_tree(RUN, SPANS)) == [
        "0",
        "invoke_agent travel-agent",
        *(f"  {step}" for step in range(1, 9)),
        "  act",
        "    9",
        "  ChatOpenAI",
        "    10",
        "      POST",
        "      POST",
        "  11",
        "  12",
        "flush",
        "ping",
        "  pong",
    ]


def test_a_call_that_is_told_twice_points_at_its_step() -> None:
    """The wrapper around a model call, a tool's span inside a tool call and another instrumentor's record name the step they tell of once more."""
    spans = [
        span(0, attributes={"gen_ai.operation.name": "invoke_agent"}),
        span(1, 0, attributes=MODEL, end_ns=START_NS + 9_000_000_000),
        span(2, 1, attributes=MODEL),
        span(4, 0, attributes=TOOL, end_ns=START_NS + 9_000_000_000),
        span(5, 4, attributes=TOOL),
        span(6, 0, attributes={**MODEL, "gen_ai.response.id": "r-2"}, scope="one"),
        span(6, 0, attributes={**MODEL, "gen_ai.response.id": "r-2"}, scope="two").model_copy(update={"span_id": f"{7:016x}"}),
    ]
    run = normalise(spans, [])[0]
    told = {row.span.name: row.same_as for row in span_tree(run, spans) if row.span and row.step is None and row.kind != "agent"}
    assert [(step.kind, step.span_id) for step in run.steps] == [("model", f"{2:016x}"), ("tool", f"{4:016x}"), ("model", f"{6:016x}")]
    assert told == {"s1": 0, "s5": 1, "s6": 2}


def test_what_was_tried_again_is_counted() -> None:
    """A span that follows its failed brother of the same name is the next attempt; what an HTTP client counted is taken from it."""
    post = {"http.request.method": "POST"}
    failed = {"status": "error", "attributes": post}
    spans = [
        span(0),
        span(1, 0, name="POST", **failed),
        span(3, 0, name="POST", **failed),
        span(5, 0, name="POST", attributes=post),
        span(7, 0, name="POST", attributes=post),
        span(9, 0, name="GET", attributes={"http.request.method": "GET", "http.request.resend_count": 3}),
        span(8, 0, name="lone", **failed),
    ]
    assert [row.attempt for row in span_tree(Run(run_id="r"), spans)] == [1, 1, 2, 3, 1, 1, 4]


def test_steps_that_were_tried_again_say_so() -> None:
    """The second attempt of an operation carries that as a badge, with how long was waited, and so does what an engine counted itself."""
    badges = packing.outline(RUN, ())["steps"]["badges"]
    assert badges == {11: ["attempt 2, 1.3 s later"]}
    counted = RUN.model_copy(update={"steps": (RUN.steps[1].model_copy(update={"attempts": 3}),)})
    assert packing.outline(counted, ())["steps"]["badges"] == {0: ["3 attempts"]}


def test_lost_spans_stand_at_the_top_and_are_counted() -> None:
    """A parent that was not recorded and parents that lead in a circle leave their spans at the top, and the view says how many."""
    rows = span_tree(RUN, SPANS)
    assert {row.span.name: row.lost for row in rows if row.lost and row.span} == {"flush": "parent", "ping": "circle"}
    assert Stepper(RUN, spans=SPANS)._spans["lost_says"] == "1 span at the top: parent not recorded · 1 span at the top: parents in a circle"


@given(st.lists(st.integers(0, 14), min_size=1, max_size=15))
def test_whatever_the_parents_every_span_stands_there_once(parents: list[int]) -> None:
    """However parents lead, back or nowhere, each span has one line, and each line's level is at most one below the line above it."""
    spans = [span(number, parent) for number, parent in enumerate(parents)]
    rows = span_tree(Run(run_id="r"), spans)
    assert Counter(row.span.span_id for row in rows if row.span) == Counter(one.span_id for one in spans)
    assert rows[0].level == 0
    assert all(after.level <= before.level + 1 for before, after in itertools.pairwise(rows))


def test_a_tower_of_spans_is_bounded() -> None:
    """Of 3,000 spans each inside the one before, those past the deepest level stand on it."""
    rows = span_tree(Run(run_id="r"), [span(number, number - 1 if number else None) for number in range(3_000)])
    assert [row.level for row in rows] == [min(number, MAX_LEVEL) for number in range(3_000)]


def test_a_step_without_a_span_stands_in_the_span_that_was_open() -> None:
    """What a checkpoint or a message tells of stands beside the step before it, further up where that span had ended."""
    at = {"trace_id": TRACE, "kind": "node", "name": "n"}
    second = 1_000_000_000
    steps = (
        Step(index=0, span_id=f"{2:016x}", started_ns=START_NS + 2 * second, **at),
        Step(index=1, started_ns=START_NS + 2 * second + 5, **at),
        Step(index=2, started_ns=START_NS + 6 * second, **at),
        Step(index=3, **at),
        Step(index=4, started_ns=START_NS + 90 * second, **at),
    )
    spans = [span(0, end_ns=START_NS + 60 * second), span(1, 0, end_ns=START_NS + 3 * second), span(2, 1)]
    assert drawn(span_tree(Run(run_id="r", steps=steps), spans)) == ["s0", "  s1", "    0", "    1", "    3", "  2", "4"]


def test_a_fork_has_only_the_spans_of_its_own_steps() -> None:
    """Of its parent's spans a fork keeps those that its steps are, are in, or hold."""
    fork = RUN.model_copy(update={"forked_from": "booked-twice", "steps": RUN.steps[:10]})
    kept = drawn(span_tree(fork, SPANS))
    assert kept[-2:] == ["  act", "    9"]
    assert "flush" not in kept


def test_a_run_without_spans_has_no_tree() -> None:
    """Where only checkpoints or messages tell of a run, the view is sent no tree."""
    assert Stepper(RUN)._spans == {}


def test_a_span_is_chosen_by_the_start_of_its_id() -> None:
    """`span` takes an id or an unambiguous start of it, shows every span, and is in the line of code; choosing a step leaves it."""
    view = Stepper(RUN, spans=SPANS, span=AGENT)
    assert (view.every_span, view._line, view.code) == (True, 1, f'bench.run("booked-twice").view(span="{AGENT}")')
    view.span = CHAIN[:-1] + "3"
    assert view._line == 12
    view.step = 3
    assert (view.span, view._line, view.code) == ("", -1, 'bench.run("booked-twice").view(step=3, every_span=True)')
    view._line = 10  # as the browser does
    assert view.span == NODE


def test_the_span_of_a_step_chooses_the_step() -> None:
    """An id from one's logs that is a step's opens the step, at what was recorded of its span."""
    view = Stepper(RUN, spans=SPANS)
    view.span = f"{9:016x}"
    assert (view.step, view.tab, view.span, view.every_span) == (9, "span", "", True)


@pytest.mark.parametrize(("asked", "says"), [("ffff", r"no span of booked-twice with an id that begins with 'ffff': the nearest is"), ("0000", "19 spans of")])
def test_a_span_that_is_not_there_is_refused(asked: str, says: str) -> None:
    """An id that no span has, or that many begin with, is a TraitError that says so, and the choice stays."""
    view = Stepper(RUN, spans=SPANS, span=AGENT)
    with pytest.raises(traitlets.TraitError, match=says):
        view.span = asked
    assert view.span == AGENT


def test_spans_of_two_traces_with_one_id_are_told_apart() -> None:
    """Where another trace has a span of the same id, it is known by both ids, and ids travel as they are."""
    spans = [span(1), span(1).model_copy(update={"trace_id": "ee" * 16})]
    tree = Spans(Run(run_id="r"), spans)
    assert sorted(tree.ids) == [f"{1:016x}", f"{'ee' * 16}:{1:016x}"]
    assert tree.columns(10**6)["ids"] == tree.ids


def test_what_a_span_says() -> None:
    """Its detail has moment, status, scope and ids, the status message, attributes, events with their times, and the resource."""
    view = Stepper(RUN, twice_findings(RUN), spans=SPANS)
    places = {known: place for place, known in enumerate(view.tree.ids)}
    node = view.answer({"ask": "span", "place": places[NODE]})["detail"]
    assert node["events"][0]["name"] == "exception"
    assert node["events"][0]["after_us"] == 30_005_000
    assert ["exception.type", "TimeoutError"] in node["events"][0]["attributes"]
    assert f"parent {AGENT}" in node["facts"]
    assert view._details["spans"][places["b1".zfill(16)]]["said"] == "503 from upstream"
    assert view._details["spans"][places["b2".zfill(16)]]["resource"] == [["service.name", "travel"]]
    assert "scope travel.agent" in view._details["spans"][1]["facts"]


def test_a_step_without_a_span_says_so() -> None:
    """Asking for the span of a step that has none is answered with the reason."""
    assert "this step has no span" in Stepper(RUN, spans=SPANS).answer({"ask": "span", "place": 0})["error"]


def test_long_attributes_are_cut_and_fetched_and_many_are_counted() -> None:
    """A long attribute arrives as its beginning and comes in parts, whatever its name; of very many attributes the first come, and how many more there are."""
    attributes = {"long": "x" * 250_000, **{f"a{number}": number for number in range(MAX_ATTRIBUTES + 9)}}
    view = Stepper(RUN, spans=[span(99, attributes=attributes)])
    place = view.tree.place(f"{99:016x}")
    shown = view.answer({"ask": "span", "place": place})["detail"]["attributes"]
    assert shown[-1] == ["…", "10 more in the store"]
    text, left = shown[0][1]
    while left:
        answer = view.answer({"ask": "text", "step": 0, "key": ["span", place, "attributes", 0, 1], "left": left})
        text, left = text + answer["text"], answer["more"]
    assert text == attributes["long"]


def test_hostile_texts_can_travel() -> None:
    """Lone surrogates in names, ids and attributes of spans are sent with the broken parts written out."""
    broken = span(1, name="a\ud800", attributes={"\udfff": "\ud800"}, status_message="\udc00", scope="\ud83d").model_copy(update={"span_id": "s\ud800"})
    view = Stepper(RUN, spans=[broken], span="s\ud800")
    json.dumps([view.get_state(), view.code], ensure_ascii=False).encode("utf-8")
    compile(view.code, "cell", "eval")


def test_twenty_thousand_spans_fit_the_budget() -> None:
    """Opening a run of 20,000 spans, a third of them steps, sends at most a megabyte, code and the ids of all included."""
    spans = [span(number, number // 50 * 50 if number % 50 else None, name=f"name {number % 30}") for number in range(20_000)]
    steps = tuple(
        Step(
            index=row, kind="tool", name=f"tool_{row % 9}", trace_id=TRACE, span_id=one.span_id, started_ns=one.start_ns, ended_ns=one.end_ns, result="x" * 200
        )
        for row, one in enumerate(spans[2::3])
    )
    view = Stepper(Run(run_id="long", steps=steps, span_count=len(spans)), spans=spans, step=3_000)
    assert packing.size(view.get_state()) <= 1_000_000
    assert len(view._spans["ids"]) > 200_000
    assert 3_000 in view._details["steps"]
