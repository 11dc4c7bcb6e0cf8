"""Looks on while a fork runs: hears each call as it is answered, and can stop it, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from workbench.model import CallRecord


@dataclass
class Watch:
    """What a fork is watched by. `heard` is called from the fork's thread with each call, once it is answered.

    `stop` ends the process of the re-run at once, whatever it is at; a call that was already made for real comes to its end first, so that the ledger
    knows how it ended. The fork is kept as far as it came, with a receipt that says who stopped it. `stopping` is called then, such as to take back
    questions that wait for a person.
    """

    heard: Callable[[CallRecord], None] = lambda _: None
    stopping: Callable[[str], None] = lambda _: None
    stopped_by: str = ""
    """Who stopped it; empty while nobody has."""
    _kill: Callable[[], None] | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def stop(self, by: str) -> None:
        """End the re-run, now or as soon as its process starts. `by` says who wants that. What has ended already stays as it is."""
        with self._lock:
            self.stopped_by = self.stopped_by or by
            if self._kill:
                self._kill()
        self.stopping(by)

    @contextmanager
    def over(self, kill: Callable[[], None]) -> Iterator[None]:
        """Watch over a process while the block runs; `kill` ends it."""
        with self._lock:
            self._kill = kill
            if self.stopped_by:
                kill()
        try:
            yield
        finally:
            with self._lock:
                self._kill = None
