"""The line between a re-run's process and the one that started it: JSON lines over its standard input and output, so that it passes any isolation.

The process tells what it does as it does it, so that nothing is lost if it is killed, and asks for what it can't do itself. What the agent prints
goes to standard error instead.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from workbench.model import Json

ASK = "ask"
"""The key of a line that wants a reply."""
Hear = Callable[[dict[str, Json]], Json]
"""Takes what was told or asked, and returns the reply to a question."""


class ChannelError(RuntimeError):
    """The other side is gone, or what it said makes no sense."""


@dataclass
class Line:
    """One end of the channel. Threads may use it at once: a question and its reply are not interleaved with another."""

    reading: IO[str]
    writing: IO[str]
    gone: Callable[[], None] = lambda: None
    """Called when nobody listens any more."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def tell(self, what: dict[str, Json]) -> None:
        """Say something that wants no reply."""
        with self._lock:
            try:
                self.writing.write(json.dumps(what) + "\n")
                self.writing.flush()
            except BrokenPipeError:
                self.gone()

    def ask(self, question: Json) -> Json:
        """Ask for something and wait for the reply. ChannelError when there is none."""
        with self._lock:
            self.tell({ASK: question})
            reply = self.reading.readline()
        if not reply:
            raise ChannelError("the process that started the re-run is gone, so nobody answers")
        return json.loads(reply)


def take_over() -> Line:
    """Make this process's standard input and output the channel, for us alone: what is printed from now on goes to standard error."""
    reading, writing = os.dup(0), os.dup(1)
    with open(os.devnull) as nothing:  # noqa: PTH123  # only its descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return Line(os.fdopen(reading, encoding="utf-8"), os.fdopen(writing, "w", encoding="utf-8"))


def listen(line: Line, hear: Hear) -> None:
    """Hear what the other end says until it is gone, and reply where it asks. ChannelError when it speaks no JSON objects."""
    for text in line.reading:
        try:
            said = json.loads(text)
        except ValueError as error:
            raise ChannelError(f"the re-run's process said something that is no JSON: {text[:200]!r}") from error
        if not isinstance(said, dict):
            raise ChannelError(f"the re-run's process said something that is no JSON object: {text[:200]!r}")
        reply = hear(said)
        if ASK in said:
            line.tell(reply if isinstance(reply, dict) else {"reply": reply})
