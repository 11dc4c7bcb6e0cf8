"""Reports say what the values hold, can be followed and checked, and keep whatever a trace contains inert."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from workbench.audit import Audit, audit
from workbench.comparison.comparison import compare
from workbench.comparison.controls import Outcome
from workbench.incident import Scope, incident_of
from workbench.model import Aligned, CallCounts, CallRecord, Change, Comparison, EffectCount, Evidence, Finding, Message, Note, NotEvaluated, Receipt, Run
from workbench.overview import Found, overview_of
from workbench.replay.sweeps import Cell
from workbench.report import (
    Report,
    ReportError,
    audit_report,
    comparison_report,
    html,
    incident_report,
    markdown,
    run_report,
    save,
    static,
    store_report,
    to_json,
)
from workbench.report.document import Table
from workbench.report.figure import FigureError, svg
from workbench.report.markup import STILL, element, escape
from workbench.report.markup import markdown as inert
from workbench.report.style import CSS, policy
from workbench.report.viewer import SCRIPT, STYLE
from workbench.results.swept import Repetition, Swept
from workbench.sketch import START_NS, model, sketch, tool, user

HOSTILE = (
    '"><script>alert(1)</script><img src=https://evil.example/x onerror=alert(1)>'
    "</style></pre></svg>' onclick='x [click](javascript:alert(1)) ![i](https://evil.example/i) <!-- ]]> &lt;b&gt; `</a>` |\x1b[31m\u202edrowkcab"
)
OURS = {"sha256", "href", "class", "id"}


def hostile_run(run_id: str = HOSTILE, note: str = "") -> Run:
    call = {HOSTILE: HOSTILE, "to": "x"}
    asked = model(HOSTILE, calls=((f"book_{HOSTILE}", call),), confidence=0.5, tokens=3, name=HOSTILE, messages=(Message(role="user", content=HOSTILE),))
    return sketch(
        user(HOSTILE),
        asked.model_copy(update={"notes": (HOSTILE,), "span_id": HOSTILE, "node": HOSTILE, "model": HOSTILE, "changes": {HOSTILE: HOSTILE}}),
        tool(f"book_{HOSTILE}", call, {HOSTILE: [HOSTILE]}, error=HOSTILE, notes=(note,) if note else ()),
        model(HOSTILE),
        run_id=run_id,
        agent=HOSTILE,
        sources=(HOSTILE,),
        notes=(HOSTILE,),
        conversation_id=HOSTILE,
    )


def hostile_finding(run: Run) -> Finding:
    proof = Evidence.cite(run, 2, "$.error", HOSTILE)
    return Finding(
        detector=HOSTILE, run_id=run.run_id, severity="error", score=1, step=2, message=HOSTILE, numbers={HOSTILE: HOSTILE}, evidence=(proof,),
        capability="security", refute=HOSTILE,
    )  # fmt: skip


def hostile_comparison() -> tuple[Comparison, Receipt]:
    left, right = hostile_run(), hostile_run(HOSTILE + "~1", "edited")
    rows = (Aligned(relation="same", left=0, right=0), Aligned(relation="changed", left=2, right=2, differs=("result",)), Aligned(relation="removed", left=3))
    effects = (EffectCount(tool=HOSTILE, key=HOSTILE, original=2, fork=1),)
    receipt = Receipt(
        run_id=right.run_id, parent_run_id=left.run_id, forked_at_step=2, change=Change(kind="tool_result", value=HOSTILE), live=(HOSTILE,), graph=HOSTILE,
        calls=CallCounts(served=1, halted=1), records=(CallRecord(kind="tool", name=HOSTILE, answer="halted", arguments=HOSTILE, says=HOSTILE),),
        outcome=HOSTILE, isolation=HOSTILE, parent_sha256={HOSTILE: "a" * 64}, notes=(HOSTILE,), effects=effects,
    )  # fmt: skip
    return Comparison(left=left, right=right, rows=rows, effects=effects), receipt


def hostile_reports() -> dict[str, Report]:
    run, (comparison, receipt) = hostile_run(), hostile_comparison()
    lacks = [NotEvaluated(detector=HOSTILE, run_id=run.run_id, why=HOSTILE)]
    return {
        "run": run_report(run, [hostile_finding(run)], lacks, receipt),
        "comparison": comparison_report(comparison, receipt, [hostile_finding(comparison.left)], [hostile_finding(comparison.right)]),
        "store": store_report([run, hostile_run("other")], [hostile_finding(run)], lacks),
        "audit": audit_report(hostile_audit(run), [run]),
        "incident": hostile_incident(run),
        "sweep": hostile_sweep(run),
    }


def hostile_sweep(run: Run) -> Report:
    """A fork with a hostile change, one without any, and one that could not be made, counted by what is called hostile words."""
    _, receipt = hostile_comparison()
    change = Change(kind="system", value=HOSTILE)
    forks = [Repetition(Cell(2, one, 0), "done", hostile_run(f"{HOSTILE}~{number}"), receipt) for number, one in enumerate((change, Change()))]
    return Swept(run, Outcome(HOSTILE, lambda _: True), [*forks, Repetition(Cell(2, change, 1), "failed", says=HOSTILE)]).report()


def hostile_incident(run: Run) -> Report:
    """An incident of hostile runs, found and noted in hostile words."""
    said, note = ([hostile_finding(run)], []), Note(incident=HOSTILE, run_id=HOSTILE, text=HOSTILE, noted_ns=1)
    runs = {one.run_id: one.model_copy(update={"metadata": {"version": one.run_id}}) for one in (run, hostile_run("other"))}
    headers = {run_id: one.model_copy(update={"steps": ()}) for run_id, one in runs.items()}
    overviews = [overview_of(one) for one in runs.values()]
    told = incident_of(Scope(name=HOSTILE), overviews, headers, {run.run_id: said[0]}, read=runs.__getitem__, notes=[note])
    return incident_report(told, lambda ids: map(runs.__getitem__, ids), overviews, *said)


def hostile_audit(run: Run) -> Audit:
    """Every item, one answered by hostile words and evidence."""
    first, *others = audit([run], {}).answers
    told = {"verdict": "not met", "says": (HOSTILE,), "evidence": (Evidence.cite(run, 2, "$.error", HOSTILE),), "record": None}
    return Audit(runs=1, answers=(first.model_copy(update=told), *(one.model_copy(update={"says": (), "evidence": ()}) for one in others)))


KINDS = ("run", "comparison", "store", "audit", "incident", "sweep")
VIEWED = ("run", "incident")
SCRIPTS: list[dict[str, str | None]] = [{"type": "application/json", "id": "viewer-data"}, {"type": "module"}]


class Page(HTMLParser):
    """What a browser would make of a page: its elements, attributes, ids and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Fail on an end tag that doesn't close what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        """Fail: no page of ours has a comment."""
        raise AssertionError(f"a comment: {data}")

    def attributes(self, name: str) -> list[str]:
        """Every value of one attribute."""
        return [value or "" for _, attributes in self.elements for key, value in attributes.items() if key == name]


