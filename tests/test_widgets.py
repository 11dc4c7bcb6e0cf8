"""The step-through view without a browser: where it opens, what it sends, what it answers, and its static form."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import traitlets

from workbench.comparison.difference import difference
from workbench.model import Evidence, Finding, Json, Run, Step
from workbench.sketch import model, sketch, tool, user
from workbench.widgets import Stepper, assets, packing
from workbench.widgets.excerpt import HIDDEN, as_text, excerpt, visible

WIDGETS = Path(packing.__file__).parent
RUN = sketch(
    user("Book NH 11"),
    model(calls=(("book_flight", {"flight": "NH 11"}),), confidence=0.9, offered=("book_flight", "search")),
    tool("book_flight", {"flight": "NH 11"}, error="TimeoutError: no answer"),
    tool("book_flight", {"flight": "NH 11"}, {"status": "confirmed"}),
    model("Booked."),
    run_id="booked-twice",
)


def finding(step: int | None, severity: str = "error", run: Run = RUN) -> Finding:
    """A finding at a step of a run."""
    evidence = (Evidence.cite(run, step, "$.name", "its name"),) if step is not None else ()
    return Finding(
        detector="duplicated-effect", run_id=run.run_id, severity=severity, score=1, step=step, message="twice", evidence=evidence, capability="idempotency"
    )


@pytest.mark.parametrize(
    ("findings", "opens_at"),
    [
        ((finding(4), finding(3), finding(1, "warning")), 3),
        ((finding(1, "info"), finding(4, "warning")), 4),
        ((finding(None),), 2),
        ((), 2),
    ],
)
def test_opens_at_the_first_bad_step(findings: tuple[Finding, ...], opens_at: int) -> None:
    """The view opens at the earliest step of the severest finding, else at the first error."""
    assert Stepper(RUN, findings).step == opens_at


def test_opens_at_the_beginning_of_a_good_run() -> None:
    """A run without errors or findings opens at its first step, whatever index that has."""
    steps = tuple(step.model_copy(update={"index": step.index + 7}) for step in RUN.steps if step.status == "ok")
    assert Stepper(Run(run_id="later", steps=steps)).step == 7


def test_step_can_be_given_and_set() -> None:
    """The chosen step is set at the start or later, the open tab too, and `code` follows them."""
    view = Stepper(RUN, step=1)
    assert view.code == 'bench.run("booked-twice").view(step=1)'
    view.step = 4
    assert view.code == 'bench.run("booked-twice").view(step=4)'
    view.tab = "state"
    assert view.code == 'bench.run("booked-twice").view(step=4, tab="state")'


def test_a_step_that_is_not_there_is_refused_with_the_nearest() -> None:
    """An index the run doesn't have is a TraitError that names the range, and the choice stays as it was."""
    view = Stepper(RUN, step=1)
    with pytest.raises(traitlets.TraitError, match=r"no step 99: steps go from 0 to 4, the nearest is 4"):
        view.step = 99
    assert view.step == 1


def test_the_browser_gets_no_echo_of_its_own_choice() -> None:
    """The traits a person moves by key or click are never echoed, so that held keys don't jump back."""
    view = Stepper(RUN)
    assert all(view.trait_metadata(name, "echo_update") is False for name in ("step", "tab", "collapsed", "_toggled"))


@pytest.mark.parametrize("run_id", ['"); import os; ("', "a\\", "x\ny", "\u202e", "\U0001f600", "plain"])
def test_code_is_a_harmless_literal_for_any_run_id(run_id: str) -> None:
    """Whatever a run is called, the line of code holds it as one string literal."""
    code = Stepper(RUN.model_copy(update={"run_id": run_id})).code
    parsed = compile(code, "cell", "eval", flags=0x400).body  # PyCF_ONLY_AST
    assert parsed.func.value.args[0].value == run_id
    assert code.isprintable()


