"""An incident says what failed, how far it reaches and what to do next, each from counts that are given, and what it can't say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench as wb
from tests.test_report import HOSTILE, Page, words
from workbench.incident import Incident, Scope, first_bad_step, incident_of
from workbench.incident.counts import onset_of
from workbench.incident.values import VersionCount
from workbench.literals import literal
from workbench.model import Evidence, Finding, Message, NotEvaluated, Review, Run, Step
from workbench.overview import overview_of
from workbench.report import static
from workbench.sketch import START_NS, model, sketch, tool, user

MINUTE_NS = 60 * 10**9
BOOK = {"flight": "NH 11", "passenger": "Ada"}
ASK = model(calls=(("book_flight", BOOK),), cost_usd=0.01, tokens=100)


def ran(number: int, *, twice: bool, version: str | None = "1.4", user_id: str | None = None, **fields: object) -> Run:
    """A run that starts in its own minute and books a flight, once or twice."""
    acts = (tool("book_flight", BOOK, error="timed out"), ASK, tool("book_flight", BOOK, {"booking": "B-2"})) if twice else (tool("book_flight", BOOK, "B-1"),)
    said = {name: value for name, value in (("service.version", version), ("user.id", user_id)) if value}
    run = sketch(user("Book NH 11"), ASK, *acts, model("Booked."), run_id=f"r{number:02}", agent="travel-agent", metadata=said, **fields)
    return run.model_copy(update={"started_ns": START_NS + number * MINUTE_NS})


def doubled(run: Run, severity: str = "error", **fields: object) -> Finding:
    """What a detector says of a run that booked twice."""
    proof = Evidence.cite(run, 4, "$.tool_call.arguments", "the arguments")
    told = {"detector": "duplicated-effect", "run_id": run.run_id, "severity": severity, "score": 0.95, "step": 4, "message": "booked twice"}
    more = {"numbers": {"attempts": 2}, "evidence": (proof,), "capability": "idempotency", "refute": "Fork at step 4 with the first result put in."}
    return Finding.model_validate(told | more | fields)


def incident(runs: list[Run], found: list[Finding], scope: Scope | None = None, **more: object) -> Incident:
    """The incident in these runs, told from their overviews, with what was found."""
    findings = {run.run_id: [one for one in found if one.run_id == run.run_id] for run in runs}
    headers = {run.run_id: run.model_copy(update={"steps": ()}) for run in runs}
    by_id = {run.run_id: run for run in runs}
    given = {"read": by_id.__getitem__, **more}
    return incident_of(scope or Scope(), [overview_of(run) for run in runs], headers, findings, **given)  # type: ignore[arg-type]  # as the keywords say


def deployed(before: int = 20, after: int = 20, every: int = 2) -> tuple[list[Run], list[Finding]]:
    """Runs of version 1.4, all good, then of 1.5, of which every second books twice."""
    runs = [
        ran(number, twice=number >= before and number % every == 0, version="1.4" if number < before else "1.5", user_id=f"u{number % 3}")
        for number in range(before + after)
    ]
    return runs, [doubled(run) for run in runs if len(run.steps) > 4]


def test_it_counts_what_is_affected_and_what_was_found() -> None:
    """Runs, users, times and findings are counted among affected and good runs, with what each is counted of."""
    runs, found = deployed()
    told = incident(runs, found)
    assert (told.reach.affected, told.reach.runs, told.reach.good, told.reach.by_finding, told.reach.by_status) == (10, 40, 30, 10, 0)
    assert (told.reach.users, told.reach.users_told_by) == (3, 10)
    assert (told.reach.first_ns, told.reach.last_ns) == (START_NS + 20 * MINUTE_NS, START_NS + 38 * MINUTE_NS)
    (top,) = told.found
    assert str(top) == "duplicated-effect: 10 of 10 affected, 0 of 30 good"
    assert told.what == "booked twice"
    assert told.cost.usd == pytest.approx(0.2)
    assert (told.cost.tokens, told.cost.priced_runs, told.cost.repeated_acts) == (2000, 10, 10)


def test_a_cost_that_leaves_model_calls_out_says_so() -> None:
    """The last call of each run has no cost: the sum is told without them, and what they cost is among what can't be told."""
    told = incident(*deployed())
    assert told.cost.unrecorded_calls == 10
    assert "$0.2000 without 10 model calls, not recorded" in static.incident_text(told)
    assert "what 10 model calls of the affected runs cost: not recorded" in told.unknown
    whole = incident([sketch(user("Hi"), ASK, run_id="paid", status="error")], [])
    assert whole.cost.unrecorded_calls == 0
    assert "without" not in static.incident_text(whole)
    assert not any("model call" in said for said in whole.unknown)


