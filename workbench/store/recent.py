"""Spans that were put just now, by their addresses, so that deriving their runs need not read back what is still in memory. Bounded."""

from __future__ import annotations

import threading
from collections import OrderedDict

from workbench.model import Span

MOST_SPANS = 40_000
MOST_CHARACTERS = 128 * 1024 * 1024


class Recent:
    """The newest spans, up to a number of spans and of characters in their long texts. The address is the content's, so what is found is what is stored."""

    def __init__(self, most_spans: int = MOST_SPANS, most_characters: int = MOST_CHARACTERS) -> None:
        self._most_spans, self._most_characters = most_spans, most_characters
        self._spans: OrderedDict[str, tuple[Span, int]] = OrderedDict()
        self._characters = 0
        self._lock = threading.Lock()  # a receiver stores in one thread and derives in another

    @property
    def is_filling(self) -> bool:
        """Whether half of the room is used: time to derive, before the oldest are forgotten."""
        return len(self._spans) * 2 > self._most_spans or self._characters * 2 > self._most_characters

    def keep(self, address: str, span: Span) -> None:
        """Remember a span; the oldest are forgotten where there is no room."""
        size = sum(len(value) for value in span.attributes.values() if type(value) is str)
        with self._lock:
            if address in self._spans:
                return
            self._spans[address] = span, size
            self._characters += size
            while len(self._spans) > self._most_spans or self._characters > self._most_characters:
                self._characters -= self._spans.popitem(last=False)[1][1]

    def take(self, address: str) -> Span | None:
        """A span, which is forgotten with that: a run is derived once. None for one that is not here any more."""
        with self._lock:
            found = self._spans.pop(address, None)
            if found is None:
                return None
            self._characters -= found[1]
            return found[0]
