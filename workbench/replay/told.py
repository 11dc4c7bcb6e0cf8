"""What a re-run told of itself while it ran, kept as lines of JSON outside of its reach: what a killed re-run did is known, and it can go on from there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from workbench.model import NO_TOKENS, CallRecord, Json, Span, Spent, Tokens
from workbench.replay.budget import Meter
from workbench.replay.channel import ASK, ChannelError
from workbench.replay.recording.given import Read, complete
from workbench.replay.recording.tape import BY_PLACE, IN_TURN, UNTYPED


@dataclass
class Told:
    """The calls and spans that a re-run told of, its starts, and what it reached for in vain. Each line goes to `path` before it is taken in."""

    path: Path
    asked: Callable[[Json], Json] = lambda _: {"refused": "nothing is live in this re-run"}
    noted: Callable[[CallRecord, str, int, Json], None] = lambda *_: None
    """Is given each call as it is told, its place, which of the same calls there it is, and what the tool is declared to do."""
    began: Callable[[], None] = lambda: None
    """Is told of each start of the graph."""
    heard: Callable[[CallRecord], None] = lambda _: None
    """Looks on: is given each call that is told."""
    records: list[CallRecord] = field(default_factory=list)
    blocked: list[CallRecord] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    starts: list[dict[str, Json]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What there was to say so far."""
    strayed: list[str] = field(default_factory=list)
    """The nodes that wrote something else than recorded."""
    tasks: dict[str, str] = field(default_factory=dict)
    """Its tasks, by id, with the recorded ones that they repeat."""
    messages: dict[str, Read] = field(default_factory=dict)
    """Those that models were given, by their numbers: each is told of once."""
    isolation: str = ""
    """How it is shut in, as it told before it loaded anything; `sandboxed` is whether that is a sandbox."""
    sandboxed: bool = False
    met: bool = False
    """Whether it told that it met the change, besides what the records say."""
    _lines: IO[str] | None = None
    meter: Meter = field(default_factory=Meter)
    """What its live model calls took that have ended, those too that were taken back since."""

    def hear(self, said: dict[str, Json]) -> Json:
        """Keep what was said; reply to what was asked."""
        if ASK in said:
            return self.asked(said[ASK])
        self._lines = self._lines or self.path.open("a", encoding="utf-8")
        self._lines.write(json.dumps(said) + "\n")
        self._lines.flush()
        self.take_in(said)
        if "start" in said:
            self.began()
        self.note(said)
        return None

    def close(self) -> None:
        """Nothing more is told."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def note(self, said: dict[str, Json]) -> None:
        """Hand on the call that a line tells of."""
        self._complete(said)
        if "record" in said:
            record = CallRecord.model_validate(said["record"])
            self.noted(record, str(said.get("place", "")), int(said.get("nth", 0)), said.get("declared"))
            self.heard(record)

    def take_in(self, said: dict[str, Json]) -> None:
        """Take in one line. ChannelError for what no re-run of ours says."""
        try:
            if "messages" in said:
                self.messages |= {number: Read(one["shown"], one["meant"]) for number, one in said["messages"].items()}
            self._complete(said)
            if "blocked" in said:
                self.blocked.append(CallRecord.model_validate(said["blocked"]))
            if "record" in said:
                self.records.append(CallRecord.model_validate(said["record"]))
                self._count(self.records[-1], said)
            if "spent" in said:
                self.meter.add(Spent.model_validate(said["spent"]))
            if said.get("forget") == "spans":
                self.spans.clear()
                self.starts.clear()
            if "span" in said:
                self.spans.append(Span.model_validate(said["span"]))
            self._go_through(said)
            if "isolation" in said:
                self.isolation, self.sandboxed = str(said["isolation"]), bool(said.get("sandboxed"))
        except (ValidationError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise ChannelError(f"the re-run's process told something that makes no sense: {error}") from error

    def _go_through(self, said: dict[str, Json]) -> None:
        """Take in how far the graph is, and what there is to say of it."""
        if "start" in said:
            self.starts.append(dict(said["start"]))
            self.notes += map(str, self.starts[-1].get("notes", ()))
        if "stopped" in said and self.starts:
            self.starts[-1]["stopped"] = dict(said["stopped"])
        if "task" in said:
            self.tasks |= [said["task"]]
        if "note" in said:
            self.notes.append(str(said["note"]))
        if "strayed" in said:
            self.strayed.append(str(said["strayed"]))
        self.met |= "met" in said

    def _complete(self, said: dict[str, Json]) -> None:
        """Put in what a model was given."""
        if "given" in said:
            complete(said, self.messages)

    @property
    def open_span(self) -> Span | None:
        """The span of the last start of the graph, where it was not told to have ended."""
        root = Span.model_validate(self.starts[-1]["root"]) if self.starts and "root" in self.starts[-1] else None
        return None if root is None or any(one.span_id == root.span_id for one in self.spans) else root

    def _count(self, record: CallRecord, said: dict[str, Json]) -> None:
        """Count what a model's live call took, by its answer."""
        if (record.kind, record.answer) == ("model", "live"):
            self.meter.add(Spent(model_calls=1))
            self.meter.used(record.name, _tokens(Span.model_validate(said["span"])) if "span" in said else NO_TOKENS)

    @property
    def every(self) -> tuple[CallRecord, ...]:
        """All calls, then what was reached for in vain."""
        return (*self.records, *self.blocked)


def _tokens(span: Span) -> Tokens:
    """The tokens that the answer in a model's span says it took; none known where it says nothing that makes sense."""
    with suppress(LookupError, ValueError, TypeError, AttributeError):
        (message,) = json.loads(span.attributes["gen_ai.output.messages"] or "")
        usage = message["usage_metadata"] or {}
        return Tokens(input=usage.get("input_tokens"), output=usage.get("output_tokens"), total=usage.get("total_tokens"))
    return NO_TOKENS


def lines(path: Path) -> Iterator[dict[str, Json]]:
    """What an earlier part of a re-run told, line by line. A last line that was cut off by a kill is left out."""
    for text in path.read_text("utf-8").splitlines() if path.exists() else []:
        with suppress(ValueError):
            yield json.loads(text)


def read(path: Path) -> Told:
    """What an earlier part of a re-run told."""
    told = Told(path)
    for said in lines(path):
        told.take_in(said)
    return told


NAMED = 5
FLAGS = ("moved", "repeated", "scrubbed", "stale", UNTYPED, BY_PLACE, IN_TURN)
"""How the notes of an answer begin that was not given to the same call at the same place."""


def flagged(records: Sequence[CallRecord]) -> Iterator[str]:
    """A line for each way in which calls were served otherwise than as recorded."""
    for flag in FLAGS:
        found = [record for record in records if any(part.startswith(flag) for part in record.says.split("; "))]
        if found:
            yield f"{len(found)} answers were {flag}: {listed(f'{one.kind} {one.name}' for one in found)}"


def listed(names: Iterable[str]) -> str:
    """The first few different names."""
    found = list(dict.fromkeys(names))
    return ", ".join(found[:NAMED]) + (" …" if len(found) > NAMED else "")
