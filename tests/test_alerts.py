"""Watching a live store: each finding is told once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from workbench import cli
from workbench.alerts import Round, WebhookError, watch, webhook
from workbench.model import Finding, Review, Run
from workbench.sketch import model, sketch, tool, user
from workbench.store import Store

BOOK = {"flight": "NH 11"}
ASK = model(calls=(("book_flight", BOOK),))


def doubled(run_id: str) -> Run:
    """A run that books again after a time-out."""
    timed_out = tool("book_flight", BOOK, error="payment API timed out")
    return sketch(user("Book NH 11"), ASK, timed_out, ASK, tool("book_flight", BOOK, {"booking": "B-1"}), run_id=run_id)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.db") as opened:
        yield opened


class Hook:
    """A webhook on this machine; `status` is what it answers."""

    def __init__(self) -> None:
        self.status, self.got = 200, list[tuple[str, dict[str, object]]]()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((self.headers["Idempotency-Key"], json.loads(body)))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=secret"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()
    yield found
    found.server.shutdown()
    found.server.server_close()


def once(store: Store, hook: Hook) -> Round:
    """What came of looking once."""
    return next(watch(store, webhook(hook.url), least="error", wait=lambda: True))


def test_each_alert_is_sent_once(store: Store, hook: Hook):
    """A finding is posted with its key, and not again when nothing is new; a new run's finding is."""
    store.save_runs([doubled("one")])
    first = once(store, hook)
    assert [(finding.run_id, finding.detector) for finding in first.sent] == [("one", "duplicated-effect")]
    assert once(store, hook).sent == ()
    store.save_runs([doubled("two")])
    assert [finding.run_id for finding in once(store, hook).sent] == ["two"]
    assert [(key, body["run_id"]) for key, body in hook.got] == [(first.sent[0].key, "one"), (hook.got[1][0], "two")]
    assert store.alerts_sent() == 2


def test_a_run_that_goes_on_is_no_new_alert(store: Store, hook: Hook):
    """The same finding with other numbers, because its run went on, is not told again."""
    run = doubled("one")
    store.save_runs([run])
    once(store, hook)
    more = sketch(*run.steps, ASK, tool("book_flight", BOOK, {"booking": "B-2"}), run_id="one")
    store.save_runs([more])
    later = once(store, hook)
    assert (later.examined, later.sent) == (("one",), ())


def test_a_webhook_that_fails_keeps_its_alerts_waiting(store: Store, hook: Hook):
    """What was not taken is told, kept, and sent with the same key in a later round."""
    store.save_runs([doubled("one")])
    hook.status = 503
    failed = once(store, hook)
    assert (failed.sent, [finding.run_id for finding in failed.waiting]) == ((), ["one"])
    assert failed.problem.endswith("/hook answered 503 Service Unavailable")
    assert "secret" not in failed.problem
    hook.status = 204
    assert [finding.run_id for finding in once(store, hook).sent] == ["one"]
    assert hook.got[0][0] == hook.got[1][0]


def test_an_alert_that_was_raised_and_not_sent_is_sent_by_the_next_process(store: Store, hook: Hook):
    """A process that was killed before it could tell anyone leaves its alert to the next."""
    store.save_runs([doubled("one")])

    def killed(_: Finding) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(watch(store, killed, least="error", wait=lambda: True))
    assert store.alerts_sent() == 0
    assert [finding.run_id for finding in once(store, hook).sent] == ["one"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "hook.example", "https://", "http://[::1"])
def test_what_is_no_webhook_is_refused(url: str):
    """Only http and https URLs with a host are posted to."""
    with pytest.raises(WebhookError, match="is no"):
        webhook(url)


def test_a_webhook_nobody_listens_to_is_told(store: Store):
    """A refused connection is a problem that is shown, not an exception."""
    store.save_runs([doubled("one")])
    (found,) = watch(store, webhook("http://127.0.0.1:9/"), wait=lambda: True)
    assert "can't be reached: ConnectError" in found.problem


def test_the_command_line_watches_and_its_status_tells(store: Store, hook: Hook, capsys: pytest.CaptureFixture[str]):
    """`detect --watch --once` posts and prints what is new; `--fail-on` makes findings of that severity exit with status 3."""
    store.save_runs([doubled("one")])
    options = ["detect", "--store", str(store.path), "--watch", "--once", "--webhook", hook.url, "--json"]
    with pytest.raises(SystemExit) as left:
        cli.app([*options, "--fail-on", "error"])
    assert left.value.code == 3
    assert [json.loads(line)["run_id"] for line in capsys.readouterr().out.splitlines()] == ["one", "one"][: len(hook.got)]
    with pytest.raises(SystemExit) as left:
        cli.app([*options, "--fail-on", "error"])
    assert left.value.code == 0  # nothing new
    with pytest.raises(SystemExit) as left:
        cli.app(["detect", "--store", str(store.path), "--fail-on", "error"])
    assert left.value.code == 3  # but it is there


def test_reviews_are_kept_and_the_newest_counts(store: Store):
    """A dismissal that is taken back leaves both words in the store, and one that counts; a deleted run takes its reviews along."""
    store.save_runs([doubled("one")])
    (finding,) = once_found(store)
    fields = {"key": finding.key, "run_id": "one", "detector": finding.detector, "step": finding.step}
    store.save_review(Review(**fields, verdict="dismissed", note="a test booking", reviewed_ns=1))
    store.save_review(Review(**fields, verdict="confirmed", reviewed_ns=2))
    assert [(review.verdict, review.reviewed_ns) for review in store.reviews()] == [("confirmed", 2)]
    store.delete("one")
    assert (store.reviews(), store.alerts_sent()) == ([], 0)


def test_a_finding_is_reviewed_by_its_id(store: Store, capsys: pytest.CaptureFixture[str]):
    """`workbench review ID --dismiss --note --by` keeps the word and whose it is; an id that no finding has names the nearest."""
    store.save_runs([doubled("one")])
    (finding,) = once_found(store)
    cli.app(["review", finding.finding_id[:6], "--dismiss", "--note", "a test", "--by", "ana", "--store", str(store.path)], standalone_mode=False)
    assert "dismissed by ana: duplicated-effect in one" in capsys.readouterr().out
    assert [(review.verdict, review.note, review.by, review.key) for review in store.reviews()] == [("dismissed", "a test", "ana", finding.key)]
    cli.app(["show", "one", "--json", "--store", str(store.path)], standalone_mode=False)
    shown = next(one for one in json.loads(capsys.readouterr().out)["findings"] if one["finding_id"] == finding.finding_id)
    assert {**shown["review"], "reviewed_ns": 0} == {"verdict": "dismissed", "note": "a test", "by": "ana", "reviewed_ns": 0}
    with pytest.raises(LookupError, match=r"the nearest is [0-9a-f]{12}"):
        cli.app(["review", "zzz", "--confirm", "--store", str(store.path)], standalone_mode=False)


def once_found(store: Store) -> tuple[Finding, ...]:
    """What a watch finds when nothing is sent anywhere."""
    (found,) = watch(store, lambda _: None, least="error", wait=lambda: True)
    return found.sent