def benign(report: Report) -> Report:
    """The same report with every hostile text replaced by a harmless one."""
    return Report.model_validate(json.loads(to_json(report).replace(escaped_in_json(HOSTILE), "harmless")))


def escaped_in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def shape(page: Page) -> list[tuple[str, tuple[str, ...]]]:
    return [(tag, tuple(sorted(attributes))) for tag, attributes in page.elements]


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_adds_no_element_and_no_attribute(kind: str) -> None:
    """A page of hostile text has exactly the elements and attributes that the same page of harmless text has."""
    report = hostile_reports()[kind]
    assert shape(Page(html(report))) == shape(Page(html(benign(report))))


@pytest.mark.parametrize("kind", KINDS)
def test_page_can_request_nothing(kind: str) -> None:
    """A page has no script but the viewer, no handler, no source and no inline style, and its links lead to anchors that exist on the page."""
    page = Page(html(hostile_reports()[kind]))
    tags, names = {tag for tag, _ in page.elements}, {key for _, attributes in page.elements for key in attributes}
    assert [attributes for tag, attributes in page.elements if tag == "script"] == (SCRIPTS if kind in VIEWED else [])
    assert not tags & {"img", "iframe", "object", "embed", "link", "form", "base", "a:href", "image", "use", "foreignobject", "animate"}
    assert not {name for name in names if name.startswith("on")} | (names & {"src", "srcset", "style", "action", "xlink:href", "background", "ping"})
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert set(page.attributes("href")) <= {f"#{name}" for name in ids}
    assert page.open == []


