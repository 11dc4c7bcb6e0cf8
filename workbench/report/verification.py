"""Checks a report that we wrote against a store: each claim by its evidence, and then every statement by what the store says now.

The file is not trusted. It says what it is about (`workbench.report.reference`); everything it states is made anew from the store and
held against it, so that a number edited in the text is found as well as a value that changed in the store.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from pydantic import ValidationError

from workbench.comparison.difference import Line, difference
from workbench.model import Evidence, Finding, Json, Run, Value, canonical, digest
from workbench.report import statements
from workbench.report.contents import Report
from workbench.report.page import html
from workbench.report.plaintext import markdown
from workbench.report.quantities import line
from workbench.report.reference import NAME, Claimed, Reference, from_markdown, from_page, reference_of

SAID_CHARS = 160
CHANGING = re.compile(rf'name="{NAME}" content="[^"]*"|<p>replay-workbench [^<]*</p>')
"""What may differ between two pages that say the same: what they are said to be about, and what wrote them."""


class Unsupported(Value):
    """One statement of a report that a store doesn't support, and why."""

    kind: Literal["unknown run", "finding gone", "step gone", "value gone", "hash differs", "statement", "left out", "markup"]
    says: str
    run_id: str | None = None
    step: int | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.says}"


class Evidences(Protocol):
    """What a check asks of a store."""

    def run(self, run_id: str) -> Run | None:
        """The run of exactly this id; None where there is none."""

    def findings(self, run_id: str) -> Iterable[Finding]:
        """What is found in it now."""

    def again(self, reference: Reference) -> Report:
        """The same report, made of what the store holds now."""


class Written(NamedTuple):
    """A report as it was read back: what it is about, and how it differs from one that is made anew."""

    reference: Reference
    differs: Callable[[Report], Iterator[Unsupported]]


def check(path: Path, store: Evidences) -> list[Unsupported]:
    """Every statement of a report in a file that a store doesn't support. ValueError for a file that is no report of ours, and OSError."""
    written = read(path)
    ids = dict.fromkeys((*(written.reference.run_ids or ()), *(one.run_id for one in written.reference.claims)))
    unknown = [run_id for run_id in ids if store.run(run_id) is None]
    found = [Unsupported(kind="unknown run", says=f"the store has no run {run_id}", run_id=run_id) for run_id in unknown]
    known = [claim for claim in written.reference.claims if claim.run_id not in unknown]
    found += [one for claim in known for one in _unfounded(claim, store)]
    found += [one for proof in written.reference.cited for one in _unproven(proof, store.run(proof.run_id), f"the {written.reference.kind}")]
    if unknown and written.reference.kind != "store":
        return found
    return found + list(written.differs(store.again(written.reference)))


def _unfounded(claim: Claimed, store: Evidences) -> Iterator[Unsupported]:
    """What is wrong with a claim: it isn't found any more, or its evidence doesn't hold."""
    run = store.run(claim.run_id)
    if claim.finding_id not in {one.finding_id for one in store.findings(claim.run_id)}:
        says = f"{claim.detector} in run {claim.run_id} ({claim.finding_id}) is not found there any more, or was worded otherwise"
        yield Unsupported(kind="finding gone", says=says, run_id=claim.run_id)
    for proof in claim.evidence:
        yield from _unproven(proof, run, claim.detector)


def _unproven(proof: Evidence, run: Run | None, who: str) -> Iterator[Unsupported]:
    place = f"{who} cites run {proof.run_id} step {proof.step} {proof.path}"
    where = {"run_id": proof.run_id, "step": proof.step}
    if run is None:
        yield Unsupported(kind="unknown run", says=f"{place}: the store has no such run", **where)
        return
    if proof.step not in {step.index for step in run.steps}:
        yield Unsupported(kind="step gone", says=f"{place}: there is no such step", **where)
        return
    try:
        value = run.step(proof.step).at(proof.path)
    except LookupError as error:
        yield Unsupported(kind="value gone", says=f"{place}: {error}", **where)
        return
    if digest(value) != proof.sha256:
        says = f"{place} as sha256 {proof.sha256[:12]}; the store has {digest(value)[:12]}: {line(canonical(value), SAID_CHARS)}"
        yield Unsupported(kind="hash differs", says=says, **where)


