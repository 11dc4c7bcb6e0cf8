"""What goes live in a fork: only what is named and approved, once, outside the sandbox, written down before and after."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.replay_recording import Recording, record
from workbench.frames import ledger_frame
from workbench.model import Budget, Change, LedgerEntry
from workbench.replay import Forked, ForkError
from workbench.replay.budget import Meter
from workbench.replay.channel import ChannelError
from workbench.replay.effects.approvals import Desk, Question, Reply, reply_of, standing
from workbench.replay.effects.broker import Outside, Terms
from workbench.replay.effects.ledger import Pages
from workbench.report.receipts import receipt_section
from workbench.report.static import receipt_text
from workbench.widgets import ReceiptView

PAY = [["pay", {"amount": 5}]]
LIVE = ("tool:pay",)


@pytest.fixture
def paid(tmp_path: Path, ledger: Path) -> Recording:
    """A recorded run that paid once."""
    recording = record(tmp_path, "graph", PAY)
    assert ledger.read_text() == "pay 5 \n"
    ledger.write_text("")
    return recording


def live(recording: Recording, name: str = "fork", **options: Any) -> Forked:
    """Fork at the payment, with `pay` named as live."""
    terms = Terms(**({"approve": standing(["pay"])} | options))
    return recording.fork(recording.step("pay"), live=LIVE, run_id=name, scratch=recording.database.with_name(f"{name}.sqlite"), terms=terms)


def events(pages: Pages) -> list[tuple[str, str]]:
    return [(one.event, one.answered) for one in pages.lines]


def test_live_tool(paid: Recording, ledger: Path) -> None:
    """A tool that is named and approved is called once for real, by a process with a network, with a key that says which act it is."""
    pages, asked = Pages(), list[Question]()

    def approve(question: Question) -> Reply:
        asked.append(question)
        return Reply(True, "Ada")

    forked = live(paid, approve=approve, ledger=pages)
    begun, done = pages.lines
    assert ledger.read_text() == f"pay 5 {begun.idempotency_key}\n"
    assert (forked.receipt.calls.live, forked.receipt.calls.halted, forked.run.outcome) == (1, 0, '{"paid": 5}')
    assert forked.receipt.isolation.startswith(("sandboxed", "guarded"))
    assert (begun.event, done.event, done.approved_by, done.result["content"], done.cause) == ("begun", "done", "Ada", {"paid": 5}, "first")
    (question,) = asked
    assert (question.name, question.effect, question.guessed, question.passes_key, question.arguments) == ("pay", "effect", True, True, {"amount": 5})
    assert question.already == ("The recorded run did the same at step 2 (done)",)


def test_a_standing_approval_tells_what_was_known(paid: Recording, ledger: Path) -> None:
    """Where nobody reads the question, the receipt and the ledger repeat that the recorded run did the same act, beside the words of who approved."""
    pages = Pages()
    receipt = live(paid, ledger=pages).receipt
    (line,) = receipt.went_live
    assert (line.approved_by, line.says, line.already) == ("approved by name: pay", "", ("The recorded run did the same at step 2 (done)",))
    assert [one.already for one in pages.lines] == [line.already] * 2
    assert ledger_frame([line])["already"].to_list() == list(line.already)
    assert f"done, approved by name: pay. {line.already[0]}" in receipt_text(receipt)
    assert all(line.already[0] in str(shown) for shown in (receipt_section(receipt), ReceiptView(receipt)._receipt["went_live"]))


def test_not_twice(paid: Recording, ledger: Path) -> None:
    """Another fork of the run is refused the act that the ledger has already, whoever approves, and is told what to do instead."""
    pages = Pages()
    live(paid, ledger=pages)
    before = ledger.read_text()
    again = live(paid, "again", approve=lambda _: True, ledger=pages)
    assert ledger.read_text() == before
    assert (again.receipt.calls.live, again.receipt.calls.halted) == (0, 1)
    assert "the ledger has its idempotency key" in again.receipt.outcome
    assert "from fork; it was done: fork with its result instead" in next(one.says for one in again.receipt.records if one.answer == "halted")


@pytest.mark.parametrize(("approve", "says"), [({}, "nobody to ask: give approve="), ({"approve": lambda _: False}, "not approved by approve=")])
def test_not_approved(approve: dict[str, Any], says: str, paid: Recording, ledger: Path) -> None:
    """Without a yes nothing goes live: the fork halts, and the ledger has the refusal, after which another fork may ask again."""
    pages = Pages()
    forked = paid.fork(paid.step("pay"), live=LIVE, terms=Terms(ledger=pages, **approve))
    assert says in next(one.says for one in forked.receipt.records if one.answer == "halted")
    assert ledger.read_text() == ""
    assert events(pages)[0] == ("refused", "refused")
    assert [(one.idempotency_key, one.cause) for one in pages.lines] == [(pages.lines[0].idempotency_key, "first")] * len(pages.lines)
    assert live(paid, "again", ledger=pages).receipt.calls.live == 1


@pytest.mark.parametrize("why", ["no such tool", "no budget", "no process"])
def test_what_can_not_be_made_is_not_begun(why: str, paid: Recording, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An approved call whose tool can't be told, that there is no budget for, or no process to make it, is refused before the ledger has it begun."""
    pages, called = Pages(), Outside.call

    def call(outside: Outside, question: dict[str, Any]) -> Any:
        if why == "no process":
            raise ChannelError("the process for live calls died")
        return called(outside, question | ({"name": "pay_twice"} if why == "no such tool" else {}))

    with monkeypatch.context() as patch:
        patch.setattr(Outside, "call", call)
        receipt = live(paid, ledger=pages, budget=Budget(steps=0 if why == "no budget" else None)).receipt
    assert ledger.read_text() == ""
    assert (receipt.went_live, receipt.calls.live, receipt.clean) == ((), 0, False)
    assert (receipt.attempts["attempted"], receipt.attempts["halted"] + receipt.attempts["refused"]) == (0, 1)
    assert "begun" not in {one.event for one in pages.lines}
    assert live(paid, "again", ledger=pages).receipt.calls.live == 1


