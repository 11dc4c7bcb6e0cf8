"""What models are given, read once for each message: a history grows by a message or two from call to call, and every call is given all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import BaseMessage

from workbench.model import Json, canonical
from workbench.reading.messages import messages_of
from workbench.replay.recording.cassette import canonical_messages

KEPT_MESSAGES = 1 << 16


@dataclass(frozen=True)
class Read:
    """One message: its JSON text as its span shows it, and what of it makes two calls the same (`recording.cassette`), if it is a message at all."""

    shown: str
    meant: tuple[Json, ...] | None


class History:
    """Reads messages, each that says something new once. What was read is found by all that the message holds, so one that was changed is read again."""

    def __init__(self) -> None:
        self._known: dict[str, Read] = {}

    def read(self, messages: Sequence[BaseMessage]) -> tuple[str, list[Json]]:
        """What a call was given: as JSON text, and in the form in which calls are compared. The latter is shared, so it must not be changed."""
        found = [self._one(message) for message in messages]
        whole = all(one.meant is not None for one in found)
        return f"[{','.join(one.shown for one in found)}]", [said for one in found for said in one.meant or ()] if whole else []

    def _one(self, message: BaseMessage) -> Read:
        try:
            text = message.model_dump_json()
        except ValueError:  # half a surrogate pair, which JSON in UTF-8 can't hold
            return _read(message)
        if text not in self._known:
            if len(self._known) >= KEPT_MESSAGES:
                self._known.clear()
            self._known[text] = _read(message)
        return self._known[text]


def _read(message: BaseMessage) -> Read:
    shown = message.model_dump(mode="json")
    meant = messages_of([shown])
    return Read(canonical(shown), None if meant is None else tuple(canonical_messages(meant)))