def test_an_empty_run_opens() -> None:
    """A run without steps can be shown."""
    assert Stepper(Run(run_id="empty")).step == 0


def test_twenty_thousand_steps_fit_the_budget() -> None:
    """Opening 20,000 steps sends at most a megabyte, code included, with details of the steps around the opening one."""
    run = sketch(*(tool(f"tool_{number % 9}", {"number": number}, {"rows": "x" * 200}) for number in range(20_000)))
    view = Stepper(run, step=12_000)
    assert packing.size(view.get_state()) <= 1_000_000
    assert {11_990, 12_000, 12_010} <= view._details["steps"].keys()
    assert 0 not in view._details["steps"]


def test_a_huge_step_does_not_use_up_the_budget() -> None:
    """One step whose messages don't fit leaves room for the steps around it."""
    huge = model("x").model_copy(update={"messages": tuple(user("y" * 1_990 + str(number)).output for number in range(600))})
    view = Stepper(sketch(tool("a", {}, 1), huge, tool("b", {}, 2)))
    assert view._details["steps"].keys() == {0, 2}
    assert len(view.answer({"ask": "step", "step": 1})["messages"]) == 600


def test_messages_are_sent_once() -> None:
    """A message that two model calls were given travels once."""
    given = (user("Book NH 11").output, user("Now").output)
    run = sketch(*(model("x").model_copy(update={"messages": given}) for _ in range(5)))
    details = Stepper(run)._details
    assert len(details["messages"]) == 2
    assert details["steps"][4]["given"] == [0, 1]


def test_a_long_text_is_cut_and_fetched_in_parts() -> None:
    """A text of a million characters arrives as its beginning and a count; asking brings it part by part, nothing lost."""
    text = "".join(f"{number:06d} " for number in range(150_000))
    view = Stepper(sketch(tool("read", {}, text)))
    shown, left = view._details["steps"][0]["result"]
    assert len(shown) == 2_000
    while left:
        answer = view.answer({"ask": "text", "step": 0, "key": ["result"], "left": left})
        assert len(answer["text"]) <= 100_000
        shown, left = shown + answer["text"], answer["more"]
    assert shown == text


def test_lone_surrogates_can_travel() -> None:
    """Text that is not valid Unicode is sent with the broken parts written out."""
    view = Stepper(sketch(tool("read\ud800", {"\udfff": "\ud800"}, "a\ud83d", error="\udc00"), run_id="r\ud800"))
    json.dumps(view.get_state(), ensure_ascii=False).encode("utf-8")
    assert view._details["steps"][0]["result"] == "a\\ud83d"


def state_of(step: Step) -> dict[str, Json]:
    """A state that grows with the steps."""
    return {"messages": list(range(step.index)), "refund": {"status": None if step.index < 3 else "done"}}


def checkpointed() -> Run:
    """A run in which steps 1 and 2 share a checkpoint and step 4 belongs to a subgraph."""
    places = [("", "c0"), ("", "c1"), ("", "c1"), ("", "c2"), ("sub:1", "s0")]
    steps = tuple(step.model_copy(update={"namespace": place, "checkpoint_id": point}) for step, (place, point) in zip(RUN.steps, places, strict=True))
    return Run(run_id="checkpointed", steps=steps)


def test_log_probabilities_are_folded_in_what_a_step_wrote() -> None:
    """In writes and changes many log-probabilities are one line that counts them, few stand as they are, and the raw step has all."""
    many, few = ([{"token": "a", "logprob": -0.1}] * count for count in (40, 2))
    wrote = {"messages": [{"content": "Hi", "response_metadata": {"logprobs": {"content": many}, "first": {"logprobs": {"content": few}}}}]}
    run = sketch(tool("look", checkpoint_id="c0"), model("Hi", checkpoint_id="c1").model_copy(update={"changes": wrote}))
    view = Stepper(run, state=lambda step: wrote if step.index else {"messages": []})
    shown = packing.detail(run.steps[1])["wrote"]["messages"]
    assert "… 40 token log-probabilities: folded here" in shown
    assert shown.count('logprob":') == 2
    assert "… 40 token log-probabilities: folded here" in view.answer({"ask": "state", "step": 1})["changes"][0][2]
    assert str(view.answer({"ask": "raw", "step": 1})["raw"]).count('"token"') == 42


