"""What a model is given, message by message: a history grows by a message or two from call to call, so each message is read once, and told once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from workbench.model import Json, Span, canonical

MESSAGES = "gen_ai.input.messages"
"""The attribute of a span in which what a model was given stands."""


@dataclass(frozen=True, eq=False)
class Read:
    """One message: its JSON text as its span shows it, and what of it makes two calls the same (`recording.cassette`), if it is a message at all."""

    shown: str
    meant: tuple[Json, ...] | None

    @cached_property
    def text(self) -> str:
        """What is meant as canonical JSON, without the brackets around it."""
        return ",".join(canonical(one) for one in self.meant or ())


@dataclass(frozen=True)
class Given:
    """What one call was given."""

    messages: Sequence[Read]

    @cached_property
    def shown(self) -> str:
        """All of it, as JSON text."""
        return f"[{','.join([one.shown for one in self.messages])}]"

    @cached_property
    def meant(self) -> list[Json]:
        """The form in which calls are compared, empty where something in it is no message. It is shared, so it must not be changed."""
        return [said for one in self._understood for said in one.meant or ()]

    @cached_property
    def text(self) -> str:
        """That as canonical JSON text."""
        return f"[{','.join([one.text for one in self._understood if one.text])}]"

    @cached_property
    def _understood(self) -> Sequence[Read]:
        return () if None in [one.meant for one in self.messages] else self.messages


def without_messages(span: Span) -> Span:
    """A model's span without what the model was given, whose place in it is kept."""
    return span.model_copy(update={"attributes": {**span.attributes, MESSAGES: ""}})


def complete(told: dict[str, Json], known: Mapping[str, Read]) -> None:
    """Put what a model was given, which is told of by the numbers of its messages, into what was told of the call. LookupError for what nobody told of."""
    given = Given([known[one] for one in told["given"]])
    told["record"]["arguments"] = given.meant
    if "span" in told:
        told["span"]["attributes"][MESSAGES] = given.shown
