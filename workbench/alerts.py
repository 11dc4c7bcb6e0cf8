"""Watches a live store and tells someone what the detectors find, each finding once.

What was found is noted as an alert before anyone is told, and as sent once the webhook has taken it. A process that is killed between the two
tells it again when it comes back; the `Idempotency-Key` header, the same both times, lets the other side see that it is one alert. A webhook
that can't be reached keeps its alerts waiting: they go out with a later round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from workbench import collection, detection, summary
from workbench.model import Finding, Severity
from workbench.store import Store

TIMEOUT_S = 10.0


class WebhookError(ValueError):
    """A webhook that can't be used, or did not take an alert. The message says why."""


@dataclass(frozen=True)
class Round:
    """What came of looking once: the runs examined, who was told what (`sent`), what could not be told and why, and which detectors failed."""

    examined: tuple[str, ...]
    sent: tuple[Finding, ...]
    waiting: tuple[Finding, ...]
    problem: str | None
    failures: tuple[str, ...]


def watch(store: Store, send: Callable[[Finding], None], *, least: Severity = "warning", wait: Callable[[], bool]) -> Iterator[Round]:
    """Look at new and changed runs, `send` each finding of severity `least` or graver that nobody was told of, and again until `wait()` is true.

    `send` raises WebhookError where a finding could not be told; the rest of that round waits with it.
    """
    while True:
        yield _round(store, send, least)
        if wait():
            return


def webhook(url: str) -> Callable[[Finding], None]:
    """What posts a finding as JSON, as `detect --json` prints it. WebhookError for what is no http or https URL, and when the answer is not 2xx."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise WebhookError(f"{url!r} is no URL: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise WebhookError(f"{url!r} is no webhook: it should begin with https:// or http:// and name a host")
    shown = str(parsed.copy_with(userinfo=b"", query=None))

    def send(finding: Finding) -> None:
        try:
            answer = httpx.post(parsed, json=summary.of_finding(finding), headers={"Idempotency-Key": finding.key}, timeout=TIMEOUT_S)
        except httpx.HTTPError as error:
            raise WebhookError(f"{shown} can't be reached: {type(error).__name__}: {error}") from error
        if not answer.is_success:
            raise WebhookError(f"{shown} answered {answer.status_code} {answer.reason_phrase}")

    return send


def _round(store: Store, send: Callable[[Finding], None], least: Severity) -> Round:
    collection.catch_up(store)
    done = detection.detect(store)
    grave = [one for findings in store.findings().values() for one in findings if detection.ORDER[one.severity] <= detection.ORDER[least]]
    unsent = store.raise_alerts(detection.ranked(grave), time.time_ns())
    sent: list[Finding] = []
    problem = None
    for finding in unsent:
        try:
            send(finding)
        except WebhookError as error:
            problem = str(error)
            break
        store.settle_alert(finding.key, time.time_ns())
        sent.append(finding)
    return Round(tuple(done.examined), tuple(sent), tuple(unsent[len(sent) :]), problem, tuple(done.failures))