# ---- reading back


def read(path: Path) -> Written:
    """A report of ours. ValueError says why a file is none."""
    text = path.read_text("utf-8", errors="replace")
    match path.suffix.lower():
        case ".json":
            return _json(path, text)
        case ".html" | ".htm":
            return Written(_reference(path, text, from_page), lambda again: _page_differs(text, html(again)))
        case ".md":
            return _markdown(_reference(path, text, from_markdown), text)
    raise ValueError(f"{path}: a report that can be checked ends in .html, .md or .json")


def _markdown(reference: Reference, text: str) -> Written:
    return Written(reference, lambda again: _lines_differ(statements.of_markdown(text), statements.of_markdown(markdown(again))))


def _reference(path: Path, text: str, read_from: Callable[[str], Reference]) -> Reference:
    try:
        return read_from(text)
    except ValueError as error:
        raise ValueError(f"{path}: no report that this workbench wrote, or one from before reports could be checked: {line(str(error), SAID_CHARS)}") from error


def _json(path: Path, text: str) -> Written:
    try:
        content = json.loads(text)
        report = Report.model_validate(content)
    except (ValueError, ValidationError, RecursionError) as error:
        raise ValueError(f"{path}: no report that this workbench wrote: {line(str(error), SAID_CHARS)}") from error
    return Written(reference_of(report), lambda again: _values_differ(content, json.loads(json.dumps(again.model_dump(), default=str))))


def _page_differs(mine: str, again: str) -> Iterator[Unsupported]:
    said = list(_lines_differ(statements.of_html(mine), statements.of_html(again)))
    yield from said
    if not said and CHANGING.sub("", mine) != CHANGING.sub("", again):
        yield Unsupported(
            kind="markup", says="the page says the same, but its markup is not what this workbench writes: links, colours or what is hidden may differ"
        )


def _lines_differ(mine: Sequence[str], again: Sequence[str]) -> Iterator[Unsupported]:
    """Statements that the store would word otherwise, that nothing supports, and that were left out."""
    if list(mine) == list(again):
        return
    for tag, first, last, other_first, other_last in difflib.SequenceMatcher(None, mine, again).get_opcodes():
        if tag != "equal":
            yield from _beside(mine[first:last], again[other_first:other_last])


def _beside(mine: Sequence[str], again: Sequence[str]) -> Iterator[Unsupported]:
    for said, holds in zip_longest(mine, again):
        yield _told(said, holds)


def _told(said: str | None, holds: str | None) -> Unsupported:
    if said is None:
        return Unsupported(kind="left out", says=f"the store says, and the report doesn't: {line(str(holds), SAID_CHARS)}")
    if holds is None:
        return Unsupported(kind="statement", says=f"{line(said, SAID_CHARS)}; nothing in the store says so")
    apart = max(0, _first_apart(said, holds) - SAID_CHARS // 2)
    return Unsupported(kind="statement", says=f"{_from(said, apart)}; the store has: {_from(holds, apart)}")


def _first_apart(one: str, other: str) -> int:
    return next((place for place, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs), min(len(one), len(other)))


def _from(text: str, place: int) -> str:
    """A statement from where it begins to matter."""
    return f"{'…' if place else ''}{line(text[place:], SAID_CHARS)}"


def _values_differ(mine: Json, again: Json) -> Iterator[Unsupported]:
    """The same of a report's values, each with its JSON path."""
    by_path: dict[str, dict[str, str]] = {}
    for found in difference(_without_folders(mine), _without_folders(again), "$"):
        by_path.setdefault(found.path, {})[found.sign] = _value(found)
    for signs in by_path.values():
        yield _told(signs.get("-"), signs.get("+"))


def _value(found: Line) -> str:
    return f"{found.path}: {canonical(found.value)}"


def _without_folders(report: Json) -> Json:
    """The report's values with of each source its file's name only: the same trace may have been ingested from elsewhere."""
    if isinstance(report, dict):
        return {
            name: [str(path).rpartition("/")[2] for path in value] if name == "sources" and isinstance(value, list) else _without_folders(value)
            for name, value in report.items()
        }
    return [_without_folders(one) for one in report] if isinstance(report, list) else report