def test_state_comes_with_what_changed_since_the_last_checkpoint() -> None:
    """State is compared with that of the nearest earlier step that started from another checkpoint of the same graph."""
    view = Stepper(checkpointed(), state=state_of)
    answer = view.answer({"ask": "state", "step": 3})
    assert answer["since"] == 2
    assert answer["changes"] == [["+", "messages[2]", "2"], ["-", "refund.status", "null"], ["+", "refund.status", "done"]]
    assert view.answer({"ask": "state", "step": 2})["since"] == 0


def test_the_first_state_of_a_graph_has_nothing_to_compare_with() -> None:
    """In a subgraph's first step no change is claimed."""
    answer = Stepper(checkpointed(), state=state_of).answer({"ask": "state", "step": 4})
    assert "since" not in answer
    assert json.loads(answer["before"]) == state_of(RUN.step(4))


def test_a_state_that_cannot_be_read_says_so() -> None:
    """Errors of the state reader come back as text, and so does the lack of one."""

    def broken(step: Step) -> dict[str, Json]:
        raise OSError(f"database of step {step.index} is gone")

    assert Stepper(RUN, state=broken).answer({"ask": "state", "step": 1})["error"] == "OSError: database of step 1 is gone"
    assert "without a reader of checkpoints" in Stepper(RUN).answer({"ask": "state", "step": 1})["error"]


@pytest.mark.parametrize(
    "question", [{"ask": "state"}, {"ask": "step", "step": 77}, {"ask": "dance", "step": 1}, {"ask": "text", "step": 1, "key": ["no"], "left": 1}]
)
def test_a_bad_question_is_answered_with_an_error(question: dict[str, Json]) -> None:
    """Whatever the browser sends, it gets its question back with what was wrong."""
    answer = Stepper(RUN).answer(question)
    assert answer["error"]
    assert question.items() <= answer.items()


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": True}, ["- a=1", "+ a=True"]),
        ({"a": {"b": [1, 2, 4]}}, {"a": {"b": [1, 2, 3, 4]}}, ["+ a.b[2]=3"]),
        ({"a": [1, 2]}, {"a": [2]}, ["- a[0]=1"]),
        ({"a": 1, "b": 2}, {"b": 2, "c": 3}, ["+ c=3", "- a=1"]),
        ({"a": None}, {}, ["- a=None"]),
        ({"a": [{"x": 1, "y": 2}]}, {"a": [{"x": 1, "y": 3}]}, ["- a[0].y=2", "+ a[0].y=3"]),
        ({"a": float("nan")}, {"a": float("nan")}, []),
    ],
)
def test_difference_names_the_smallest_parts(before: Json, after: Json, lines: list[str]) -> None:
    """A difference lists what was removed and added, each at its path, and nothing that stayed."""
    assert [f"{line.sign} {line.path}={line.value}" for line in difference(before, after)] == lines


def test_json_is_laid_out_on_as_few_lines_as_fit() -> None:
    """JSON that fits one line stays on it; what doesn't is broken, and reads back as the same value."""
    value = {"short": {"id": 1}, "long": [{"name": "n" * 30, "number": 1}] * 2}
    text = as_text(value)
    assert '"short": {"id": 1},' in text
    assert max(map(len, text.splitlines())) <= 66
    assert json.loads(text) == value


def test_json_recorded_as_text_is_laid_out() -> None:
    """A result that came as JSON in one line of text is broken into lines like any JSON."""
    value = {"flights": ["NH 11"] * 10, "of": "é"}
    assert as_text(json.dumps(value)) == as_text(json.dumps(value, separators=(",", ":"))) == as_text(value) != json.dumps(value)


