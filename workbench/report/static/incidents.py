"""The card of an incident, the first cell at 3 a.m.: what failed, how far it reaches, where to look, and the next three calls."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.incident import Call, Counted, Incident
from workbench.report.incidents import began, cost_words, counts, near_words, tally, title_of, when, where, who, why_affected
from workbench.report.markup import Markup, element, join, still, visible
from workbench.report.quantities import line, moment, plural
from workbench.report.static.fragments import COLOURS, SIGN, badge, facts_of, quiet

SHOWN, NOTE_CHARS, MESSAGE_CHARS = 5, 400, 400
CODE = "font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere"


def incident_html(incident: Incident) -> str:
    """The card as HTML: details and tables with literal colours, which read on light, on dark and on paper."""
    tone = "error" if incident.reach.affected else "ok" if incident.reach.runs else "warning"
    return still(
        element("div", element("b", title_of(incident)), " ", badge(tone, tone, tally(incident.reach))),
        quiet(f"{when(incident.reach)} · {why_affected(incident.reach)}" if incident.reach.affected else when(incident.reach)),
        facts_of(_facts(incident)),
        _folded("not known", incident.unknown),
        _folded("note", [f"{moment(one.noted_ns)}: {line(one.text, NOTE_CHARS)}" for one in incident.notes], opened=True),
    )


def incident_text(incident: Incident) -> str:
    """The card as text."""
    lines = [
        f"{title_of(incident)}  {tally(incident.reach)}",
        f"{when(incident.reach)}  {why_affected(incident.reach) if incident.reach.affected else ''}".rstrip(),
    ]
    lines += [f"  {name:<6} {said}" for name, said in _said(incident)]
    lines += [f"  {'found' if not number else '':<6} {_finding_words(one)}" for number, one in enumerate(incident.found[:SHOWN])]
    for number, call in enumerate(incident.calls):
        lines += [f"  {'next' if not number else '':<6} {call.code}", f"         {line(call.does, MESSAGE_CHARS)}"]
    lines += [f"  note   {moment(one.noted_ns)}: {line(one.text, NOTE_CHARS)}" for one in incident.notes]
    lines += [f"  not known: {one}" for one in incident.unknown]
    return visible("\n".join(lines))


def _said(incident: Incident) -> Iterator[tuple[str, str]]:
    """What both forms say in a line each."""
    yield "what", line(incident.what, MESSAGE_CHARS)
    if not incident.reach.affected:
        return
    yield "reach", who(incident.reach)
    yield "since", began(incident).removeprefix("since ")
    yield "where", where(incident) + (f" ({incident.first_bad.because})" if incident.first_bad else "")
    yield "cost", cost_words(incident.cost, incident.reach.affected)
    if incident.confidence:
        yield "sure", f"{incident.confidence.word}: {incident.confidence.says}"
    yield "near", near_words(incident)


def _facts(incident: Incident) -> Iterator[tuple[str, str]]:
    for name, said in _said(incident):
        yield name, element("b", said) if name == "what" else said
        if name == "where" and incident.found:
            yield "found", join(*(element("div", _sign(one), _finding_words(one)) for one in incident.found[:SHOWN]), *_more(len(incident.found)))
    if incident.calls:
        yield "next", join(*(_call(one) for one in incident.calls))


def _more(total: int) -> list[Markup]:
    return [quiet(f"and {plural(total - SHOWN, 'more detector')}")] if total > SHOWN else []


def _sign(one: Counted) -> Markup:
    return element("span", f"{SIGN[one.severity]} ", style=f"color:{COLOURS[one.severity]};font-weight:bold")


def _finding_words(one: Counted) -> str:
    return f"{one.detector}: {counts(one)}"


def _call(call: Call) -> Markup:
    return element("div", element("code", call.code, style=CODE), quiet(line(call.does, MESSAGE_CHARS)))


def _folded(noun: str, lines: tuple[str, ...] | list[str], *, opened: bool = False) -> Markup:
    heading = f"what is not known ({len(lines)})" if noun == "not known" else plural(len(lines), noun)
    return element("details", element("summary", heading), *(element("div", one) for one in lines), open=opened) if lines else Markup()