def test_it_says_after_which_version_it_began() -> None:
    """The version with more affected runs from then on is named with both counts; an interval that holds 0 makes it a mere perhaps."""
    onset = incident(*deployed()).onset
    assert onset is not None
    assert (onset.version, onset.before, onset.after, onset.clear) == ("1.5", (0, 20), (10, 20), True)
    few = incident(*deployed(3, 3)).onset
    assert few is not None
    assert not few.clear
    assert "perhaps since version 1.5" in static.incident_text(incident(*deployed(3, 3)))
    assert onset_of([VersionCount(version=name, first_ns=None, runs=5, affected=count) for name, count in (("1", 3), ("2", 1))]) is None


def test_the_first_bad_step_is_cited() -> None:
    """The worst run's first bad step says what was asked and came back, why it is taken for that, and cites the value with its hash."""
    runs, found = deployed()
    told = incident(runs, found)
    assert told.first_bad is not None
    assert (told.worst, told.first_bad.step, told.first_bad.name) == ("r20", 4, "book_flight")
    assert told.first_bad.came == '{"booking":"B-2"}'
    assert told.first_bad.because == "duplicated-effect (error) stands there"
    assert told.first_bad.evidence == Evidence.cite(runs[20], 4, "$.tool_call.arguments", "the arguments")
    assert first_bad_step(sketch(tool("look", {}, 1), tool("look", {}, error="gone")), []) == 1
    assert first_bad_step(Run(run_id="empty"), []) is None


def test_only_the_runs_it_names_are_read() -> None:
    """Of many runs the worst is read, and a few good ones to find the nearest; of what else was said, only that of the affected ones."""
    runs, found = deployed(100, 100)
    by_id, asked = {run.run_id: run for run in runs}, list[str]()

    def read(run_id: str) -> Run:
        asked.append(run_id)
        return by_id[run_id]

    told = incident(runs, found, read=read)
    assert told.nearest is not None
    assert told.nearest.looked_at == len(asked) - 1 == 12
    assert asked[0] == told.worst
    examinations = list[set[str]]()
    incident(runs, found, examinations=lambda ids: examinations.append(set(ids)) or {})
    assert examinations == [set(told.affected)]


def test_the_next_calls_are_code_that_can_be_pasted() -> None:
    """View, compare and a fork with the recorded result filled in; a run without checkpoints is simulated; whatever a trace calls things stays a literal."""
    runs, found = deployed()
    assert [one.code for one in incident(runs, found).calls] == [
        'bench.run("r20").view(step=4)',
        'wb.compare(bench.run("r19"), bench.run("r20"))',
        'bench.run("r20").simulate(4, "provider:name", tool_result={"booking": "B-2"})',
    ]
    hostile = runs[20].model_copy(update={"run_id": '"); import os; ("\n\u202e'})
    steps = tuple(step.model_copy(update={"checkpoint_id": "c", **({"result": {HOSTILE: [HOSTILE]}} if step.index == 4 else {})}) for step in hostile.steps)
    hostile = hostile.model_copy(update={"steps": steps})
    codes = [one.code for one in incident([hostile, runs[0]], [doubled(hostile)]).calls]
    assert [type(ast.parse(code).body[0]) for code in codes] == [ast.Expr] * 3
    assert not [code for code in codes if not code.isprintable()]
    assert ".fork(4, tool_result=" in codes[2]
    assert codes[2].endswith('live=["model"])')


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (tool("pay", {}, {"big": "x" * 999}), 'tool_result=bench.run("sketch").step(0).result'),
        (user("Hello"), 'answer="…"'),
        (model("Hm", messages=(Message(role="user", content="Hi"),)), 'message={"index": 0, "content": "Hi"}'),
        (model("Hm"), 'system="…"'),
        (Step(index=0, kind="node", name="plan"), "state={}"),
    ],
)
def test_what_a_fork_changes_suits_the_step(step: Step, code: str) -> None:
    """A tool's result, a person's answer, a message of a model call, or the state; what is long is fetched rather than written out."""
    run = sketch(step, status="error")
    assert code in incident([run], []).calls[-1].code


def test_literals_read_back() -> None:
    """A literal evaluates to the value it was made of, on one line, and nesting has an end."""
    values = ["a", 'q"\\', "\u202e\n", {"a": [1, 2.5, None, True]}, float("inf")]
    assert [eval(literal(value)) for value in values] == values  # what it is for
    deep: object = 1
    for _ in range(500):
        deep = [deep]
    assert literal(deep).count("[") == 21