@pytest.mark.parametrize("kind", KINDS)
def test_page_states_a_strict_policy_before_anything_else(kind: str) -> None:
    """The policy forbids all but the one style sheet, and the viewer's script where there is one, by their hashes; it stands before them."""
    page = html(hostile_reports()[kind])
    (stated,) = (attributes["content"] for tag, attributes in Page(page).elements if attributes.get("http-equiv") == "Content-Security-Policy")
    style = CSS + STYLE if kind in VIEWED else CSS
    assert stated == policy(style, SCRIPT if kind in VIEWED else None)
    assert "default-src 'none'" in stated
    assert ("script-src" in stated) == (kind in VIEWED)
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert page.count("<style") == 1
    assert f"<style>{style}</style>" in page
    assert not [word for word in ("http:", "url(", "@import") if word in style]


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_is_shown_as_it_is(kind: str) -> None:
    """The text that was to be executed can be read on the page; invisible and direction-changing characters are shown as code points."""
    page = html(hostile_reports()[kind])
    text = "".join(Page(page).text)
    assert "<script>alert(1)</script>" in text
    assert "\\u202e" in text
    assert not {"\u202e", "\x1b"} & set(page)


@pytest.mark.parametrize("kind", KINDS)
def test_json_reads_back_to_the_same_report(kind: str) -> None:
    """A report written as JSON and read back is equal, and renders to the same page."""
    report = hostile_reports()[kind]
    again = Report.model_validate(json.loads(to_json(report)))
    assert again == report
    assert html(again) == html(report)


@pytest.mark.parametrize("kind", KINDS)
def test_markdown_has_no_live_markup(kind: str) -> None:
    """Markdown of hostile text has no HTML but our anchors, no image, no link but to our anchors."""
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", markdown(hostile_reports()[kind]), flags=re.MULTILINE | re.DOTALL)
    assert re.sub(r'<a id="[a-z0-9-]+"></a>', "", outside).count("<") == 0
    assert re.findall(r"(?<!\\)\]\((?!#[a-z0-9-]+\))", outside) == []
    assert "![" not in outside
    assert "https://" not in outside


@pytest.mark.parametrize("kind", KINDS)
def test_markdown_tables_keep_their_columns(kind: str) -> None:
    """A pipe in a trace adds no column: each row of a table has as many cells as its head."""
    blocks = re.findall(r"(?:^\|.*\|\n?)+", markdown(hostile_reports()[kind]), flags=re.MULTILINE)
    assert blocks
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block.strip().splitlines()}) == 1


# ---- what a report says


BOOK = {"flight": "NH 11"}
ASK = model(calls=(("book_flight", BOOK),), confidence=0.9, tokens=100, cost_usd=0.01)
RUN = sketch(user("Book NH 11"), ASK, tool("book_flight", BOOK, error="timed out"), ASK, tool("book_flight", BOOK, "B-2"), model("Booked."), run_id="r-1")
FINDING = Finding(
    detector="duplicated-effect", run_id="r-1", severity="error", score=0.9, step=4, message="book_flight 1 → 2", capability="idempotency",
    evidence=(Evidence.cite(RUN, 2, "$.error", "how it ended"),), refute="Fork at step 4.",
)  # fmt: skip


def words(page: str) -> str:
    return " ".join("".join(Page(page).text).split())


def test_statement_leads_to_step_and_evidence() -> None:
    """A finding links to its step, cites the value with a short hash, and says that the hash verifies."""
    page = html(run_report(RUN, [FINDING], []))
    assert 'href="#run-step-4"' in page
    assert 'id="run-step-4"' in page
    text = words(page)
    assert f"$.error how it ended: timed out · sha256 {FINDING.evidence[0].sha256[:12]} verified" in text
    assert "What would refute it: Fork at step 4." in text