@pytest.mark.parametrize("inner", ['"id": 1, "id": 2', '"id": 0.10', '"id": 1e999', '"id" : 1', '"id": "\\/"', '"id": 1,', '"id": ' + "[" * 2000])
def test_text_is_never_laid_out_at_the_cost_of_its_content(inner: str) -> None:
    """Text with repeated keys, odd numbers, spacing or escapes, or that is no JSON, stays as it was recorded."""
    text = f'{{"padding": "{"x" * 80}", {inner}}}'
    assert as_text(text) == text


def test_deep_json_is_laid_out() -> None:
    """A value nested 900 deep is still text."""
    value: Json = "x" * 100
    for _ in range(900):
        value = [value]
    assert json.loads(as_text(value)) == value


def test_hidden_characters_become_visible() -> None:
    """Overrides, zero-width and tag characters are written out; letters, line ends and emoji sequences stay."""
    assert visible("a\u202eb\u200bc\x1b[31m\U000e0041\ud800") == "a⟨U+202E⟩b⟨U+200B⟩c⟨U+001B⟩[31m⟨U+E0041⟩⟨U+D800⟩"
    assert visible("\U0001f469\u200d\U0001f4bb\n\t\u05e9\u05dc é") == "\U0001f469\u200d\U0001f4bb\n\t\u05e9\u05dc é"
    assert visible("a\u200db") == "a⟨U+200D⟩b"


def test_browser_and_python_escape_the_same_characters() -> None:
    """The list of hidden characters in the ESM matches the same characters as the one in Python."""
    source = (WIDGETS / "elements.js").read_text(encoding="utf-8")
    listed = source[source.index("const HIDDEN") : source.index('].join("")')]
    text = "".join(re.findall(r'"(.*)"', listed)).replace("\\\\", "\\")
    text = re.sub(r"\\u\{([0-9a-f]+)\}", lambda match: f"\\U{match[1]:0>8}", text).replace("\\0", "\\x00")
    theirs = re.compile(text)
    differ = [hex(code) for code in range(0x110000) if bool(HIDDEN.fullmatch(chr(code))) != bool(theirs.fullmatch(chr(code)))]
    assert differ == []


def test_excerpts_count_what_they_leave_out() -> None:
    """A cut text carries the number of characters that are missing."""
    assert excerpt("abc", 3) == "abc"
    assert excerpt("abcd", 3) == ["abc", 1]


@pytest.mark.parametrize("path", [*WIDGETS.glob("*.js"), *WIDGETS.glob("*.css")], ids=lambda path: path.name)
def test_the_browser_side_never_makes_markup_of_text(path: Path) -> None:
    """An ESM has no way to turn text into markup, code or links, loads nothing, and has no import; a style sheet loads nothing."""
    source = path.read_text(encoding="utf-8")
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|setHTML"
    code_or_links = r"\beval\b|new Function|href|\bsrc\b|\bimport\b|https?:(?!//www\.w3\.org/2000/svg)|\bfetch\(|XMLHttpRequest|WebSocket"
    loads = r"url\(|@import|https?:"
    assert re.findall(loads if path.suffix == ".css" else f"{markup}|{code_or_links}", source) == []


def test_the_browser_side_is_small() -> None:
    """ESM and CSS together, as they travel, are at most 60 kB."""
    assert len(f"{Stepper._esm}{Stepper._css}".encode()) <= 60_000


def test_what_travels_means_what_was_written() -> None:
    """Remarks and spaces stay behind; templates, one inside another too, texts and patterns stay as they are."""
    template, text, pattern = "`a  ${rows.map(({ one }) => `, ${one ? `  (${one}  )` : 0} `)} b`", '"c  /  d"', "/[ ]  [{]/"
    script = f"// `remark`\nconst first = {template}; // another `\nconst second  =  [ {text}, {pattern} ];\n"
    assert assets.squeezed(script) == f"const first={template};const second=[{text},{pattern}];"


