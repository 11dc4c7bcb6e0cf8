"""Stopping a re-run: its process ends, nothing more happens, and what is kept says who stopped it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.replay_recording import Recording, record
from workbench.model import CallRecord, Change, Json, Tokens
from workbench.replay.effects.approvals import Desk, Question
from workbench.replay.effects.broker import Terms
from workbench.replay.effects.ledger import Pages
from workbench.replay.fence.journal import Journal, Seen
from workbench.replay.process.watch import Watch
from workbench.replay.recording.tape import Call
from workbench.replay.told import Told

SLOW = Change(kind="fault", value={"kind": "slow", "seconds": 600})


@pytest.fixture
def paid(tmp_path: Path, ledger: Path) -> Recording:
    """A recorded run that booked and paid at once."""
    recording = record(tmp_path, "graph", [["book", {"flight": "NH 1"}], ["pay", {"amount": 5}]])
    ledger.write_text("")
    return recording


def test_a_stopped_fork_ends_and_says_so(paid: Recording) -> None:
    """A re-run that is stopped in the middle of a call ends there: its run is cancelled, and its receipt is red and names who stopped it."""
    heard: list[CallRecord] = []
    watch = Watch()

    def hear(record: CallRecord) -> None:
        heard.append(record)
        watch.stop("Ada")

    watch.heard = hear
    forked = paid.fork(paid.step("pay"), SLOW, watch=watch, seconds=20)
    assert [one.name for one in heard] == ["book"]
    assert (forked.run.status, forked.run.notes, forked.receipt.outcome) == ("cancelled", ("stopped: by Ada",), "stopped: by Ada")
    failed = [(one.name, one.says) for one in forked.receipt.checks if one.verdict == "fail"]
    assert failed == [("not stopped", "it was stopped by Ada, after 1 calls")]
    assert forked.receipt.isolation_reached == forked.receipt.isolation_asked == "process"
    assert forked.receipt.calls.served == 1
    assert (forked.run.steps[-1].name, forked.run.steps[-1].notes) == ("book", ("served",))
    assert forked.run.halted
    assert not list(paid.database.with_name("forks").glob("*.unfinished"))


def test_a_stop_takes_the_question_back(paid: Recording, ledger: Path) -> None:
    """A re-run that is stopped while it asks a person calls nothing for real, and the ledger has the refusal."""
    watch, pages, asked = Watch(), Pages(), list[Question]()
    desk = Desk()
    watch.stopping = desk.close

    def changed() -> None:
        asked.extend(question for _, question in desk.waiting)
        if desk.waiting:
            watch.stop("Ada")

    desk.changed = changed
    forked = paid.fork(paid.step("pay"), live=("tool:pay",), terms=Terms(desk, pages), watch=watch)
    assert [one.name for one in asked] == ["pay"]
    assert ledger.read_text() == ""
    assert [(one.event, one.approved_by, one.says) for one in pages.lines if one.name == "pay"] == [("refused", "Ada", "the re-run was stopped")]
    assert forked.receipt.outcome == "stopped: by Ada"


def test_stopped_before_it_started(paid: Recording) -> None:
    """A stop that comes before the process is there ends it as soon as it starts."""
    watch = Watch()
    watch.stop("Ada")
    forked = paid.fork(0, watch=watch)
    assert forked.run.status == "cancelled"
    assert forked.receipt.records == ()


def test_tokens_of_what_had_ended(tmp_path: Path) -> None:
    """Of a stopped re-run, the tokens of live model calls that had ended are known from what it told, and of none other; nonsense counts as unknown."""
    told = Told(tmp_path / "told.jsonl")

    def hear(said: dict[str, Json]) -> None:
        told.hear(said)

    journal = Journal("fork", tell=hear)
    seen = Seen(Call("model", "gpt-5", "agent", []), "agent:1", "agent", None, 1)
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    journal.note(seen, "live", output={"type": "ai", "content": "hello", "usage_metadata": usage})
    journal.note(seen, "served", output={"type": "ai", "content": "hello", "usage_metadata": usage})
    journal.note(seen, "live", output={"type": "ai", "content": "hello", "usage_metadata": {"input_tokens": "many"}})
    journal.note(seen, "live", error=TimeoutError("no answer"))
    told.close()
    assert (told.meter.spent.model_calls, told.meter.spent.tokens) == (3, Tokens(input=10, output=5, total=15))
