"""Reads the messages that models are given, each that says something new once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import ormsgpack
from langchain_core.messages import BaseMessage

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
        return Given([self._one(message) for message in messages])

    def _one(self, message: BaseMessage) -> Read:
        try:
            held = _held(message)
        except ValueError:  # half a surrogate pair, which JSON in UTF-8 can't hold
            return _read(message)
        if held not in self._known:
            if len(self._known) >= KEPT_MESSAGES:
                self._known.clear()
            self._known[held] = _read(message)
        return self._known[held]


def _held(message: BaseMessage) -> Hashable:
    """All that a message holds, packed; as JSON text, which takes longer, where it holds what can't be packed. ValueError where it can't be that either."""
    try:
        return type(message), ormsgpack.packb([vars(message), message.__pydantic_extra__], option=ormsgpack.OPT_NON_STR_KEYS)
    except TypeError:
        return message.model_dump_json()


def _read(message: BaseMessage) -> Read:
    shown = message.model_dump(mode="json")
    meant = messages_of([shown])
    return Read(canonical(shown), None if meant is None else tuple(canonical_messages(meant)))