def test_confidence_takes_more_than_the_detectors_word() -> None:
    """Counts that are so by definition give medium at most; a person's word or errors at the end make it high; scattered or few runs make it low."""
    runs, found = deployed()
    assert incident(runs, found).confidence.word == "medium"  # type: ignore[union-attr]
    review = {"run_id": "r20", "detector": "duplicated-effect", "step": 4, "reviewed_ns": 1}
    confirmed = Review.model_validate({"key": found[0].key, "verdict": "confirmed", **review})
    assert incident(runs, found, reviews=[confirmed]).confidence.word == "high"  # type: ignore[union-attr]
    failed = [run.model_copy(update={"status": "error"}) if len(run.steps) > 4 else run for run in runs]
    assert incident(failed, found).confidence.word == "high"  # type: ignore[union-attr]
    hints = [one.model_copy(update={"severity": "info"}) for one in found]
    assert incident(failed, hints).confidence.word == "high"  # type: ignore[union-attr]
    assert incident(failed, found[:2]).confidence.word == "low"  # type: ignore[union-attr]
    assert incident(runs[:22], found[:1]).confidence.word == "medium"  # type: ignore[union-attr]


def test_dismissed_findings_and_forks_do_not_count() -> None:
    """What a person dismissed is left out, and said to be; forks are somebody's experiments."""
    runs, found = deployed()
    review = {"run_id": "r20", "detector": "duplicated-effect", "step": 4, "reviewed_ns": 1, "verdict": "dismissed"}
    told = incident(runs, found, reviews=[Review.model_validate({"key": found[0].key, **review})])
    assert (told.reach.affected, told.reach.dismissed) == (9, 1)
    fork = runs[20].model_copy(update={"run_id": "r20~1", "forked_from": "r20"})
    forked = incident([*runs, fork], [*found, doubled(fork)])
    assert (forked.reach.affected, forked.reach.runs) == (10, 40)
    assert [one for one in forked.unknown if one.startswith("the cause: 1 forks")]


def test_a_scope_leaves_the_others_out() -> None:
    """Agent, version, times and detector each choose runs; of a detector's incident the runs it found something in are affected, however small."""
    runs, found = deployed()
    hints = [one.model_copy(update={"severity": "info"}) for one in found]
    assert incident(runs, found, Scope(version="1.4")).reach.runs == 20
    assert incident(runs, found, Scope(agent="other")).reach.runs == 0
    assert incident(runs, found, Scope(since_ns=START_NS + 38 * MINUTE_NS, until_ns=START_NS + 39 * MINUTE_NS)).considered == ("r38",)
    assert incident(runs, hints).reach.affected == 0
    assert incident(runs, hints, Scope(detector="duplicated-effect")).reach.affected == 10


def test_what_is_not_recorded_is_said() -> None:
    """Without users, versions and costs the incident says so, names detectors that could not judge, and claims no cause."""
    run = sketch(user("Hi"), tool("look", {}, error="gone"), run_id="bare", status="error")
    lacks = [NotEvaluated(detector="confidence-drift", run_id="bare", why="none")]
    told = incident_of(Scope(), [overview_of(run)], {"bare": run}, {"bare": []}, read=lambda _: run, examinations=lambda _: {"bare": (lacks, None)})
    said = "\n".join(told.unknown)
    assert all(
        part in said for part in ("how many users", "whether a deploy", "1 of 1 affected runs cost", "confidence-drift 1", "the cause: nothing was changed")
    )
    assert "cost not recorded, tokens not recorded" in static.incident_text(told)
    assert "no good run to compare with" in static.incident_text(told)
    assert told.what == "runs ended with an error"


def test_no_incident_is_no_all_clear() -> None:
    """Where nothing is affected, the card says what was looked at and nothing more, and offers no calls."""
    told = incident([ran(0, twice=False)], [])
    assert (told.worst, told.calls, told.confidence) == (None, (), None)
    assert "0 of 1 run affected" in static.incident_text(told)
    assert "no run was looked at" in static.incident_text(incident([], []))


def test_the_card_is_inert_and_has_a_text_twin() -> None:
    """A card of hostile text has only elements and styles that JupyterLab keeps, and the text says the same without control characters."""
    run = ran(0, twice=True, user_id=HOSTILE, version=HOSTILE)
    run = run.model_copy(update={"run_id": HOSTILE, "agent": HOSTILE})
    told = incident([run], [doubled(run, detector=HOSTILE, message=HOSTILE, refute=HOSTILE)], Scope(name=HOSTILE))
    page, text = Page(static.incident_html(told)), static.incident_text(told)
    assert {tag for tag, _ in page.elements} <= {"div", "table", "tbody", "tr", "td", "details", "summary", "span", "b", "code"}
    assert {key for _, attributes in page.elements for key in attributes} <= {"style", "open", "class"}
    assert page.open == []
    assert "alert(1)" in text
    assert "alert(1)" in words(static.incident_html(told))
    assert not {"\x1b", "\u202e"} & set(text)


