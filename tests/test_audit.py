"""The production checklist, answered from recorded runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

import workbench as wb
from workbench import cli
from workbench.audit import Answer, audit
from workbench.audit.signs import RECORD
from workbench.checklist import CHECKLIST, Item
from workbench.model import Finding, Run
from workbench.sketch import approval, model, restart, sketch, tool, user

BOOK = {"flight": "NH 11"}
KEYED = BOOK | {"idempotency_key": "trip-7"}
ASK = model(calls=(("book_flight", BOOK),))
TIMED_OUT = "payment API timed out"
ACTIVE = "Full. <img src=x onerror=alert(1)>"
ITEMS = {item for items in CHECKLIST.values() for item in items}


def answer(item: Item, *runs: Run, findings: Iterable[Finding] = ()) -> Answer:
    """The answer to one item over some runs, all of them examined."""
    said = {run.run_id: [finding for finding in findings if finding.run_id == run.run_id] for run in runs}
    return next(one for one in audit(runs, said).answers if one.item == item)


def test_without_runs_nothing_is_met():
    """Nothing recorded is no evidence for any item, and each says how to get some."""
    found = audit([], {})
    assert {one.item for one in found.of("no evidence")} == ITEMS == set(RECORD)
    assert all(one.record for one in found.answers)


@pytest.mark.parametrize(
    ("item", "met", "not_met"),
    [
        ("action-keys", sketch(ASK, tool("book_flight", KEYED, {})), sketch(ASK, tool("book_flight", BOOK, {}))),
        (
            "stable-keys",
            sketch(ASK, tool("book_flight", KEYED, error=TIMED_OUT), tool("book_flight", KEYED, {})),
            sketch(ASK, tool("book_flight", KEYED, error=TIMED_OUT), tool("book_flight", KEYED | {"idempotency_key": "trip-8"}, {})),
        ),
        (
            "classified-retries",
            sketch(ASK, tool("book_flight", BOOK, error="400 invalid flight"), model("There is no such flight.")),
            sketch(ASK, tool("book_flight", BOOK, error="400 invalid flight"), tool("book_flight", BOOK, error="400 invalid flight")),
        ),
        (
            "audit-log",
            sketch(ASK, tool("book_flight", BOOK, {"ok": True})),
            sketch(tool("book_flight", BOOK, {})).model_copy(
                update={"steps": (sketch(tool("book_flight", BOOK, {})).steps[0].model_copy(update={"tool_call": None}),)}
            ),
        ),
        (
            "output-sanitisation",
            sketch(ASK, tool("read_page", {}, ACTIVE), model("It says that the flight is full.")),
            sketch(ASK, tool("read_page", {}, ACTIVE), model(f"It says: {ACTIVE}")),
        ),
        ("tool-selection", sketch(model("hi", offered=("book_flight",))), sketch(model("hi"))),
    ],
)
def test_a_run_speaks_for_or_against(item: Item, met: Run, not_met: Run):
    """One run that does it right is evidence for an item, one that doesn't evidence against it, and both are cited."""
    good, bad = answer(item, met), answer(item, not_met)
    assert (good.verdict, bad.verdict) == ("met", "not met")
    assert good.evidence
    assert bad.evidence
    assert answer(item, met, not_met.model_copy(update={"run_id": "other"})).verdict == "not met"


def test_code_in_a_recorded_sandbox_is_evidence():
    """A shell that ran isolated, as the run or the step says, speaks for sandboxing; a look-up says nothing of it, nor a shell of which nothing is said."""
    bash = tool("bash", {"command": "ls"}, "a.py")
    assert answer("sandbox", sketch(ASK, bash, metadata={"sandbox": "gVisor"})).verdict == "met"
    assert answer("sandbox", sketch(ASK, bash.model_copy(update={"notes": ("container",)}))).verdict == "met"
    assert answer("sandbox", sketch(ASK, bash)).verdict == "no evidence"
    assert answer("sandbox", sketch(ASK, tool("search", {}, "found"), metadata={"sandbox": "gVisor"})).verdict == "no evidence"


