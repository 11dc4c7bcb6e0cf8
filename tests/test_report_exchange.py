"""Reports for other programs: SARIF and JUnit for CI, CSV and Parquet for a spreadsheet or a frame."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from tests.test_cli import run as command
from tests.test_report import FINDING, HOSTILE, KINDS, RUN, hostile_reports
from workbench.audit import audit
from workbench.figures import Record, told
from workbench.frames import FINDINGS
from workbench.model import Comparison, Finding, Json, NotEvaluated
from workbench.report import Report, audit_report, comparison_report, junit, run_report, sarif, save, store_report
from workbench.report.tabular import ANSWERS, LISTED
from workbench.sketch import sketch, tool

LACK = NotEvaluated(detector="confidence-drift", run_id="r-1", why="2 confidences recorded, 8 are needed")
LEVELS, KINDS_OF_RESULT = {"none", "note", "warning", "error"}, {"notApplicable", "pass", "fail", "review", "open", "informational"}


def compared(notes: tuple[str, ...] = (), **sides: tuple[Finding, ...]) -> Report:
    """RUN, which has FINDING and a second one, against a fork that has `new` and lost `gone`."""
    right = RUN.model_copy(update={"run_id": "r-1~1", "notes": notes})
    both = Comparison(left=RUN, right=right, rows=(), effects=(), gone=sides.get("gone", ()), new=sides.get("new", ()))
    return comparison_report(both, None, sides.get("gone", ()), sides.get("right", ()))


def found(detector: str, run_id: str = "r-1~1", **fields: Json) -> Finding:
    return FINDING.model_copy(update={"detector": detector, "run_id": run_id, **fields})


def log(report: Report) -> Json:
    """The one run of a SARIF log."""
    return json.loads(sarif(report))["runs"][0]


# ---- SARIF


def check_message(message: Json) -> None:
    """A message has text, and no link that a viewer would make of it."""
    assert message["text"]
    assert "](" not in message["text"]


def check_location(location: Json) -> None:
    """A place has a relative URI without a scheme or a step upwards, a line from 1, and a logical name."""
    physical = location["physicalLocation"]
    assert physical["artifactLocation"]["uri"].startswith("runs/")
    assert not set(physical["artifactLocation"]["uri"]) & set(" <>\"'`()[]:\\\n\t")
    assert physical["region"]["startLine"] >= 1
    assert all(one["name"] and one["fullyQualifiedName"] for one in location["logicalLocations"])


@pytest.mark.parametrize("kind", KINDS)
def test_sarif_has_what_the_specification_requires(kind: str) -> None:
    """A log has version, tool and rules; a result refers to a rule by id and index, has a message, a known kind and level, and places that can be shown."""
    text = sarif(hostile_reports()[kind])
    whole = json.loads(text)
    assert whole["version"] == "2.1.0"
    assert whole["$schema"].endswith("sarif-schema-2.1.0.json")
    assert text.isascii()
    (run,) = whole["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert all(rule[name]["text"] for rule in rules for name in ("shortDescription", "fullDescription", "help"))
    assert run["results"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in LEVELS
        assert result.get("kind", "fail") in KINDS_OF_RESULT
        assert (result.get("kind", "fail") == "fail") == (result["level"] != "none")
        assert result["partialFingerprints"]
        check_message(result["message"])
        for place in (*result["locations"], *result.get("relatedLocations", ())):
            check_location(place)
        for place in result.get("relatedLocations", ()):
            check_message(place["message"])
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is True
    for note in invocation["toolExecutionNotifications"]:
        check_message(note["message"])


@pytest.mark.parametrize("kind", KINDS)
def test_exchanged_text_has_no_control_character(kind: str) -> None:
    """No text in SARIF or JUnit holds an escape or a change of direction; both are shown as code points."""
    report = hostile_reports()[kind]
    for text in (json.dumps(json.loads(sarif(report)), ensure_ascii=False), junit(report)):
        assert not {"\u202e", "\x1b"} & set(text)
        assert "u202e" in text


def test_sarif_result_carries_its_evidence() -> None:
    """A finding's result has its level, its step as a line, the detector's documentation as rule, and its evidence with the full hash."""
    run = log(run_report(RUN, [FINDING], [LACK]))
    (result,), (proof,) = run["results"], FINDING.evidence
    assert (result["ruleId"], result["level"], result["rank"]) == ("duplicated-effect", "error", 90.0)
    assert result["locations"][0]["physicalLocation"] == {"artifactLocation": {"uri": "runs/r-1.run"}, "region": {"startLine": 5}}
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "r-1/step 4"
    assert result["properties"]["evidence"] == [proof.model_dump()]
    assert "Why it matters:" in run["tool"]["driver"]["rules"][0]["fullDescription"]["text"]
    assert "8 are needed (1 run)" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_sarif_of_a_comparison_tells_new_from_gone() -> None:
    """Of a comparison, each finding is new, unchanged or absent against the reference, and told once."""
    stays, comes, goes = found("lost-progress"), found("runaway-loop"), found("duplicated-effect", "r-1")
    run = log(compared(gone=(goes,), new=(comes,), right=(stays, comes)))
    assert {result["ruleId"]: result["baselineState"] for result in run["results"]} == {
        "lost-progress": "unchanged", "runaway-loop": "new", "duplicated-effect": "absent",
    }  # fmt: skip
    assert len(run["results"]) == 3


def test_sarif_of_an_audit_has_each_item_once() -> None:
    """An audit's items are results: met passes, not met fails, and no evidence is open."""
    found = audit([sketch(tool("book_flight", {"flight": "NH 11"}, {}))], {})
    kinds = {result["ruleId"]: result["kind"] for result in log(audit_report(found, []))["results"] if not result["relatedLocations"]}
    whole = {result["ruleId"]: result["kind"] for result in log(audit_report(found, [sketch(tool("book_flight", {"flight": "NH 11"}, {}))]))["results"]}
    assert kinds.items() <= whole.items()
    assert whole == {one.item: {"met": "pass", "not met": "fail", "no evidence": "open"}[one.verdict] for one in found.answers}


