"""A report as JUnit XML, in the form that CI systems agree on: `testsuites`, `testsuite`, `testcase` with `failure` or `skipped`.

A run is a suite. A finding of severity warning or error is a test case that failed, a hint one that passed and says something, what was not
evaluated one that was skipped; a run without a failure has one that passed. Of a comparison only new findings fail. Of an audit each
capability is a suite and each item a case; of a sweep each change at a step a suite and each fork a case.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from workbench.audit import Answer, Audit
from workbench.figures import Record, told
from workbench.model import Evidence, NotEvaluated
from workbench.report.contents import Report
from workbench.report.markup import visible
from workbench.report.quantities import line
from workbench.report.standing import Stated, standings
from workbench.report.sweeps import Sweep, SweptFork, said_of

MESSAGE_CHARS = 500


class Case(NamedTuple):
    """One test case. `kind` is what a failure is called, `text` the lines below it."""

    name: str
    group: str
    verdict: Literal["passed", "failure", "skipped"]
    message: str = ""
    kind: str = ""
    text: str = ""


def junit(report: Report) -> str:
    """The whole file. Trace text stands in it as text: escaped, control characters as code points."""
    suites = _audited(report.audit) if report.audit else _swept(report.sweep) if report.sweep else _examined(report)
    root = ET.Element("testsuites", name=visible(report.title))
    counts = [_suite(root, name, cases) for name, cases in suites]
    for place, key in enumerate(("tests", "failures", "skipped")):
        root.set(key, str(sum(count[place] for count in counts)))
    root.set("errors", "0")
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, name: str, cases: list[Case]) -> tuple[int, int, int]:
    verdicts = [case.verdict for case in cases]
    counts = len(cases), verdicts.count("failure"), verdicts.count("skipped")
    given = dict(zip(("tests", "failures", "skipped"), map(str, counts), strict=True))
    suite = ET.SubElement(root, "testsuite", {"name": visible(name), **given, "errors": "0", "time": "0"})
    for case in cases:
        _case(suite, case)
    return counts


def _case(suite: ET.Element, case: Case) -> None:
    made = ET.SubElement(suite, "testcase", name=visible(line(case.name, MESSAGE_CHARS)), classname=visible(case.group), time="0")
    message = visible(line(case.message, MESSAGE_CHARS))
    if case.verdict == "passed":
        if case.text:
            ET.SubElement(made, "system-out").text = visible(case.text)
        return
    told = ET.SubElement(made, case.verdict, {"message": message, **({"type": visible(case.kind)} if case.kind else {})})
    told.text = visible(case.text) or None


def _examined(report: Report) -> Iterator[tuple[str, list[Case]]]:
    """A suite for each run: what was found in it, and what could not be judged."""
    judged = _run_ids(report)
    cases: dict[str, list[Case]] = {run_id: [] for run_id in sorted(judged)}
    for stated in standings(report):
        cases.setdefault(stated.finding.run_id, []).append(_found(stated, report.records))
    for lack in report.not_evaluated:
        cases.setdefault(lack.run_id, []).append(_lacking(lack))
    for one in report.listed if report.incident else ():
        if one.status == "error":
            cases[one.run_id].append(Case("ended with an error", "runs", "failure", one.outcome, "error"))
    for compared in (report.comparison, *report.others) if report.comparison else ():
        if compared.cut_short:
            cases[compared.right.run_id].append(Case(f"it {compared.cut_short}", "runs", "failure", compared.right.outcome, compared.cut_short))
    for run_id, own in cases.items():
        clean = run_id in judged and not any(case.verdict == "failure" for case in own)
        says = "no new finding" if report.comparison else "no finding of severity warning or error"
        yield run_id, [*own, *([Case(says, "findings", "passed")] if clean else [])]


def _run_ids(report: Report) -> frozenset[str]:
    """The runs that pass or fail; a reference doesn't."""
    if report.comparison:
        return frozenset(one.right.run_id for one in (report.comparison, *report.others))
    return frozenset(one.run_id for one in report.listed or report.runs)


def _found(stated: Stated, records: Iterable[Record]) -> Case:
    """A finding, with how right its detector was measured to be and what people here made of it."""
    finding, standing, cut_short = stated
    place = "" if finding.step is None else f" at step {finding.step}"
    text = f"{_lines(finding.message, finding.evidence, finding.refute)}\nThis detector: {told(finding.detector, records)}"
    name, group = f"{finding.detector}{place}: {finding.message}", f"findings.{finding.detector}"
    if cut_short:
        return Case(f"not seen: {name}", group, "skipped", f"the run that is compared {cut_short}", text=text)
    if standing == "absent":
        return Case(f"gone: {name}", group, "passed", text=text)
    if standing == "unchanged":
        return Case(name, group, "skipped", f"in the reference too: {finding.message}", text=text)
    if finding.severity == "info":
        return Case(name, group, "passed", text=text)
    return Case(name, group, "failure", finding.message, finding.severity, text)


def _lines(says: str, evidence: Iterable[Evidence], refute: str = "") -> str:
    """The statement, where its evidence stands, and what would refute it, a line each."""
    cited = (f"run {one.run_id} step {one.step} {one.path} sha256 {one.sha256}: {one.says}" for one in evidence)
    return "\n".join([says, *cited, *([f"What would refute it: {refute}"] if refute else [])])


def _lacking(lack: NotEvaluated) -> Case:
    return Case(f"{lack.detector}: not evaluated", f"findings.{lack.detector}", "skipped", lack.why)


def _swept(sweep: Sweep) -> Iterator[tuple[str, list[Case]]]:
    """A suite for each change at each step: a fork in which the outcome held passes; unchanged ones are there to compare with, and don't fail."""
    for group in sweep.groups:
        mine = [one for one in sweep.forks if (one.at, one.change) == (group.at, group.change)]
        yield f"step {group.at}: {said_of(group.change)}", [_forked(one, sweep.counted) for one in mine]


def _forked(one: SweptFork, counted: str) -> Case:
    name, group = f"{one.run_id or f'fork {one.number}'}: {counted}", f"sweep.step {one.at}"
    text = _lines(one.outcome or one.says, [one.evidence] if one.evidence else [])
    if one.held is None:
        return Case(name, group, "skipped", one.says or f"{one.unjudged}: what it would have come to is not known", text=text)
    return (
        Case(name, group, "passed", text=text) if one.held or one.change.kind == "none" else Case(name, group, "failure", one.outcome or "", "not held", text)
    )


def _audited(audit: Audit) -> Iterator[tuple[str, list[Case]]]:
    capabilities = dict.fromkeys(answer.capability for answer in audit.answers)
    for capability in capabilities:
        yield capability, [_item(answer) for answer in audit.answers if answer.capability == capability]


def _item(answer: Answer) -> Case:
    text = _lines("\n".join(answer.says), answer.evidence)
    group = f"audit.{answer.capability}"
    match answer.verdict:
        case "not met":
            return Case(answer.asks, group, "failure", answer.says[0] if answer.says else "not met", "not met", text)
        case "no evidence":
            return Case(answer.asks, group, "skipped", f"no evidence; to get some: {answer.record}")
    return Case(answer.asks, group, "passed", text=text)