def test_evidence_that_no_longer_matches_is_called_out() -> None:
    """A cited value that has another hash now, or is gone, is said to be so."""
    proof = FINDING.evidence[0]
    for other, says in (
        (proof.model_copy(update={"sha256": "0" * 64}), "does not match what was cited"),
        (proof.model_copy(update={"path": "$.nowhere"}), "not there"),
        (proof.model_copy(update={"step": 99}), "not there"),
    ):
        assert says in words(html(run_report(RUN, [FINDING.model_copy(update={"evidence": (other,)})], [])))


def test_what_was_not_recorded_is_never_zero() -> None:
    """A run without tokens and costs says that they were not recorded."""
    text = words(html(run_report(sketch(user("Hi"), model("Hello.")), [], [])))
    assert "tokens not recorded, cost not recorded" in text
    assert "$0" not in text


def test_a_cost_that_leaves_calls_out_is_a_least_one() -> None:
    """In a table of runs it stands with a sign, which is explained below; where every call has its cost, neither does."""
    partly, whole = (words(html(store_report([run], [], []))) for run in (RUN, sketch(user("Hi"), ASK, run_id="r-2")))
    assert "≥ $0.0200" in partly
    assert "≥: without model calls whose cost was not recorded" in partly
    assert "$0.0100" in whole
    assert "≥" not in whole


def test_no_finding_is_no_all_clear() -> None:
    """A report without findings says that this proves nothing, and what was not evaluated."""
    text = words(html(run_report(RUN, [], [NotEvaluated(detector="confidence-drift", run_id="r-1", why="2 confidences recorded, 8 are needed")])))
    assert "no proof that all is well" in text
    assert "2 confidences recorded, 8 are needed" in text


def test_comparison_marks_the_first_divergence_and_the_effects() -> None:
    """A comparison says `book_flight 2 → 1`, marks the first divergence once, and folds what is the same."""
    right = RUN.model_copy(update={"run_id": "r-1~1"})
    rows = (*(Aligned(relation="same", left=0, right=0) for _ in range(9)), Aligned(relation="changed", left=2, right=2), Aligned(relation="removed", left=4))
    effects = (EffectCount(tool="book_flight", key="book_flight(…)", original=2, fork=1),)
    text = words(html(comparison_report(Comparison(left=RUN, right=right, rows=rows, effects=effects))))
    assert "book_flight 2 → 1" in text
    assert text.count("first divergence") == text.count("The first divergence is marked") + 1
    assert "7 steps the same" in text


def fork_of_run() -> Run:
    """RUN forked at step 2, ten minutes later: one act answered by the edit, one served, one stopped."""
    own = (
        tool("book_flight", BOOK, "B-1", notes=("edited",)),
        tool("book_flight", BOOK, "B-2", notes=("served",)),
        tool("book_flight", BOOK, error="halted", notes=("halted",)),
    )
    steps = [*RUN.steps[:2], *own]
    later = START_NS + 600 * 10**9
    placed = [step.model_copy(update={"index": n, "started_ns": START_NS + n * 10**9 if n < 2 else later + n * 10**9}) for n, step in enumerate(steps)]
    return Run(run_id="r-1~1", steps=tuple(placed), started_ns=later + 2 * 10**9, forked_from="r-1", forked_at_step=2)


def cells(report: Report, section: str, column: str) -> list[str]:
    """The texts of one column of a section's first table."""
    (table,) = (block for one in report.sections if one.title == section for block in one.blocks if isinstance(block, Table))
    place = table.columns.index(column)
    return ["".join(part if isinstance(part, str) else part.text for part in row.cells[place]) for row in table.rows]


def test_a_forks_own_steps_are_timed_from_its_start() -> None:
    """In a fork the parent's steps have no time, its own count from its start; in any other run all count from the earliest step."""
    steps = tuple(tool("look").model_copy(update={"index": place, "started_ns": START_NS + n * 10**9}) for place, n in enumerate((1, 0, 2)))
    late = Run(run_id="late", steps=steps, started_ns=START_NS + 2 * 10**9)
    assert cells(run_report(fork_of_run(), [], []), "Steps", "at") == ["–", "–", "+0 ms", "+1.0 s", "+2.0 s"]
    assert cells(run_report(late, [], []), "Steps", "at") == ["+1.0 s", "+0 ms", "+2.0 s"]


