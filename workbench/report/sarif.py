"""A report as SARIF 2.1.0 (OASIS, 27 March 2020), which code hosts and CI systems show beside the code.

Code hosts show only results that stand in a file: each run stands as a file `runs/RUN.run` in which each step is a line, the first line 1.
The logical location names run, step and JSON path. A finding is a result, what was not evaluated a notification; an audit's items are
results of kind pass, fail or open.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from urllib.parse import quote

from workbench import plugins
from workbench.audit import Answer, Audit
from workbench.figures import Record, told
from workbench.model import Evidence, Json, digest
from workbench.report.contents import Report
from workbench.report.markup import visible
from workbench.report.quantities import plural
from workbench.report.standing import Stated, standings
from workbench.report.sweeps import Sweep, SweptFork, said_of

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "info": "note"}
SWEPT = "sweep-outcome"
"""The rule that forks of a sweep pass or fail by."""
KINDS = {"met": "pass", "not met": "fail", "no evidence": "open"}


def sarif(report: Report) -> str:
    """The whole log as JSON text. Trace text has no control characters, and no `[text](link)`, which viewers would make a link of."""
    results = _answers(report.audit) if report.audit else [_result(one) for one in standings(report)]
    results += [_fork(one, report.sweep) for one in report.sweep.forks] if report.sweep else []
    rules = _rules(dict.fromkeys(str(result["ruleId"]) for result in results), report.audit, report.records)
    places = {str(rule["id"]): number for number, rule in enumerate(rules)}
    driver = {"name": "Replay Workbench", "semanticVersion": version("replay-workbench"), "rules": rules}
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"replay-workbench/{report.kind}/"},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": _lacks(report)}],
        "columnKind": "unicodeCodePoints",
        "results": [{**result, "ruleIndex": places[str(result["ruleId"])]} for result in results],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _result(stated: Stated) -> dict[str, Json]:
    finding = stated.finding
    place = {} if finding.step is None and not finding.evidence else {"relatedLocations": [_cited(number, one) for number, one in enumerate(finding.evidence)]}
    return {
        "ruleId": visible(finding.detector),
        "level": LEVELS[finding.severity],
        "message": _message(finding.message),
        "rank": round(100 * finding.score, 1),
        "locations": [_location(finding.run_id, finding.step)],
        **place,
        "partialFingerprints": {"finding/v1": finding.key},
        **({} if stated.standing is None else {"baselineState": stated.standing}),
        "properties": _plain(
            {"run": finding.run_id, "step": finding.step, "findingId": finding.finding_id, "capability": finding.capability, "numbers": finding.numbers}
            | {"evidence": [proof.model_dump() for proof in finding.evidence], "refute": finding.refute}
        ),
    }


def _location(run_id: str, step: int | None, path: str = "") -> dict[str, Json]:
    """A place in a run, as a logical location and, for code hosts, as a line of a file."""
    named = f"step {step}" if step is not None else "run"
    full = "/".join(part for part in (run_id, named if step is not None else "", path) if part)
    file = {"artifactLocation": {"uri": f"runs/{quote(visible(run_id), safe='')}.run"}, "region": {"startLine": (step or 0) + 1}}
    return {"physicalLocation": file, "logicalLocations": [{"name": visible(path or named), "fullyQualifiedName": visible(full)}]}


def _cited(number: int, proof: Evidence) -> dict[str, Json]:
    return {"id": number, "message": _message(proof.says), **_location(proof.run_id, proof.step, proof.path)}


def _answers(audit: Audit) -> list[dict[str, Json]]:
    return [_answer(answer) for answer in audit.answers]


def _answer(answer: Answer) -> dict[str, Json]:
    """An item of the checklist. Only what failed has a level (section 3.27.10)."""
    says = "; ".join(answer.says) or f"to get evidence: {answer.record}"
    return {
        "ruleId": answer.item,
        "kind": KINDS[answer.verdict],
        "level": "error" if answer.verdict == "not met" else "none",
        "message": _message(f"{answer.asks}: {answer.verdict}. {says}"),
        "locations": [_location(proof.run_id, proof.step, proof.path) for proof in answer.evidence[:1]],
        "relatedLocations": [_cited(number, proof) for number, proof in enumerate(answer.evidence)],
        "partialFingerprints": {"item/v1": answer.item},
        "properties": _plain({"capability": answer.capability, "for": answer.holds, "against": answer.fails})
        | {"evidence": _plain([proof.model_dump() for proof in answer.evidence])},
    }


def _fork(one: SweptFork, sweep: Sweep) -> dict[str, Json]:
    """A fork of a sweep: whether the counted outcome held; open where that is not known."""
    kind = "open" if one.held is None else "pass" if one.held else "fail"
    says = f"{said_of(one.change)} at step {one.at}: {sweep.counted}: {kind}. {one.outcome or one.says}"
    proof = one.evidence
    return {
        "ruleId": SWEPT,
        "kind": kind,
        "level": "warning" if kind == "fail" else "none",
        "message": _message(says),
        "locations": [_location(proof.run_id, proof.step, proof.path) if proof else _location(one.run_id or sweep.run_id, None)],
        "relatedLocations": [_cited(0, proof)] if proof else [],
        "partialFingerprints": {"fork/v1": digest([one.at, one.change.model_dump(mode="json"), one.number])[:16]},
        "properties": _plain({"run": one.run_id, "how": one.how, "change": one.change.model_dump(mode="json")})
        | {"evidence": _plain([proof.model_dump()] if proof else [])},
    }


def _rules(names: Iterable[str], audit: Audit | None, records: Iterable[Record]) -> list[dict[str, Json]]:
    """What the results are of: items of an audit, else detectors with how right they were measured to be and what people here made of their findings."""
    asks = {answer.item: answer.asks for answer in audit.answers} if audit else {}
    docs = {} if audit else {visible(name): one.doc for name, one in plugins.detectors().items()}
    right = {name: told(name, records) for name in docs}
    known = docs | asks | {SWEPT: "The outcome that a sweep counts held in a fork."}
    return [_rule(name, known.get(name, ""), right.get(name)) for name in names]


def _rule(name: str, says: str, right: str | None) -> dict[str, Json]:
    head, _, rest = says.partition("\n")
    help_text = "\n".join([rest.strip() or head or name, *([f"How right it is: {right}"] if right else [])])
    rule: dict[str, Json] = {"id": name, "shortDescription": {"text": head or name}, "fullDescription": {"text": says or name}, "help": {"text": help_text}}
    return rule if right is None else {**rule, "properties": {"measured": right}}


def _lacks(report: Report) -> list[dict[str, Json]]:
    """What was not evaluated: one notification for each detector and reason."""
    grouped = Counter((one.detector, one.why) for one in report.not_evaluated)
    return [
        {"level": "note", "message": _message(f"not evaluated: {detector}: {why} ({plural(number, 'run')})"), "descriptor": {"id": visible(detector)}}
        for (detector, why), number in sorted(grouped.items())
    ]


def _message(text: str) -> dict[str, str]:
    return {"text": visible(text).replace("](", "] (") or "–"}


def _plain(value: Json) -> Json:
    """The value with every text visible."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(str(name)): _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
