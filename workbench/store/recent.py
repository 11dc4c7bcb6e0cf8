"""Spans and checkpoints that were put just now, by their addresses, so that deriving their runs need not read back what is still in memory. Bounded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from workbench.model import Value

MOST_RECORDS = 40_000
MOST_CHARACTERS = 128 * 1024 * 1024
GONE = None, 0


class Recent:
    """The newest records, up to a number of them and of characters in them. The address is the content's, so what is found is what is stored."""

    def __init__(self, most_records: int = MOST_RECORDS, most_characters: int = MOST_CHARACTERS) -> None:
        self._most_records, self._most_characters = most_records, most_characters
        self._records: OrderedDict[str, tuple[Value | None, int]] = OrderedDict()
        self._characters = 0
        self._lock = threading.Lock()  # a receiver stores in one thread and derives in another

    @property
    def is_filling(self) -> bool:
        """Whether half of the room is used: time to derive, before the oldest are forgotten."""
        return len(self._records) * 2 > self._most_records or self._characters * 2 > self._most_characters

    def keep(self, records: Iterable[tuple[str, Value, int]]) -> None:
        """Remember records by their addresses, each of so many characters; the oldest are forgotten where there is no room."""
        with self._lock:
            for address, record, size in records:
                if address not in self._records:
                    self._records[address] = record, size
                    self._characters += size
            while len(self._records) > self._most_records or self._characters > self._most_characters:
                self._characters -= self._records.popitem(last=False)[1][1]

    def take(self, addresses: Iterable[str]) -> list[Value | None]:
        """The records of these addresses, which are forgotten with that: a run is derived once. None for each that is not here any more."""
        with self._lock:
            found = [self._records.pop(address, GONE) for address in addresses]
            self._characters -= sum([size for _, size in found])
            return [record for record, _ in found]