@pytest.mark.parametrize("path", [*WIDGETS.glob("*.js")], ids=lambda path: path.name)
def test_no_template_is_touched(path: Path) -> None:
    """Whatever stands in a template of ours reaches the browser."""
    bare = assets.REMARK.sub("", path.read_text(encoding="utf-8"))
    assert "`" not in assets.TEMPLATE.sub("", bare)
    assert all(template in assets.squeezed(bare) for template in assets.TEMPLATE.findall(bare))


def test_a_notebook_gets_live_static_and_plain_forms() -> None:
    """What is displayed has a live view, HTML for a reader without kernel, and text."""
    data, _ = Stepper(RUN, [finding(3)])._repr_mimebundle_()
    assert data.keys() == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert "duplicated-effect" in data["text/html"]
    assert "▸    3 ◆ ✓ tool book_flight" in data["text/plain"]
    assert data["text/plain"].endswith('bench.run("booked-twice").view(step=3)')


def test_the_static_form_is_inert() -> None:
    """The static HTML escapes every recorded text and uses only tags and styles that JupyterLab's sanitiser keeps."""
    payload = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e'\""
    run = sketch(tool(payload, {payload: payload}, payload, error=payload, node=payload), run_id=payload, agent=payload)
    found = finding(0, run=run).model_copy(update={"message": payload, "detector": payload})
    page = Stepper(run, [found])._repr_mimebundle_()[0]["text/html"]
    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z]+)", page))
    assert tags <= {"div", "b", "span", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre", "code"}
    assert "\u202e" not in page
    assert "var(" not in page


def test_the_static_form_of_a_long_run_is_short() -> None:
    """Of 20,000 steps the static form shows those around the chosen one and counts the rest."""
    run = sketch(*(tool("read", {"number": number}, "x" * 5_000) for number in range(20_000)))
    data = Stepper(run, step=10_000)._repr_mimebundle_()[0]
    assert len(data["text/html"]) + len(data["text/plain"]) < 100_000
    assert "19880 more steps" in data["text/html"]


def test_the_static_form_shows_nesting_and_counts_what_it_leaves_out() -> None:
    """Deeper steps are indented in the static forms, and findings past the twentieth are counted."""
    data = Stepper(sketch(tool("outer"), tool("inner", depth=1)), [finding(0)] * 23)._repr_mimebundle_()[0]
    assert ">&nbsp;&nbsp;&nbsp;inner<" in data["text/html"]
    assert "✓   tool inner" in data["text/plain"]
    assert all("… 3 more findings" in data[kind] for kind in ("text/html", "text/plain"))


def test_the_package_imports_without_ipywidgets() -> None:
    """Importing the widgets package loads neither anywidget nor ipywidgets until a widget is named."""
    code = "import sys, workbench.widgets; print([name for name in ('anywidget', 'ipywidgets') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=WIDGETS.parents[1]).stdout == "[]\n"


def test_an_unknown_widget_is_named() -> None:
    """Asking for a widget that doesn't exist lists those that do."""
    import workbench.widgets  # noqa: PLC0415

    with pytest.raises(AttributeError, match=r"no attribute 'Steper'; it offers .*Stepper"):
        workbench.widgets.Steper  # noqa: B018


def test_a_model_call_is_labelled_with_what_it_chose() -> None:
    """A row says what the model asked for; the model's name stands in the details. A plain answer keeps the name."""
    run = sketch(model(calls=(("book", {}), ("look", {})), name="m-1", model="m-1"), model("done", name="m-1", model="m-1"))
    steps = packing.outline(run, ())["steps"]
    assert [steps["names"][number] for number in steps["name"]] == ["→ book, look", "m-1"]
    assert ["m-1" in packing.facts(step) for step in run.steps] == [True, False]
