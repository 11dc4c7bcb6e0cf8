"""Content-addressed payloads: equal content is stored once, under the SHA-256 of its JSON text (`contents` keeps it).

Keys keep the order they came in: a replay that serves a recorded object must give it back as it was, since prompts are made from it.
Long texts are kept apart (`packing`). A step repeats nearly all messages of the step before it, so a step says how many it keeps, and which are new.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from workbench.model import Json, Message, Span, Step, Value
from workbench.store import contents
from workbench.store.packing import Packer, Texts, Unpacker, address_of, from_bytes, references, to_bytes

SKIPPED, KEPT, NEW = "skipped_messages", "kept_messages", "new_messages"
V = TypeVar("V", bound=Value)


class _Gathered:
    """Contents by their addresses. Apart from what puts them, so that a batch has no circle of references: its memory is free as soon as it is saved."""

    def __init__(self, texts: Texts) -> None:
        self.content: dict[str, bytes] = {}
        self.short = 0
        self._texts = texts

    def put(self, content: bytes) -> str:
        address = address_of(content)
        self.content[address] = content
        self.short += len(content)
        return address

    def put_text(self, text: str) -> str:
        address, content = self._texts.of(text)
        self.content[address] = content
        self.short += len(content)
        return address


class Payloads:
    """Payloads gathered for one batch: put values, get addresses, save them all at once. `texts` are those that other batches met."""

    def __init__(self, texts: Texts | None = None) -> None:
        self._gathered = _Gathered(texts or Texts())
        self._put = self._gathered.put
        self._packer = Packer(self._put, self._gathered.put_text)
        self._resources: dict[int, tuple[Json, Json]] = {}
        self._messages: dict[int, tuple[Message, str]] = {}

    @property
    def characters(self) -> int:
        """How many characters were put, about, what recurs included."""
        return self._gathered.short + self._packer.long_characters

    def put(self, value: Value) -> str:
        """Gather a value; returns its address."""
        return self._put_span(value) if isinstance(value, Span) else self.put_json(value)

    def _put_span(self, span: Span) -> str:
        """A span without what it doesn't say; what all spans of one resource share is kept once."""
        fields = {key: value for key, value in span.__dict__.items() if value and key not in ("resource", "events")}
        if span.events:
            fields["events"] = [event.said() for event in span.events]
        packed = self._packer.pack(fields)
        if span.resource:
            packed["resource"] = self._resource(span.resource)
        return self._put(to_bytes(packed))

    def put_json(self, value: Json) -> str:
        """Gather JSON, in which values of the model may stand; returns its address."""
        return self._put(to_bytes(self._packer.pack(value)))

    def put_message(self, message: Message) -> str:
        """Gather a message; the same object again costs nothing."""
        known = self._messages.get(id(message))
        if known is None:
            known = self._messages[id(message)] = message, self.put_json(message.said())
        return known[1]

    def _resource(self, resource: Json) -> Json:
        known = self._resources.get(id(resource))
        if known is None:
            known = self._resources[id(resource)] = resource, self._packer.apart(resource)
        return known[1]

    def save(self, connection: Connection) -> None:
        """Write what is not stored yet."""
        contents.save(connection, self._gathered.content)


def packed(steps: Iterable[Step], payloads: Payloads) -> Iterator[dict[str, Json]]:
    """Steps as JSON whose messages are addresses: how many of the step before are left out at its start, how many are kept, and which are new."""
    before: list[str] = []
    for step in steps:
        packed = step.said(but="messages")
        if step.messages:
            addresses = [payloads.put_message(message) for message in step.messages]
            skipped, kept = _overlap(before, addresses)
            packed |= {KEPT: kept, NEW: addresses[kept:]} | ({SKIPPED: skipped} if skipped else {})
            before = addresses
        yield packed


def _overlap(before: list[str], now: list[str]) -> tuple[int, int]:
    """How many messages to leave out at the start of `before` so that what follows begins `now`, and how many those are. Agents cut long histories."""
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, now, strict=False)))
    if same or now[0] not in before:
        return 0, same
    skipped = before.index(now[0])
    rest = before[skipped:]
    return (skipped, len(rest)) if rest == now[: len(rest)] else (0, 0)


def unpacked(connection: Connection, addresses: Sequence[str]) -> Iterator[Step]:
    """The steps behind these addresses, their messages put together again; a message is loaded once."""
    messages: dict[str, Message] = {}
    before: list[str] = []
    unpacker = Unpacker(partial(contents.fetch, connection))
    for fields in list(unpacker.load(list(addresses))):
        skipped, kept, new = fields.get(SKIPPED, 0), fields.get(KEPT, 0), fields.get(NEW, [])
        step = Step.model_validate({key: value for key, value in fields.items() if key not in (SKIPPED, KEPT, NEW)})
        if kept or new:
            before = before[skipped : skipped + kept] + new
            unknown = [one for one in new if one not in messages]
            messages |= zip(unknown, map(Message.model_validate, unpacker.load(unknown)), strict=True)
            step = step.model_copy(update={"messages": tuple(messages[one] for one in before)})
        yield step


def load(connection: Connection, kind: type[V], addresses: Iterable[str]) -> Iterator[V]:
    """The values behind these addresses, in their order."""
    return map(kind.model_validate, Unpacker(partial(contents.fetch, connection)).load(list(addresses)))


def load_json(connection: Connection, address: str) -> Json:
    """The JSON behind one address."""
    return next(load_many(connection, [address]))


def load_many(connection: Connection, addresses: Sequence[str]) -> Iterator[Json]:
    """The JSON behind each of these addresses, in their order."""
    return Unpacker(partial(contents.fetch, connection)).load(list(addresses))


def pointed_at(content: bytes, *, step: bool) -> set[str]:
    """The addresses that a payload's content points at: what is kept apart, and for a step its messages."""
    if content.startswith(b'"'):
        return set()
    value = from_bytes(content)
    return {*references(value), *(value.get(NEW, ()) if step else ())}
