"""How a recorded run was started, and started again: with an answer, with an input, or to go on from where it had failed, been killed or paused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise

from workbench.model import Run, Span, Step
from workbench.normalise.branches import UPDATED
from workbench.normalise.forest import climb, without_circles
from workbench.reading.tasks import handles_errors
from workbench.reading.threads import Place
from workbench.replay.protocol import Crash
from workbench.replay.recording.cut import Cut
from workbench.taps.starts import LOOPS


def looped(spans: Iterable[Span]) -> bool | None:
    """Whether some start of a run was made in an event loop; None where nothing tells."""
    told = [bool(span.attributes[LOOPS]) for span in spans if LOOPS in span.attributes]
    return any(told) if told else None


def stops_of(parent: Run) -> Iterator[int]:
    """The steps after which a run was cut off and then started again; where it had stopped to ask a person, it was not, whatever ended after the question."""
    asking = frozenset(_asking(parent))
    for one, following in pairwise(parent.steps):
        if following.invocation > one.invocation and one.invocation not in asking:
            yield one.index


def _asking(parent: Run) -> Iterator[int]:
    """The starts that stopped at a question: from the one that asked it to the one in which its task came further, for others may be answered before it."""
    for one in parent.steps:
        if one.kind == "human" and one.tool_call:
            further = (other.invocation for other in parent.steps[one.index :] if other.task_id == one.task_id and other.kind != "human")
            yield from range(one.invocation, max(further, default=one.invocation + 1))
            yield one.invocation


def resumes_of(parent: Run, cut: Cut, first: int, stretches: Mapping[str, int]) -> Counter[int]:
    """How often a run was started again after its start `first` with neither an answer nor an input, by the stretch of its checkpoints it went on with."""
    steps = parent.steps
    later = {steps[index + 1].invocation for index in stops_of(parent) if steps[index].invocation >= first}
    started = {invocation: _start_of(parent, cut, invocation) for invocation in later}
    again = (root for invocation, root in started.items() if not (given_input(parent, cut, invocation) or cut.source(("", root or "")) == "fork"))
    return Counter(stretches.get(root or "", 0) for root in again)


def _start_of(parent: Run, cut: Cut, invocation: int) -> str | None:
    """The root checkpoint that a start began from."""
    return next((root for one in parent.steps if one.invocation == invocation and one.checkpoint_id and (root := cut.root_of(one))), None)


def given_input(parent: Run, cut: Cut, invocation: int) -> bool:
    """Whether a start was given an input: it began from a checkpoint that holds one, from which no earlier start had."""
    return _input_of(parent, cut, invocation, "") is not None


def _input_of(parent: Run, cut: Cut, invocation: int, namespace: str) -> Place | None:
    """The checkpoint with the input that a graph was given in a start; None where it went on in it."""
    ran = [(one.invocation, place) for one in parent.steps if one.checkpoint_id and (place := cut.in_force(one, namespace))]
    start = next((place for number, place in ran if number == invocation), None)
    earlier = any(place == start and number < invocation for number, place in ran)
    return None if start is None or earlier else cut.input_of((namespace, start))


def begun_at(parent: Run, cut: Cut, invocation: int) -> Iterator[tuple[str, int]]:
    """For each graph around the cut, the super-step from which LangGraph counted those of this start against the recursion limit."""
    for namespace, _ in cut.levels:
        start = next((place for one in parent.steps if one.invocation == invocation and one.checkpoint_id and (place := cut.in_force(one, namespace))), None)
        given = _input_of(parent, cut, invocation, namespace)
        if given is not None:
            yield namespace, cut.super_step(given)
        elif start is not None:
            yield namespace, cut.super_step((namespace, start)) + 1


def crashes_of(parent: Run, again: Collection[int], first: int) -> Iterator[Crash]:
    """The failures by which starts of a run ended, from its start `first` on, that were followed by another start."""
    last = max(one.invocation for one in parent.steps)
    for invocation, found in groupby(parent.steps, key=lambda one: one.invocation):
        steps = list(found)
        for number, one in enumerate(steps):
            if first <= invocation < last and one.index in again and ended_it(one, steps[number + 1 :]):
                yield Crash(start=invocation - first, task_id=one.task_id, error=one.error or "")


def ended_it(one: Step, following: Sequence[Step]) -> bool:
    """Whether a failed step was the end of its start: what came after it ran beside it, or failed too."""
    if one.status != "error":
        return False
    beside = all(other.status == "error" or other.checkpoint_id in (None, one.checkpoint_id) or one.checkpoint_id is None for other in following)
    handled = any(handles_errors(other.node) and (other.namespace, other.checkpoint_id) == (one.namespace, one.checkpoint_id) for other in following)
    return (
        beside and not handled and not any(other.status == "ok" and other.task_id == one.task_id is not None and other.name != UPDATED for other in following)
    )


def spans_of_starts(run: Run, spans: Iterable[Span], attribute: str) -> dict[int, Span]:
    """By start, the outermost span around its steps that has this attribute, which our own recorder gives the span of a start.

    A fork's own steps have no spans: of the `spans` of the run it was made of, the graph's own are its starts in turn.
    """
    known = {(span.trace_id, span.span_id): span for span in spans}
    if not any(attribute in span.attributes for span in known.values()):
        return {}
    parents = without_circles({key: (key[0], span.parent_span_id or "") for key, span in known.items()})

    def start(key: tuple[str, str]) -> Span | None:
        return next((known[one] for one in reversed((key, *climb(parents, key))) if one in known and attribute in known[one].attributes), None)

    found = {step.invocation: span for step in reversed(run.steps) if (span := start((step.trace_id or "", step.span_id or "")))}
    inherited = sorted((span for key, span in known.items() if start(key) is span), key=lambda span: span.start_ns or 0) if run.forked_from else ()
    return {**dict(enumerate(inherited)), **found}
