"""Takes requests into the store: as many as memory allows, many in one transaction, each answered only once it is durable.

Whoever brings a request waits in `Intake.take` until the transaction that holds it is committed. While one transaction is written the next
requests gather, so the disk is waited for once for all of them.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from sqlite3 import Error as SqliteError

from sqlalchemy.exc import SQLAlchemyError

from workbench import collection
from workbench.live.requests import Request
from workbench.store import Origin, Store, StoreError

logger = logging.getLogger("workbench.live")

MOST_IN_ONE_TRANSACTION = 20_000
NOT_STORED = (SQLAlchemyError, SqliteError, StoreError, OSError)
"""What writing to a store can raise that another attempt may get past: locked, full, gone."""
REST_RATIO = 5
"""The deriver rests this many times as long as it worked: a long trace that still grows must not keep the machine busy."""


def reason_of(error: BaseException) -> str:
    """Why the store can't be written to, in the database's own words: SQLAlchemy's have the statement and an address for developers in them."""
    return str(getattr(error, "orig", None) or error)


class RefusedError(RuntimeError):
    """Not taken; the same request is welcome again after `retry_seconds`."""

    def __init__(self, message: str, retry_seconds: int) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class OverloadedError(RefusedError):
    """Too many bytes are being worked on."""


class UnavailableError(RefusedError):
    """The store can't be written to, or the receiver is stopping."""


class TooLargeError(ValueError):
    """A request larger than the bound, compressed or not; sending it again would not help."""


class Budget:
    """The bytes that may be in flight at once, over all requests, and in one of them."""

    def __init__(self, total: int, each: int) -> None:
        self.total, self.each = total, each
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes in flight."""
        return self._used

    @contextmanager
    def share(self) -> Iterator[Share]:
        """One request's share, given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            with self._lock:
                self._used -= share.held

    def take(self, size: int) -> None:
        """Count bytes in. OverloadedError when they are too many."""
        with self._lock:
            if self._used + size > self.total:
                raise OverloadedError(f"{self._used:,} of {self.total:,} bytes are in flight", 1)
            self._used += size


@dataclass
class Share:
    """What one request holds of the budget."""

    budget: Budget
    held: int = 0

    def grow(self, size: int) -> None:
        """Hold more. TooLargeError past the bound of one request, OverloadedError past that of all."""
        if self.held + size > self.budget.each:
            raise TooLargeError(f"a request may have {self.budget.each:,} bytes, decompressed; this one has more")
        self.budget.take(size)
        self.held += size


@dataclass
class Waiting:
    """A request that waits for its transaction. `error` is None once it is durable."""

    request: Request
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Intake:
    """The one writer of a receiver. `start` it, `take` requests from any thread, `close` it: what was taken by then is durable."""

    def __init__(self, store: Store, origin: Origin, *, rest_seconds: float = 1.0) -> None:
        self.store, self.origin = store, origin
        self.derived_runs = 0
        self.stored: Counter[str] = Counter()
        """How many records are durable, by kind."""
        self.redacted: Counter[str] = Counter()
        """How many values in them were replaced, by kind."""
        self._rest_seconds = rest_seconds
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._stored = threading.Event()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=run, name=f"workbench-{run.__name__.strip('_')}", daemon=True) for run in (self._write, self._derive)]

    def start(self) -> None:
        """Begin to write. What an earlier process left underived is derived first."""
        self._stored.set()
        for thread in self._threads:
            thread.start()

    def take(self, request: Request) -> None:
        """Wait until the request's records are durable. UnavailableError when they are not, and then none of them is."""
        if not request.records:
            return
        waiting = Waiting(request)
        with self._changed:
            if self._closing:
                raise UnavailableError("the receiver is stopping", 5)
            self._waiting.append(waiting)
            self._changed.notify()
        waiting.done.wait()
        if waiting.error is not None:
            raise UnavailableError(f"the store can't be written to: {reason_of(waiting.error)}", 5) from waiting.error

    def close(self) -> None:
        """Refuse what comes from now on, make durable what was taken, and derive its runs."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._threads[0].join()
        self._stopping.set()
        self._stored.set()
        self._threads[1].join()

    def _write(self) -> None:
        while batch := self._next_batch():
            error: BaseException | None = None
            try:
                added = collection.add_live(self.store, self.origin, itertools.chain.from_iterable(one.request.records for one in batch))
                self.stored.update(added.records)
                self.redacted.update(added.redacted)
            except NOT_STORED as found:
                error = found
                logger.warning("%d requests could not be stored and were refused: %s", len(batch), reason_of(found))
            except Exception as found:  # whatever it is, those who wait have to be told, and the next request may well go through
                error = found
                logger.exception("%d requests could not be stored and were refused", len(batch))
            for one in batch:
                one.error = error
                one.done.set()
            self._stored.set()

    def _next_batch(self) -> list[Waiting]:
        """All requests that wait, up to a bound; empty when closing and none is left."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            batch, records = [], 0
            while self._waiting and records < MOST_IN_ONE_TRANSACTION:
                batch.append(self._waiting.popleft())
                records += len(batch[-1].request.records)
            return batch

    def _derive(self) -> None:
        while not self._stopping.is_set():
            self._stored.wait()
            self._stored.clear()
            started = time.monotonic()
            self._catch_up()
            self._stopping.wait(max(self._rest_seconds, REST_RATIO * (time.monotonic() - started)))
        self._catch_up()

    def _catch_up(self) -> None:
        try:
            self.derived_runs += len(collection.catch_up(self.store))
        except Exception:
            logger.exception("runs could not be derived; their spans are safe, and the next attempt begins with them")


def origin_of(name: str, session: str) -> Origin:
    """The origin of what comes in live: a name in place of a path, and the session in place of a hash."""
    return Origin(Path(name), sha256(session.encode()).hexdigest(), "otlp")
