"""The corpus of conventions: small spans written by hand as each convention's specification or documentation has them, and the run they must make.

A new convention is one file in `workbench/conventions/` and one of the same name in `tests/conventions/`, no Python. An entry there has
`says` (what it shows), `spans` (`parent` is the number of a span before; `ms` its start and end in milliseconds, else one span follows the other), and
`run`: what `workbench runs --json` must say of it, as far as it is given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench import summary
from workbench.model import Json, Span, SpanEvent
from workbench.normalise import normalise
from workbench.semconv import conventions, read

CORPUS = Path(__file__).parent / "conventions"
T0, MS = 1_795_000_000_000_000_000, 1_000_000
CASES = [(path.stem, number, case) for path in sorted(CORPUS.glob("*.json")) for number, case in enumerate(json.loads(path.read_text("utf-8")))]


def span_of(number: int, drawn: dict[str, Json]) -> Span:
    """A span from its drawing."""
    parent = drawn.get("parent")
    start, end = drawn.get("ms", (number * 10, number * 10 + 5))
    return Span(
        trace_id="a" * 32,
        span_id=f"{number + 1:016x}",
        parent_span_id=None if parent is None else f"{parent + 1:016x}",
        name=drawn["name"],
        start_ns=T0 + start * MS,
        end_ns=T0 + end * MS,
        status=drawn.get("status", "unset"),
        status_message=drawn.get("message", ""),
        attributes=drawn["attributes"],
        events=tuple(SpanEvent(**event) for event in drawn.get("events", ())),
        scope=drawn.get("scope"),
    )


def differences(wanted: Json, found: Json, where: str = "run") -> Iterator[str]:
    """Where something wanted is not found; keys that are not wanted may be anything."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            yield from differences(value, found.get(key, "nothing there"), f"{where}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from differences(one, other, f"{where}[{number}]")
    elif wanted != found:
        yield f"{where}: wanted {wanted!r}, found {found!r}"


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{name}-{number}") for name, number, case in CASES])
def test_the_spans_of_a_convention_make_the_run_they_tell_of(case: dict[str, Any]):
    """Each entry of the corpus says in a sentence of its own what it shows."""
    (run,) = normalise([span_of(number, drawn) for number, drawn in enumerate(case["spans"])], ())
    assert not list(differences(case["run"], summary.of_run(run))), case["says"]


def test_every_convention_has_an_entry_that_speaks_it():
    """A convention is in the corpus, and something there is read by it or, where it only tells signals or kinds, would be read otherwise without it."""
    assert {convention.name for convention in conventions()} == {name for name, _, _ in CASES}


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CASES} - {"langgraph"}))
def test_the_provenance_of_a_corpus_entry_names_its_convention(name: str):
    """At least one field of one span is read by the convention whose entry it is."""
    spans = [span_of(number, drawn) for file, _, case in CASES if file == name for number, drawn in enumerate(case["spans"])]
    assert any(source.startswith(f"{name}: ") for span in spans for source in read(span).provenance.values())
