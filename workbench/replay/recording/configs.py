"""What each start of a recorded run was configured with: told by the spans of our own recorder (`workbench.taps.configs`), else by its checkpoints.

Checkpoints keep no tags and no recursion limit, and of the rest what is text, a number or a boolean, without saying whether it stood in the configurable
or in the metadata: it is given as both. What was redacted in the spans is taken from them too, as the state is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig

from workbench.model import Json, Run, Span
from workbench.replay.protocol import Start
from workbench.replay.recording.contexts import HIDDEN, Absent, loaded
from workbench.replay.recording.cut import Cut
from workbench.replay.recording.starts import ended_it, spans_of_starts
from workbench.taps.configs import LOST, PARTS, VALUE

RECURSION_LIMIT = re.compile(r"Recursion limit of (\d{1,6}) reached")


def starts_of(run: Run, spans: Iterable[Span], cut: Cut, first: int) -> tuple[Start, ...]:
    """How a run was configured, start by start from its `first` on. Of a start that nothing tells of, as the one before it was."""
    told, noted, met = spans_of_starts(run, spans, VALUE), _noted(run, cut), dict(_met(run))
    found: list[Start] = []
    for number in range(first, max((step.invocation for step in run.steps), default=first) + 1):
        if number in told:
            found.append(_as_told(told[number], noted.get(number, {})))
        else:
            known = noted.get(number, found[-1].configurable if found else cut.noted(cut.levels[0]))
            found.append(Start(configurable=known, metadata=known, limit=met.get(number)))
    return tuple(found)


def _as_told(span: Span, noted: Mapping[str, Json]) -> Start:
    value, lost = (loaded(span.attributes.get(name)) for name in (VALUE, LOST))
    told: dict[str, Any] = value if isinstance(value, dict) else {}
    parts = {part: {name: noted.get(name, one) if HIDDEN in str(one) else one for name, one in told.get(part, {}).items()} for part in PARTS}
    return Start(**parts, tags=told.get("tags"), limit=told.get("recursion_limit"), lost=lost if isinstance(lost, dict) else {})


def _noted(run: Run, cut: Cut) -> dict[int, Mapping[str, Json]]:
    """By start, what the checkpoints that it made note of how it was configured."""
    ran = [(root, one.invocation) for one in run.steps if one.checkpoint_id and (root := cut.root_of(one))]
    first, last = dict(reversed(ran)), dict(ran)
    found: dict[int, Mapping[str, Json]] = {}
    for place, row in cut.rows.items():
        made = {"input": first.get(place[1]), "fork": first.get(place[1]), "loop": last.get(row.parent or "")} if not place[0] else {}
        if (number := made.get(cut.source(place))) is not None:
            found[number] = cut.noted(place)
    return found


def _met(run: Run) -> Iterator[tuple[int, int]]:
    """The starts that ended at their recursion limit, each with that, as their errors tell."""
    for number, steps in groupby(run.steps, key=lambda one: one.invocation):
        every = list(steps)
        for place, one in enumerate(every):
            if (limit := RECURSION_LIMIT.search(one.error or "")) and ended_it(one, every[place + 1 :]):
                yield number, int(limit[1])


# ---- in the re-run


def configured(start: Start, bound: Collection[str], halt: Callable[[str], Any]) -> RunnableConfig:
    """A start's config, but for what says where it runs. Tags that are `bound` to the graph are left out, for it adds them itself."""
    found = RunnableConfig(tags=[one for one in start.tags or () if one not in bound])
    for part, known in _parts(start).items():
        lost = {name: Absent(name, kind, halt, f"the start's {part}") for name, kind in start.lost.get(part, {}).items()}
        found[part] = {**known, **lost}
    return found


def _parts(start: Start) -> dict[Literal["configurable", "metadata"], Mapping[str, Json]]:
    return {"configurable": start.configurable, "metadata": start.metadata}


def redacted_in(starts: Iterable[Start]) -> Iterator[str]:
    """A line for each value that a start is given only what stands for."""
    names = dict.fromkeys((part, name) for start in starts for part, known in _parts(start).items() for name, one in known.items() if HIDDEN in str(one))
    for part, name in names:
        yield f"what the start's {part} held as {name!r} was redacted when it was recorded: code that reads it finds what stands for it"
