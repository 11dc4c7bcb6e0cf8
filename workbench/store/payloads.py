"""Content-addressed payloads: equal content is stored once, under the SHA-256 of its JSON text.

Keys keep the order they came in: a replay that serves a recorded object must give it back as it was, since prompts are made from it.
A step repeats nearly all messages of the step before it, so steps are packed: how many messages are kept, and the addresses of the new ones.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection, select

from workbench.model import Json, Message, Step, Value
from workbench.store.dialect import insert_new
from workbench.store.schema import TABLES

IN_CLAUSE = 500
PAYLOAD = TABLES["payload"]
V = TypeVar("V", bound=Value)


class Payloads:
    """Payloads gathered for one batch: put values, get addresses, save them all at once."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}

    def put(self, value: Value) -> str:
        """Gather a value; returns its address."""
        return self.put_json(value.model_dump(mode="json"))

    def put_json(self, value: Json) -> str:
        """Gather JSON; returns its address."""
        content = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        address = hashlib.sha256(content).hexdigest()
        self._content[address] = content
        return address

    def save(self, connection: Connection) -> None:
        """Write what is not stored yet."""
        insert_new(connection, PAYLOAD, list(self._content.items()))


def packed(steps: Iterable[Step], payloads: Payloads) -> Iterator[dict[str, Json]]:
    """Steps as JSON whose messages are addresses: how many of the step before are kept, and which are new."""
    before: list[str] = []
    for step in steps:
        packed = step.model_dump(mode="json", exclude={"messages"}, exclude_defaults=True)
        addresses = [payloads.put(message) for message in step.messages]
        kept = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, addresses, strict=False)))
        if addresses:
            packed |= {"kept_messages": kept, "new_messages": addresses[kept:]}
            before = addresses
        yield packed


def unpacked(connection: Connection, addresses: Sequence[str]) -> Iterator[Step]:
    """The steps behind these addresses, their messages put together again; a message is loaded once."""
    messages: dict[str, Message] = {}
    before: list[str] = []
    contents = _contents(connection, addresses)
    for address in addresses:
        packed = json.loads(contents[address])
        kept, new = packed.pop("kept_messages", 0), packed.pop("new_messages", [])
        step = Step.model_validate(packed)
        if kept or new:
            before = before[:kept] + new
            unknown = [one for one in new if one not in messages]
            messages |= zip(unknown, load(connection, Message, unknown), strict=True)
            step = step.model_copy(update={"messages": tuple(messages[one] for one in before)})
        yield step


def _contents(connection: Connection, addresses: Iterable[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for batch in _batched(dict.fromkeys(addresses), IN_CLAUSE):
        found |= {row.sha256: row.content for row in connection.execute(select(PAYLOAD).where(PAYLOAD.c.sha256.in_(batch)))}
    return found


def _batched(values: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    rest = iter(values)
    while batch := tuple(itertools.islice(rest, size)):
        yield batch


def load(connection: Connection, kind: type[V], addresses: Iterable[str]) -> Iterator[V]:
    """The values behind these addresses, in their order."""
    wanted = list(addresses)
    contents = _contents(connection, wanted)
    return (_decoded(kind, contents[address]) for address in wanted)


def _decoded(kind: type[V], content: bytes) -> V:
    try:
        return kind.model_validate_json(content)
    except ValidationError:  # half a surrogate pair: what a model was made to say need not be valid Unicode, and pydantic's own parser refuses it
        return kind.model_validate(json.loads(content))


def load_json(connection: Connection, address: str) -> Json:
    """The JSON behind one address."""
    return json.loads(_contents(connection, [address])[address])