def test_what_became_of_effects_reads_the_same_everywhere() -> None:
    """A count that changed says what became of the rest; a fork's report and the store's count and name the same acts."""
    fork = fork_of_run()
    compared = compare(RUN, fork)
    says = "2 → 1: 1 attempted (1 served), 1 answered by the edit, 1 stopped"
    assert cells(comparison_report(compared), "Side effects", "change") == [says]
    assert says in static.comparison_text(compared)
    assert says in words(static.comparison_html(compared))
    own = run_report(fork, [], [])
    assert cells(own, "Side effects attempted", "outcome") == ["edited by you", "served", "stopped"]
    assert "1 attempted (1 served), 1 answered by the edit, 1 stopped." in words(html(own))
    assert [one.effects for one in store_report([RUN, fork], [], []).listed] == [2, 1]


def test_side_by_side_shows_what_differs() -> None:
    """A changed step shows on either side the part that differs, however late it stands; arguments are in one order; an edited step is marked."""
    text = "x" * 500
    left = sketch(tool("look", {"b": 1, "a": 2}, {"long": text, "seats": text + "free"}), tool("look", {"b": 1, "a": 2}, 1))
    right = sketch(tool("look", {"a": 2, "b": 1}, {"long": text, "seats": text + "taken"}, notes=("edited",)), tool("look", {"a": 2, "b": 1}, 1))
    page = words(static.comparison_html(compare(left, right)))
    assert "look result.seats: …xxxxxxxxxxxxfree" in page
    assert "◆ edited look result.seats: …xxxxxxxxxxxxtaken" in page
    assert page.count("look a=2, b=1 → 1") == 2


def test_isolation_is_short_where_it_held() -> None:
    """A receipt names what the sandbox kept out; how that is known is folded away in a notebook, and what is lacking is always said."""
    _, receipt = hostile_comparison()
    held = receipt.model_copy(update={"isolation": "sandboxed: no network (a namespace), no programs (Landlock ABI 7)"})
    assert "isolation: sandboxed: no network, no programs\n" in static.receipt_text(held)
    assert "isolation in fullsandboxed: no network (a namespace)" in words(static.receipt_html(held)).replace("full sand", "fullsand")
    assert "no programs (Landlock" not in words(html(run_report(RUN, [], [], held)))
    lacking = receipt.model_copy(update={"isolation": "guarded, not sandboxed: no network: none (here)"})
    assert "no network: none (here)" in words(html(run_report(RUN, [], [], lacking)))


def test_receipt_says_what_was_stopped() -> None:
    """A receipt that isn't clean says so, with the call and the reason."""
    comparison, receipt = hostile_comparison()
    stopped = receipt.model_copy(update={"records": (CallRecord(kind="tool", name="pay", answer="halted", says="no recording; the nearest is step 3"),)})
    text = words(html(comparison_report(comparison, stopped)))
    assert "not clean" in text
    assert "1 call had no recording" in text
    assert "no recording; the nearest is step 3" in text


def test_store_lists_failed_runs_first() -> None:
    """In a store's report a failed run stands before one with a finding, and that before a quiet one."""
    runs = [sketch(run_id="quiet"), RUN, sketch(run_id="broken", status="error")]
    report = store_report(runs, [FINDING], [])
    text = words(html(report)).partition("findingsoutcome")[2]
    assert text.index("broken") < text.index("r-1") < text.index("quiet")
    assert [len(run.steps) for run in report.runs] == [2]


def test_long_text_is_cut_and_counted() -> None:
    """A long result is cut, and the report counts what it left out."""
    run = sketch(tool("fetch", {}, "x" * 10_000))
    assert "6,000 more characters, 10,000 in all" in words(html(run_report(run, [], [])))


def test_large_run_stays_within_its_budget() -> None:
    """A run of 2,000 steps whose model calls repeat the whole history makes a page of at most 3 MB, viewer included."""
    history = tuple(Message(role="user", content=f"message {number} " * 20) for number in range(60))
    steps = [step for number in range(1000) for step in (model("thought " * 40, messages=history[: number % 60]), tool("look", {"n": number}, "result " * 200))]
    assert len(html(run_report(sketch(*steps), [], [])).encode()) < 3_000_000