# ---- in a store


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[wb.Bench]:
    """A store of ten runs of two versions, four of which book twice."""
    opened = wb.open(tmp_path_factory.mktemp("incident") / "workbench.db")
    opened.store.save_runs(deployed(3, 7)[0])
    yield opened
    opened.close()


def test_a_bench_tells_its_incident(bench: wb.Bench) -> None:
    """`bench.incident()` examines what was not, gives the affected runs as a frame, the worst as a run, and what was found in them."""
    told = bench.incident("INC-1")
    assert (told.incident.reach.affected, told.incident.reach.runs) == (3, 10)
    assert told.runs()["run_id"].to_list() == list(told.incident.affected)
    assert told.worst.run_id == told.incident.worst
    assert {one.run_id for one in told.findings().findings} == set(told.incident.affected)
    assert repr(told).startswith("INC-1  3 of 10 runs affected (30 %)")


def test_notes_are_kept_by_the_incidents_name(bench: wb.Bench) -> None:
    """A note stands on the card at once and whenever the incident is opened again; a note without words or without an incident is refused."""
    told = bench.incident("INC-2").note("paged the travel team")
    assert "paged the travel team" in repr(told)
    assert [one.text for one in bench.incident("INC-2").incident.notes] == ["paged the travel team"]
    assert bench.incident("INC-1").incident.notes == ()
    with pytest.raises(ValueError, match="empty note"):
        told.note(" ")
    with pytest.raises(LookupError, match="nothing to write down"):
        bench.incident(until="2000-01-01").note("x")


@pytest.mark.parametrize("given", [{"agent": "travel-agnet"}, {"version": "1.44"}, {"detector": "duplicate-effect"}])
def test_a_scope_nobody_knows_is_an_error(bench: wb.Bench, given: dict[str, str]) -> None:
    """A misspelt agent, version or detector is an error with the nearest one: no runs would look like all is well."""
    nearest = {"agent": "travel-agent", "version": "1.4", "detector": "duplicated-effect"}[next(iter(given))]
    with pytest.raises(LookupError, match=f"the nearest is '{nearest}'"):
        bench.incident(**given)


def test_headers_are_runs_without_steps(bench: wb.Bench) -> None:
    """The store gives every run without its steps, in the order of its list of runs."""
    headers = list(bench.store.headers())
    assert [one.run_id for one in headers] == bench.store.run_ids()
    assert headers == [run.model_copy(update={"steps": ()}) for run in bench.store.runs()]


def test_a_report_of_an_incident_can_be_checked(bench: wb.Bench, tmp_path: Path) -> None:
    """In every checked format it is supported by the store it was made of; a count that was edited is named with what the store has."""
    told = bench.incident("INC-1")
    for ending in ("html", "md", "json"):
        path = tmp_path / f"incident.{ending}"
        told.report(path)
        assert bench.verify_report(path) == []
    text = (tmp_path / "incident.md").read_text("utf-8")
    assert "3 of 10 runs affected" in text
    (tmp_path / "incident.md").write_text(text.replace("3 of 10 runs", "1 of 10 runs"), "utf-8")
    assert any("3 of 10 runs affected" in one.says for one in bench.verify_report(tmp_path / "incident.md"))


def test_runs_added_later_leave_a_report_supported(bench: wb.Bench, tmp_path: Path) -> None:
    """A report names the runs it is about, so that it is held against those and not against what came in since."""
    path = tmp_path / "incident.md"
    bench.incident("INC-1").report(path)
    late = ran(50, twice=True, version="1.6")
    bench.store.save_runs([late])
    assert bench.incident().incident.reach.runs == 11
    assert bench.verify_report(path) == []
    bench.delete(late.run_id)


def test_a_run_that_only_ended_with_an_error_fails_in_ci(tmp_path: Path) -> None:
    """In JUnit an affected run without a grave finding is a failure that says how it ended, not a pass."""
    opened = wb.open(tmp_path / "workbench.db")
    failed = sketch(user("Hi"), tool("look", {}, 1), run_id="broke", status="error")
    opened.store.save_runs([failed])
    path = tmp_path / "incident.xml"
    opened.incident().report(path)
    assert 'failure message="error"' in path.read_text("utf-8")
    opened.close()