# ---- JUnit


def suites(report: Report) -> ET.Element:
    return ET.fromstring(junit(report))


@pytest.mark.parametrize("kind", KINDS)
def test_junit_counts_what_it_holds(kind: str) -> None:
    """The file is well-formed whatever a trace says, every suite and case has its attributes, and the counts are those of the cases."""
    root = suites(hostile_reports()[kind])
    assert root.tag == "testsuites"
    assert {one.tag for one in root.iter()} <= {"testsuites", "testsuite", "testcase", "failure", "skipped", "system-out"}
    for suite in (root, *root.iter("testsuite")):
        told = {"tests": "testcase", "failures": "failure", "skipped": "skipped"}
        assert {name: int(suite.attrib[name]) for name in told} == {name: len(list(suite.iter(tag))) for name, tag in told.items()}
    assert all(case.attrib.keys() == {"name", "classname", "time"} for case in root.iter("testcase"))
    assert all({"message", "type"} <= one.attrib.keys() for one in root.iter("failure"))


def test_junit_fails_by_findings() -> None:
    """An error fails with its evidence, a hint and a run without findings pass, what was not evaluated is skipped with the reason."""
    hint = FINDING.model_copy(update={"severity": "info", "detector": "oversized-model"})
    root = suites(store_report([RUN, RUN.model_copy(update={"run_id": "r-2"})], [FINDING, hint], [LACK]))
    (failure,), (skipped,) = root.iter("failure"), root.iter("skipped")
    assert failure.attrib == {"message": "book_flight 1 → 2", "type": "error"}
    assert f"run r-1 step 2 $.error sha256 {FINDING.evidence[0].sha256}" in str(failure.text)
    assert skipped.attrib["message"] == LACK.why
    (clean,) = (case for suite in root if suite.attrib["name"] == "r-2" for case in suite)
    assert clean.attrib["name"] == "no finding of severity warning or error"
    assert len(clean) == 0


def test_junit_of_a_comparison_fails_by_new_findings_only() -> None:
    """A new finding fails, one that the reference has too is skipped, one that is gone passes."""
    root = suites(compared(gone=(found("lost-progress", "r-1"),), new=(found("runaway-loop"),), right=(found("runaway-loop"), found("fixed-path"))))
    verdicts = {case.attrib["classname"]: [child.tag for child in case] for case in root.iter("testcase")}
    assert verdicts == {"findings.runaway-loop": ["failure"], "findings.fixed-path": ["skipped"], "findings.lost-progress": ["system-out"]}


def test_junit_of_a_fork_that_halted_passes_nothing() -> None:
    """What a halted fork has not is skipped, as nobody knows whether it is gone, and that it halted fails."""
    root = suites(compared(("halted: no recording of tool book",), gone=(found("lost-progress", "r-1"),)))
    verdicts = {case.attrib["classname"]: [child.tag for child in case] for case in root.iter("testcase")}
    assert verdicts == {"findings.lost-progress": ["skipped"], "runs": ["failure"]}


# ---- tables