def test_served_attempts(paid: Recording, ledger: Path) -> None:
    """What is served or edited is in the ledger too, under the same key in every fork of the run."""
    pages = Pages()
    paid.fork(paid.step("pay"), terms=Terms(ledger=pages))
    paid.fork(1, scratch=paid.database.with_name("b.sqlite"), terms=Terms(ledger=pages))
    assert events(pages) == [("attempted", "served")] * 2
    assert len({one.idempotency_key for one in pages.lines}) == 1
    assert pages.lines[0].idempotency_key.startswith("wb-")


def test_unknown_outcome(paid: Recording, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live effect that times out is not tried again, and its outcome is written down as unknown."""
    monkeypatch.setenv("FAILURES", "timeout")
    pages = Pages()
    forked = live(paid, ledger=pages)
    assert [one.event for one in pages.lines] == ["begun", "unknown"]
    assert len(ledger.read_text().splitlines()) == 1
    assert next(one for one in forked.run.steps if one.name == "pay").error == "TimeoutError: the bank"


@pytest.mark.parametrize(("failures", "tries", "event"), [("timeout", 2, "done"), ("refused", 1, "failed")])
def test_retry(failures: str, tries: int, event: str, paid: Recording, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is declared idempotent is tried again with the same key where that may help, and never where it can't."""
    monkeypatch.setenv("FAILURES", failures)
    pages = Pages()
    live(paid, ledger=pages, declared={"pay": "idempotent"})
    lines = ledger.read_text().splitlines()
    assert (len(lines), len(set(lines)), pages.lines[-1].event) == (tries, 1, event), pages.lines


# ---- models


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A model's server: it gives the next of these lines to whoever connects."""
    lines = ["first", "second"]
    listening = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("REMOTE", str(listening.getsockname()[1]))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.sendall(f"{lines.pop(0)}\n".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    yield lines
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def test_live_model(tmp_path: Path, ledger: Path, request: pytest.FixtureRequest) -> None:
    """A model that needs a network thinks outside the sandbox, with the settings that were changed; it is asked about once."""
    recording = record(tmp_path, "remote", [])
    request.getfixturevalue("server")
    asked: list[Question] = []
    pages = Pages()
    terms = Terms(approve=lambda question: asked.append(question) is None, ledger=pages)
    change = Change(kind="model", value={"temperature": 0.0})
    forked = recording.fork(next(recording.run.of_kind("model")).index, change, live=("model:remote-1",), terms=terms)
    assert [step.output.content for step in forked.run.of_kind("model") if step.output] == ["first at 0.0", "second at 0.0"]
    assert [question.kind for question in asked] == ["model"]
    assert [(one.event, one.kind) for one in pages.lines] == [("begun", "model"), ("done", "model")] * 2
    assert (forked.receipt.calls.live, forked.receipt.calls.blocked) == (2, 0)


NEVER = "the model that was to think anew never answered: "


@pytest.mark.parametrize(
    ("remote", "terms", "live_calls", "failing"),
    [
        ("0", {}, 0, {"nothing halted"}),
        ("no port", {"approve": lambda _: True}, 1, {"model answered", "same end"}),
        ("0", {"approve": lambda _: True, "budget": Budget(model_calls=1)}, 1, {"nothing halted", "within budget", "model answered"}),
    ],
)
def test_model_that_never_answers(
    remote: str, terms: dict[str, Any], live_calls: int, failing: set[str], tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that fails whenever it is asked makes a receipt that is not clean; one that was refused was not asked, and counts as no live call."""
    recording = record(tmp_path, "remote", [])
    monkeypatch.setenv("REMOTE", remote)
    forked = recording.fork(next(recording.run.of_kind("model")).index, live=("model:remote-1",), terms=Terms(**terms)).receipt
    assert {one.name for one in forked.checks if one.verdict == "fail"} == failing
    assert (forked.calls.live, forked.spent and forked.spent.model_calls) == (live_calls, live_calls)
    assert [one.says.startswith(NEVER) for one in forked.checks if one.name == "model answered"] == ["model answered" in failing]


def test_network_stays_shut(tmp_path: Path, ledger: Path, request: pytest.FixtureRequest) -> None:
    """A live model in the sandbox gets no network, whatever is named, and the receipt says how it would be asked outside of it."""
    recording = record(tmp_path, "remote", [])
    lines = request.getfixturevalue("server")
    forked = recording.fork(next(recording.run.of_kind("model")).index, live=("model",))
    assert (forked.receipt.calls.blocked, len(lines)) == (1, 2)
    assert "(--live model:remote-1 --approve remote-1)" in next(one.says for one in forked.receipt.checks if one.name == "model answered")


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        (Budget(model_calls=1), "over budget: 1 of 1 model calls are spent"),
        (Budget(tokens=12), "over budget: 15 of 12 tokens are spent"),
        (Budget(steps=1), "over budget: 1 of 1 steps are spent"),
        (Budget(usd=1.0), "a budget of 1 US$ can't be kept: remote-1 has no list price; limit model_calls or tokens instead"),
        (Budget(seconds=0.0), "of 0 seconds are spent"),
    ],
)
def test_budget(budget: Budget, says: str, tmp_path: Path, ledger: Path) -> None:
    """A fork ends where its budget does, and says what is spent."""
    recording = record(tmp_path, "remote", [])
    forked = recording.fork(next(recording.run.of_kind("model")).index, live=("model",), terms=Terms(budget=budget))
    assert says in forked.receipt.outcome
    assert forked.receipt.calls.halted == 1


def test_shared_budget(tmp_path: Path, ledger: Path) -> None:
    """Forks that share a meter spend from one budget."""
    recording = record(tmp_path, "remote", [])
    meter = Meter(Budget(model_calls=3))
    at = next(recording.run.of_kind("model")).index
    halted = [recording.fork(at, live=("model",), scratch=tmp_path / f"{n}.sqlite", terms=Terms(budget=meter)).receipt.calls.halted for n in range(2)]
    assert halted == [0, 1]
    assert (meter.now().model_calls, meter.now().tokens.total) == (3, 45)


def test_breaker(tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that keeps failing when it is called for real is called no more: the breaker opens, and the receipt says so."""
    recording = record(tmp_path, "graph", [["pay", {"amount": amount}] for amount in (5, 6, 7)])
    ledger.write_text("")
    monkeypatch.setenv("FAILURES", "refused refused refused")
    forked = live(recording, budget=Budget(failures=2))
    assert len(ledger.read_text().splitlines()) == 2
    assert "the breaker is open: pay failed 2 times in a row" in forked.receipt.outcome
    assert {check.name for check in forked.receipt.checks if check.verdict == "fail"} >= {"nothing halted", "within budget"}


def test_http_does_not_go_live(paid: Recording) -> None:
    """A plain HTTP call can't go live, and what can is told."""
    with pytest.raises(ForkError, match="'http:get' can't go live: it should be model, model:NAME or tool:NAME"):
        paid.fork(1, live=("http:get",))


def test_name(paid: Recording) -> None:
    """What goes live is named with its kind."""
    with pytest.raises(ForkError, match="'modle' can't go live: it should be model, model:NAME or tool:NAME; did you mean model"):
        paid.fork(1, live=("modle",))
    with pytest.raises(ForkError, match="'pay' can't go live: it should be model, model:NAME or tool:NAME; did you mean tool:pay"):
        paid.fork(1, live=("pay",))


# ---- who approves


def question(**fields: Any) -> Question:
    return Question(run_id="fork", kind="tool", name="pay", effect="effect", guessed=False, **fields)


def test_standing_approval() -> None:
    """A standing approval covers each new act of that name, and none that was done live before, which a refusal then says."""
    approve = standing(["tool:pay"])
    assert Reply(True, "approved by name: pay") == approve(question())
    repeated = reply_of(approve(question(done_live=True)))
    assert (repeated.approved, repeated.says.partition(";")[0]) == (False, "the standing approval of pay does not cover a repetition")
    assert reply_of(standing(["tool:pay"], lambda _: True)(question(done_live=True))).approved


def test_desk() -> None:
    """A widget answers what waits on a desk, while the fork waits in a thread; what nobody answers is refused."""
    waiting = threading.Event()
    desk, replies = Desk(changed=waiting.set), list[Reply]()
    thread = threading.Thread(target=lambda: replies.append(desk(question())))
    thread.start()
    waiting.wait()
    ((number, asked),) = desk.waiting
    desk.answer(number, True, "Ada")
    thread.join()
    assert (asked.name, replies, list(desk.waiting)) == ("pay", [Reply(True, "Ada")], [])
    with pytest.raises(LookupError, match="is not open"):
        desk.answer(number, True, "Ada")
    assert Desk(seconds=0)(question()).approved is False


def test_ledger_refuses_the_second_beginning() -> None:
    """A key is begun once."""
    fields: dict[str, Any] = {"kind": "tool", "name": "pay", "key": "pay()", "effect": "effect", "guessed": True, "idempotency_key": "k", "at_ns": 1}
    line = LedgerEntry(run_id="a", parent_run_id="p", root_run_id="p", event="begun", **fields)
    pages = Pages()
    assert [pages.append_entry(line), pages.append_entry(line.model_copy(update={"run_id": "b"}))] == [True, False]
    assert pages.append_entry(line.model_copy(update={"event": "done"}))
