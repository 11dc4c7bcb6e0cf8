"""What a report is about, written into the report itself: so that it can be checked against a store long after, by its file alone."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Literal

from workbench.comparison.comparison import Ignored
from workbench.incident import Scope
from workbench.model import Evidence, Finding, Value
from workbench.report.claims import shown
from workbench.report.contents import Report
from workbench.report.reach import examples_of
from workbench.report.sweeps import Sweep

NAME = "workbench-report"
ON_PAGE = re.compile(rf'<meta name="{NAME}" content="([\w=-]+)">', re.ASCII)
IN_MARKDOWN = re.compile(rf"^\[{NAME}\]: #([\w=-]+)$", re.ASCII | re.MULTILINE)
"""Where a report's text carries its reference: a page in its head, Markdown in its last line. Trace text comes after the one and before the other."""
MAX_RUNS = 2000
"""A store's report of more runs doesn't name them: it is checked against the whole store."""
MAX_BYTES = 64 * 1024 * 1024


class Claimed(Value):
    """A finding that a report states, and what it cites."""

    finding_id: str
    detector: str
    run_id: str
    evidence: tuple[Evidence, ...] = ()


class Reference(Value):
    """The kind of a report, the runs it is about (None: those of the whole store), and every claim with its evidence."""

    kind: Literal["run", "comparison", "store", "audit", "incident", "sweep"]
    run_ids: tuple[str, ...] | None = None
    ignored: tuple[Ignored, ...] = ()
    claims: tuple[Claimed, ...] = ()
    cited: tuple[Evidence, ...] = ()
    """What an audit's answers cite, and the first bad step of an incident."""
    scope: Scope | None = None
    """What an incident was looked for in."""
    sweep: Sweep | None = None
    """The forks of a sweep, and what is said to have been counted."""
    reviewed_ns: int | None = None
    """Until when the reviews count that it tells of."""


def reference_of(report: Report) -> Reference:
    """What a report is about."""
    about = {"kind": report.kind, "run_ids": _run_ids(report), "ignored": report.ignored, "reviewed_ns": report.reviewed_ns}
    scope = report.incident.scope if report.incident else None
    claims = examples_of(report.incident, report.findings) if report.incident else report.findings
    return Reference(**about, claims=_claims(claims), cited=tuple(_cited(report)), scope=scope, sweep=report.sweep)


def _cited(report: Report) -> Iterator[Evidence]:
    for answer in report.audit.answers if report.audit else ():
        yield from answer.evidence
    if report.incident and report.incident.first_bad:
        yield report.incident.first_bad.evidence
    for fork in report.sweep.forks if report.sweep else ():
        yield from [fork.evidence] if fork.evidence else []


def _run_ids(report: Report) -> tuple[str, ...] | None:
    if report.comparison:
        return (report.comparison.left.run_id, report.comparison.right.run_id, *(one.right.run_id for one in report.others))
    if report.incident:
        return report.incident.considered if len(report.incident.considered) <= MAX_RUNS else None
    if report.sweep:
        return (report.sweep.run_id, *(one.run_id for one in report.sweep.forks if one.run_id))
    if report.kind == "run":
        return tuple(run.run_id for run in report.runs)
    return tuple(one.run_id for one in report.listed) if report.kind == "store" and len(report.listed) <= MAX_RUNS else None


def _claims(findings: Iterable[Finding]) -> tuple[Claimed, ...]:
    return tuple(Claimed(finding_id=one.finding_id, detector=one.detector, run_id=one.run_id, evidence=one.evidence) for one in shown(findings))


def token(report: Report) -> str:
    """The reference as one word of letters, digits, hyphens and underscores, inert in any format."""
    text = json.dumps(reference_of(report).model_dump(mode="json"))
    return base64.urlsafe_b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")


def from_page(text: str) -> Reference:
    """The reference in a page. ValueError where there is none that can be read."""
    return parse(next(iter(ON_PAGE.findall(text)), ""))


def from_markdown(text: str) -> Reference:
    """The reference in a Markdown document. ValueError where there is none that can be read."""
    return parse(next(reversed(IN_MARKDOWN.findall(text)), ""))


def parse(word: str) -> Reference:
    """What `token` made. ValueError for anything else."""
    if not word:
        raise ValueError("it doesn't say what it is about")
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.urlsafe_b64decode(word), MAX_BYTES)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"what it is about can't be read: {error}") from error
    if not unpacker.eof:
        raise ValueError("what it is about is cut off, or too large")
    return Reference.model_validate_json(content)
