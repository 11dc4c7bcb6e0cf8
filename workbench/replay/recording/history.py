"""Reads the messages that models are given, each that says something new once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress

from langchain_core.messages import BaseMessage
from ormsgpack import OPT_NON_STR_KEYS, packb

from workbench.model import canonical
from workbench.reading.messages import messages_of
from workbench.replay.recording.cassette import canonical_messages
from workbench.replay.recording.given import Given, Read

KEPT_MESSAGES = 1 << 16


class History:
    """The messages read so far. What was read is found by all that the message holds, so one that was changed is read again."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Read] = {}

    def read(self, messages: Sequence[BaseMessage]) -> Given:
        """What a call was given."""
        return Given([self._known.get(_held(message)) or self._new(message) for message in messages])

    def _new(self, message: BaseMessage) -> Read:
        found, held = _read(message), _held(message)
        if held is not None:
            if len(self._known) >= KEPT_MESSAGES:
                self._known.clear()
            self._known[held] = found
        return found


def _held(message: BaseMessage) -> Hashable:
    """All that a message holds, packed; as JSON text, which takes longer, where it holds what can't be packed; None where it can't be that either."""
    try:
        return type(message), packb([message.__dict__, message.__pydantic_extra__], option=OPT_NON_STR_KEYS)
    except TypeError:
        with suppress(ValueError):  # half a surrogate pair, which JSON in UTF-8 can't hold
            return message.model_dump_json()
    return None


def _read(message: BaseMessage) -> Read:
    shown = message.model_dump(mode="json")
    meant = messages_of([shown])
    return Read(canonical(shown), None if meant is None else tuple(canonical_messages(meant)))
