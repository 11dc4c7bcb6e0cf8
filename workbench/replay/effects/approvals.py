"""Asks a person before something goes live. Whoever answers is a function of one question: a list of names, a terminal, a widget's desk.

A standing approval of a name never covers an act that was done live before: that is asked for by itself, or refused.
"""

from __future__ import annotations

import getpass
import itertools
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from workbench.model import Cause, EffectClass, Json, Value, canonical


class Question(Value):
    """What is to go live. `already` says what is known of the same act: that the recorded run did it, or a re-run did it live."""

    run_id: str
    kind: str
    name: str
    effect: EffectClass
    guessed: bool
    arguments: Json = None
    injected: Mapping[str, str] = {}
    """What the graph adds to them, as text by argument; a long one is cut, and says so."""
    key: str = ""
    """The business key of the act, empty for a model."""
    idempotency_key: str = ""
    passes_key: bool = False
    """Whether the tool takes the idempotency key, so that the other side can tell a repetition."""
    cause: Cause = "first"
    already: tuple[str, ...] = ()
    done_live: bool = False
    """The same act was done live before, here or in another fork."""

    def __str__(self) -> str:
        sure = " (a guess by its name)" if self.guessed and self.kind == "tool" else ""
        what = f"{self.kind} {self.name}" + (f" with {canonical(self.arguments)}" if self.kind == "tool" else "")
        key = " It carries an idempotency key." if self.passes_key else ""
        injected = "".join(f"\n  the graph adds {name} = {text}" for name, text in self.injected.items())
        return f"{self.run_id} is about to call {what} for real: {self.effect}{sure}.{key}" + "".join(f" {one}." for one in self.already) + injected


@dataclass(frozen=True)
class Reply:
    """What a person said, and who it was or how it was said."""

    approved: bool
    by: str
    says: str = ""


NOBODY = "nobody"
"""Who said no where nobody was asked, or nobody answered."""
UNNAMED = "a person without a name here"
"""Who said something where the system has no name for its user, as in some containers."""
Approve = Callable[[Question], Reply | bool]
"""Answers a question; may take as long as a person takes."""


def nobody(_: Question) -> Reply:
    """There is no one to ask."""
    return Reply(False, NOBODY, "there is nobody to ask: give approve= (--approve NAME on the command line)")


def person() -> str:
    """Who speaks where nobody says another name: the user this process runs as."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return UNNAMED


def standing(names: Collection[str], otherwise: Approve = nobody) -> Approve:
    """Approves these names (`book_flight`, `tool:book_flight`), once for each act; asks `otherwise` about everything else and about repetitions."""

    def answer(question: Question) -> Reply | bool:
        named = question.name in names or f"{question.kind}:{question.name}" in names
        if not named:
            return otherwise(question)
        if question.done_live:
            reply = reply_of(otherwise(question))
            return replace(reply, says=f"the standing approval of {question.name} does not cover a repetition; {reply.says}") if reply.by == NOBODY else reply
        return Reply(True, f"approved by name: {question.name}")

    return answer


def reply_of(answer: Reply | bool) -> Reply:
    """A plain yes or no as a reply."""
    return answer if isinstance(answer, Reply) else Reply(bool(answer), "approve=")


@dataclass
class Desk:
    """Questions that wait for a person while the fork runs in a thread: a widget shows `waiting` and calls `answer`.

    `changed` is called, from the fork's thread, whenever `waiting` is another. A question that nobody answers in `seconds` is refused.
    """

    seconds: float = 600.0
    changed: Callable[[], None] = lambda: None
    _open: dict[int, tuple[Question, threading.Event]] = field(default_factory=dict)
    _replies: dict[int, Reply] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: str = ""

    def __call__(self, question: Question) -> Reply:
        """Put a question on the desk and wait."""
        answered = threading.Event()
        with self._lock:
            if self._closed:
                return Reply(False, self._closed, "the re-run was stopped")
            number = next(self._numbers)
            self._open[number] = question, answered
        self.changed()
        answered.wait(self.seconds)
        with self._lock:
            self._open.pop(number, None)
            reply = self._replies.pop(number, Reply(False, NOBODY, f"nobody answered within {self.seconds:g} s"))
        self.changed()
        return reply

    @property
    def waiting(self) -> Sequence[tuple[int, Question]]:
        """The open questions, oldest first, each with the number to answer it by."""
        with self._lock:
            return [(number, question) for number, (question, _) in sorted(self._open.items())]

    def open(self) -> None:
        """Take questions again, after a `close`."""
        with self._lock:
            self._closed = ""

    def close(self, by: str) -> None:
        """Refuse what waits and whatever is asked from now on: the re-run is being stopped."""
        with self._lock:
            self._closed = by
            waiting = list(self._open)
        for number in waiting:
            with suppress(LookupError):  # answered, or too late, in this very moment
                self.answer(number, False, by, "the re-run was stopped")

    def answer(self, number: int, approved: bool, by: str, says: str = "") -> None:
        """Answer a question. LookupError when it is not open any more."""
        with self._lock:
            if number not in self._open:
                raise LookupError(f"question {number} is not open: {', '.join(map(str, sorted(self._open))) or 'none'} is")
            self._replies[number] = Reply(approved, by, says)
            self._open[number][1].set()
