"""What the servers have in common: who may send, how much, and what becomes of a request."""

from __future__ import annotations

import hmac
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.live.intake import Budget, Intake
from workbench.live.requests import Encoding, Request, Signal, read_request


class Service:
    """One receiver's rules and its intake, whatever the transport."""

    def __init__(self, intake: Intake, budget: Budget, token: str | None = None) -> None:
        self.intake, self.budget = intake, budget
        self._token = token
        self._numbers = itertools.count(1)
        self._answered = threading.Condition()
        self._open = 0

    def allows(self, authorization: str | None) -> bool:
        """Whether an `authorization` header carries the token, compared in constant time; always, where none is wanted.

        The scheme may be written in any case (RFC 9110, 11.1).
        """
        if self._token is None:
            return True
        scheme, _, token = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token.encode())

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Around a request up to the last byte of its answer."""
        with self._answered:
            self._open += 1
        try:
            yield
        finally:
            with self._answered:
                self._open -= 1
                self._answered.notify_all()

    def wait_answered(self, seconds: float) -> bool:
        """Wait until no answer is being made, at most so long; whether it came to that."""
        with self._answered:
            return self._answered.wait_for(lambda: not self._open, seconds)

    def take(self, body: bytes, signal: Signal, encoding: Encoding) -> Request:
        """Read a decompressed body and wait until it is durable. UnreadableError and RefusedError say why it is not."""
        place = f"{self.intake.origin.path}:request {next(self._numbers)}"
        request = read_request(body, signal, encoding, place)
        self.intake.take(request)
        return request