def test_unreadable_text_can_be_written(tmp_path: Path) -> None:
    """A lone surrogate in a trace, which no encoding can write, is written as its code point in every format."""
    report = run_report(sketch(user("broken \ud800 text")), [], [])
    for ending in ("html", "md", "json"):
        assert "d800" in save(report, tmp_path / f"r.{ending}").read_text("utf-8")


def test_format_follows_the_file_name(tmp_path: Path) -> None:
    """A report's format is what its file is called; an unknown ending and a missing folder are errors that say what would be right."""
    report = run_report(RUN, [FINDING], [])
    assert save(report, tmp_path / "r.HTML").read_text("utf-8") == html(report)
    assert save(report, tmp_path / "r.md").read_text("utf-8") == markdown(report)
    with pytest.raises(ReportError, match=r"\.pdf is none; use \.html, \.md, \.json"):
        save(report, tmp_path / "r.pdf")
    with pytest.raises(ReportError, match="there is no folder"):
        save(report, tmp_path / "missing" / "r.html")


# ---- parts


def test_only_markup_passes_unescaped() -> None:
    """An element escapes text and attribute values, and leaves alone what it made itself."""
    assert element("p", element("b", "x"), "<i>", title='"<') == '<p title="&quot;&lt;"><b>x</b>&lt;i&gt;</p>'
    assert escape("a & b") == "a &amp; b"


def test_plain_words_stay_readable_in_markdown() -> None:
    """Markdown escapes what would be markup and leaves dates, names and sentences alone."""
    assert inert("Run r-1 of 2025-06-15: book_flight failed (0.5 s).") == "Run r-1 of 2025-06-15: book_flight failed (0.5 s)."
    assert inert("a | b\n# c <d>") == "a \\| b # c &lt;d\\>"


def test_figure_refuses_what_it_cannot_draw() -> None:
    """A trace of an unknown type is an error that names it."""
    with pytest.raises(FigureError, match="'pie'"):
        svg({"data": [{"type": "pie"}]}, "", "p")


@pytest.mark.parametrize("values", [[], [0.0], [5.0, 5.0], [1e-9, 2e-9], [-3.0, 1e12]])
def test_figure_draws_any_range(values: list[float]) -> None:
    """No value, one value, equal values, tiny and huge ones make a figure whose numbers are numbers."""
    drawn = svg({"data": [{"type": "scatter", "mode": "lines+markers", "x": list(range(len(values))), "y": values, "name": "n"}]}, "says", "p")
    assert Page(drawn).open == []
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert drawn.count("<circle") == len(values)


# ---- notebooks


def fragments() -> Iterable[tuple[str, str]]:
    run, (comparison, receipt) = hostile_run(), hostile_comparison()
    found = [hostile_finding(run)]
    yield static.run_html(run, found), static.run_text(run, found)
    yield static.findings_html(found), static.findings_text(found)
    told = {run.run_id: [Found(one.detector, one.severity) for one in found]}
    yield static.runs_html([overview_of(run)], told), static.runs_text([overview_of(run)], told)
    yield static.comparison_html(comparison), static.comparison_text(comparison)
    yield static.receipt_html(receipt), static.receipt_text(receipt)


def test_fragment_survives_the_notebooks_sanitizer() -> None:
    """A fragment uses only elements and inline styles that JupyterLab keeps, all inside one that MathJax passes over; nothing of a trace becomes either."""
    for fragment, _ in fragments():
        page = Page(fragment)
        assert page.attributes("class") == [STILL]
        assert fragment.startswith(f'<div class="{STILL}">')
        assert {tag for tag, _ in page.elements} <= {"div", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "span", "b"}
        assert {key for _, attributes in page.elements for key in attributes} <= {"style", "open", "class"}
        assert not [style for style in page.attributes("style") if "var(" in style or "url(" in style or "position" in style]
        assert page.open == []


def test_fragment_has_a_text_twin() -> None:
    """The text says what the fragment says, without control characters."""
    for fragment, text in fragments():
        assert "alert(1)" in words(fragment)
        assert "alert(1)" in text
        assert not {"\x1b", "\u202e"} & set(text)