def test_back_off_is_read_off_the_times():
    """Waits that grow are back-off; waits that don't are none."""

    def tried(*starts: int) -> Run:
        steps = [tool("look_up", BOOK, error=TIMED_OUT) for _ in starts]
        run = sketch(ASK, *steps)
        first = run.steps[0].ended_ns
        at = [{"started_ns": first + start * 10**9, "ended_ns": first + start * 10**9} for start in starts]
        return run.model_copy(update={"steps": (run.steps[0], *(step.model_copy(update=times) for step, times in zip(run.steps[1:], at, strict=True)))})

    assert answer("back-off", tried(1, 2, 4, 8)).verdict == "met"
    assert answer("back-off", tried(1, 2, 3, 4)).verdict == "not met"
    assert answer("back-off", tried(1, 2)).verdict == "no evidence"


def test_people_are_evidence():
    """A question with its answer shows approvals and that they can be measured; a doubtful decision that went to a person shows routing."""
    asked = approval({"tool": "book_flight", "args": BOOK}, "yes")
    run = sketch(user("Book"), model("?", confidence=0.4), asked, tool("book_flight", KEYED, {}))
    for item in ("approvals", "escalation-metrics", "confidence-routing"):
        assert answer(item, run).verdict == "met", item


def test_limits_that_were_met_or_set_are_evidence():
    """An error that names the limit, or metadata that sets one."""
    met = sketch(model("", error="Recursion limit of 25 reached", status="error"))
    assert answer("step-limit", met).verdict == "met"
    assert answer("token-budget", sketch(model("hi"), metadata={"max_total_tokens": 5000})).verdict == "met"
    assert answer("token-budget", sketch(model("hi"))).verdict == "no evidence"


def test_a_resumed_run_is_evidence():
    """A run that broke off and went on shows that a resume handles it."""
    broke = sketch(ASK, tool("book_flight", BOOK, status="running"), restart(ASK, tool("book_flight", BOOK, {})))
    assert answer("resume-in-progress", broke).verdict == "met"


def test_findings_speak_against_their_item():
    """A finding of severity warning is not met; a mere hint is not; and an injected instruction that nobody followed speaks for the defences."""
    run = sketch(user("Hi"), model("Hello"))
    fields = {"detector": "d", "run_id": run.run_id, "score": 0.9, "step": 1, "message": "m", "capability": "security", "item": "injection-defences"}
    grave, hint = (Finding(severity=severity, **fields) for severity in ("warning", "info"))
    assert answer("injection-defences", run, findings=[grave, hint]).verdict == "not met"
    assert answer("injection-defences", run, findings=[hint]).verdict == "met"
    assert answer("semantic-failures", run).verdict == "met"


def test_reviews_and_alerts_count():
    """What people reviewed, and alerts that were sent, are evidence that no run holds."""
    found = {one.item: one.verdict for one in audit([], {}, reviewed=3, alerted=1).answers}
    assert (found["sampling"], found["cost-alerts"]) == ("met", "met")


def test_the_bench_and_the_command_line_show_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`workbench audit` answers every item; `--strict` fails where one is not met."""
    store = tmp_path / "store.db"
    bench = wb.open(store)
    bench.store.save_runs([sketch(user("Book <b>now</b>"), ASK, tool("book_flight", BOOK, {}), run_id="one")])
    found = bench.audit()
    assert "✕ not met" in repr(found)
    assert "to get evidence: " in repr(found)
    assert "<table" in found._repr_html_()
    cli.app(["audit", "--store", str(store), "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert (told["runs"], {one["item"] for one in told["answers"]}) == (1, ITEMS)
    with pytest.raises(SystemExit) as left:
        cli.app(["audit", "--store", str(store), "--strict"])
    assert left.value.code == 1