def test_tables_hold_findings_and_runs(tmp_path: Path) -> None:
    """CSV and Parquet hold a row for each finding and, beside them, a row for each run; Parquet reads back with the declared columns."""
    report = run_report(RUN, [FINDING], [])
    for ending, read in (("csv", pl.read_csv), ("parquet", pl.read_parquet)):
        findings, runs = read(save(report, tmp_path / f"r.{ending}")), read(tmp_path / f"r.runs.{ending}")
        assert findings["finding_id"].to_list() == [FINDING.finding_id]
        assert runs["steps"].to_list() == [len(RUN.steps)]
    assert (findings.schema, runs.schema) == (pl.Schema(FINDINGS), pl.Schema(LISTED))


@pytest.mark.parametrize("kind", KINDS)
def test_tables_of_hostile_text_read_back(kind: str, tmp_path: Path) -> None:
    """Whatever a trace says, a CSV has as many cells in each row as in its head and no control character, and a Parquet file opens."""
    report = hostile_reports()[kind]
    for path in (save(report, tmp_path / "r.csv"), *tmp_path.glob("*.runs.csv")):
        text = path.read_text("utf-8")
        assert not {"\u202e", "\x1b"} & set(text)
        assert len({len(row) for row in csv.reader(text.splitlines(keepends=True))}) == 1
    assert pl.read_parquet(save(report, tmp_path / "r.parquet")).height == pl.read_csv(tmp_path / "r.csv").height


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    """A text that a spreadsheet would execute begins with an apostrophe in CSV, and is as recorded in Parquet."""
    evil = FINDING.model_copy(update={"message": '=HYPERLINK("https://evil.example")'})
    report = run_report(RUN, [evil], [])
    assert pl.read_csv(save(report, tmp_path / "r.csv"))["message"].to_list() == [f"'{evil.message}"]
    assert pl.read_parquet(save(report, tmp_path / "r.parquet"))["message"].to_list() == [evil.message]


def test_audit_as_a_table(tmp_path: Path) -> None:
    """An audit's table has a row for each item, with its verdict and signs."""
    table = pl.read_parquet(save(hostile_reports()["audit"], tmp_path / "a.parquet"))
    assert table.schema == pl.Schema(ANSWERS)
    assert table["verdict"][0] == "not met"
    assert table["says"][0].to_list() == [HOSTILE]


# ---- from a store


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> wb.Bench:
    opened = wb.open(tmp_path_factory.mktemp("exchange") / "workbench.db")
    opened.ingest(Path("sample_traces/booked_twice"))
    return opened


def test_audit_writes_every_format(bench: wb.Bench, tmp_path: Path) -> None:
    """`bench.audit().report(path)` writes the audit in the format of the ending, its cited values verified."""
    audited = bench.audit()
    for ending in ("html", "md", "json", "sarif", "xml", "csv", "parquet"):
        audited.report(tmp_path / f"audit.{ending}")
    text = (tmp_path / "audit.md").read_text("utf-8")
    assert "every external action has an idempotency key" in text
    assert "verified" in text
    assert "does not match" not in text
    (cited,) = {proof.run_id for answer in audited.audit.answers for proof in answer.evidence}
    assert cited == "booked-twice"


def test_audit_is_written_on_the_command_line(bench: wb.Bench, tmp_path: Path) -> None:
    """`audit -o` writes a file, refuses to overwrite it, and `--strict` still decides the exit status."""
    output = tmp_path / "audit.sarif"
    assert "wrote" in command("audit", "--store", bench.store.path, "-o", output)
    assert "is there already" in command("audit", "--store", bench.store.path, "-o", output, status=2)
    command("audit", "--store", bench.store.path, "-o", output, "--force", "--strict", status=1)


def test_report_names_both_tables(bench: wb.Bench, tmp_path: Path) -> None:
    """`report -o x.csv` tells of both files, and refuses when either is there."""
    output = tmp_path / "found.csv"
    assert "found.runs.csv" in command("report", "booked-twice", "--store", bench.store.path, "-o", output)
    output.unlink()
    assert "found.runs.csv is there already" in " ".join(command("report", "--store", bench.store.path, "-o", output, status=2).split())


def test_ci_is_told_how_right_a_detector_is():
    """SARIF says with its rule, JUnit with each finding, how right the detector was measured to be and what people here made of its findings."""
    report = compared(right=(FINDING.model_copy(update={"run_id": "r-1~1"}),), new=(FINDING.model_copy(update={"run_id": "r-1~1"}),))
    report = report.model_copy(update={"records": (Record(detector=FINDING.detector, confirmed=3, reviewed=4),)})
    (rule,) = log(report)["tool"]["driver"]["rules"]
    said = told(FINDING.detector, report.records)
    assert "confirmed by people here: 0.75" in said
    assert rule["properties"] == {"measured": said}
    assert said in rule["help"]["text"]
    assert f"This detector: {said}" in junit(report)
