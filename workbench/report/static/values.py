"""Any value in a notebook: those that have a view of their own as that, every other as its fields. Escaped, bounded, without JavaScript."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from functools import singledispatch
from itertools import islice

from pydantic import BaseModel

from workbench.audit import Audit
from workbench.cohorts.baseline import Baseline
from workbench.cohorts.neighbours import Neighbours
from workbench.incident import Incident
from workbench.model import Comparison, Finding, Json, Receipt, Run, canonical
from workbench.report.contents import Report
from workbench.report.markup import element, still, visible
from workbench.report.quantities import DASH, line, plural
from workbench.report.static.audits import audit_html, audit_text
from workbench.report.static.comparisons import comparison_html, comparison_text
from workbench.report.static.findings import findings_html, findings_text
from workbench.report.static.fragments import facts_of, quiet
from workbench.report.static.incidents import incident_html, incident_text
from workbench.report.static.receipts import receipt_html, receipt_text
from workbench.report.static.runs import run_html, run_text
from workbench.verdict.verdict import Verdict

SAID_CHARS, SOME = 300, 5

Facts = list[tuple[str, str]]


@singledispatch
def html_of(value: object) -> str:
    """A value as HTML."""
    title, facts = told(value)
    return still(element("b", title), facts_of(facts) if facts else quiet("nothing"))


@singledispatch
def text_of(value: object) -> str:
    """A value as text."""
    title, facts = told(value)
    return visible("\n".join([title, *(f"  {name}: {said}" for name, said in facts)]))


for kind, as_html, as_text in (
    (Run, lambda run: run_html(run, ()), lambda run: run_text(run, ())),
    (Finding, lambda one: findings_html([one]), lambda one: findings_text([one])),
    (Comparison, comparison_html, comparison_text),
    (Receipt, receipt_html, receipt_text),
    (Audit, audit_html, audit_text),
    (Incident, incident_html, incident_text),
):
    html_of.register(kind)(as_html)
    text_of.register(kind)(as_text)


@singledispatch
def told(value: object) -> tuple[str, Facts]:
    """What a value is called, and what is known of it: its fields, unless it has a better way to say."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(value).__name__).lower()
    return kind, [(name.replace("_", " "), said(inner)) for name, inner in _fields(value).items()]


@told.register
def _(value: Verdict) -> tuple[str, Facts]:
    suspects = [(f"step {one.step}", f"{one.score:.0%} of the suspicion: {'; '.join(one.reasons) or DASH}") for one in value.suspects[:SOME]]
    return f"verdict on {line(value.run_id, 80)}", [("in short", str(value)), *suspects]


@told.register
def _(value: Neighbours) -> tuple[str, Facts]:
    counts = [(line(name, 80), f"{count:,}") for name, count in islice(value.counts.items(), SOME)]
    return f"what others did at step {value.step} of {line(value.run_id, 80)}", [("in short", str(value)), ("agreeing", str(value.agreeing)), *counts]


@told.register
def _(value: Baseline) -> tuple[str, Facts]:
    return f"a baseline of {plural(value.runs, 'run')}", [
        ("after each tool", said({name: f"{counts.most_common(1)[0][0]} ({counts.total():,})" for name, counts in value.follows.items() if counts}))
    ]


@told.register
def _(value: Report) -> tuple[str, Facts]:
    formats = "report(path) writes .html, .md, .json, .sarif, .xml, .csv or .parquet, as the path ends"
    return f"report: {line(value.title, SAID_CHARS)}", [
        ("sections", ", ".join(section.title for section in value.sections)),
        ("findings", f"{len(value.findings):,}"),
        ("formats", formats),
    ]


def said(value: Json) -> str:
    """A field in a line: texts cut, of many things the first few, what was not recorded as that."""
    if value is None:
        return "not recorded"
    if isinstance(value, str):
        return line(value, SAID_CHARS)
    if isinstance(value, BaseModel):
        own = type(value).__str__ is not BaseModel.__str__
        return line(str(value), SAID_CHARS) if own else f"{type(value).__name__}({', '.join(_shortly(value))})"
    if isinstance(value, Mapping):
        return _some([f"{line(str(name), 60)}: {said(inner)}" for name, inner in islice(value.items(), SOME)], len(value))
    if isinstance(value, Collection) and not isinstance(value, bytes):
        return _some([said(inner) for inner in islice(value, SOME)], len(value))
    return line(canonical(value), SAID_CHARS)


def _shortly(value: BaseModel) -> Iterator[str]:
    """The first plain fields of a value inside another."""
    plain = ((name, inner) for name, inner in _fields(value).items() if isinstance(inner, str | int | float))
    return (f"{name}={line(str(inner), 60)}" for name, inner in islice(plain, SOME))


def _some(texts: list[str], total: int) -> str:
    if not total:
        return "none"
    return line(", ".join(texts), 2 * SAID_CHARS) + (f" and {total - len(texts):,} more" if total > len(texts) else "")


def _fields(value: object) -> dict[str, Json]:
    if isinstance(value, BaseModel):
        return {name: value.__dict__.get(name) for name in type(value).model_fields}
    return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else {"value": str(value)}
