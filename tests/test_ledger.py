"""The ledger of side effects: lines are added and stay, a key is begun once, the key of an act is the same in every fork, a repetition has its cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import workbench
from workbench.database import Location
from workbench.model import CallRecord, LedgerEntry
from workbench.replay.effects.ledger import Causes, Pages, Scribe, class_of, idempotency_key, is_effect
from workbench.sketch import model, sketch, tool, user
from workbench.store import Store

PARENT = sketch(user("pay"), tool("pay", {"amount": 5}, "paid"), model("done"))


def line(event: str = "attempted", **fields: Any) -> LedgerEntry:
    known = {"run_id": "fork", "parent_run_id": "p", "root_run_id": "p", "kind": "tool", "name": "pay", "key": "pay(amount=5)", "effect": "effect"}
    return LedgerEntry(**(known | {"guessed": True, "idempotency_key": "k", "at_ns": 1, "event": event} | fields))


def test_lines_stay(where: Location) -> None:
    """Lines come back in the order they were added, whole, by fork, act and key; beginning a key again adds nothing."""
    with Store.open(where) as store:
        lines = [line(arguments={"amount": 5}), line("begun"), line("done", result={"paid": 5}), line(run_id="other", key="pay(amount=6)", idempotency_key="")]
        assert all(store.append_entry(one) for one in [*lines, lines[0]])
        assert not store.append_entry(line("begun", run_id="other"))
        assert store.append_entry(line("begun", run_id="other", idempotency_key=""))
        assert store.append_entry(line("begun", run_id="other", idempotency_key=""))
        assert store.entries(run_id="fork") == [*lines[:3], lines[0]]
        assert [one.event for one in store.entries(idempotency_key="k")] == ["attempted", "begun", "done", "attempted"]
        assert store.entries(key="pay(amount=6)") == [lines[3]]
        assert store.verify() == []


def test_deleted(tmp_path: Path) -> None:
    """With a fork what the ledger says of it goes, to the last byte; that a key was used stays, so that no act is done live twice."""
    bench = workbench.open(tmp_path / "a.db")
    bench.store.save_runs([PARENT.model_copy(update={"run_id": "fork"})])
    for one in (line(arguments={"amount": 5}), line("begun", arguments={"to": "MARKER-TO-GO"}, key="pay(MARKER-TO-GO)"), line("done")):
        bench.store.append_entry(one)
    assert bench.ledger()["event"].to_list() == ["attempted", "begun", "done"]
    bench.delete("fork")
    assert bench.ledger().is_empty()
    assert not bench.store.append_entry(line("begun", run_id="other"))
    assert bench.verify() == []
    bench.close()
    assert b"MARKER-TO-GO" not in (tmp_path / "a.db").read_bytes()


def test_key() -> None:
    """A key comes from the recorded run, the place and what is asked; what only names an attempt, such as a time, is no part of it."""
    key = idempotency_key("run", "[4,null]", 0, "pay", {"amount": 5})
    assert key == idempotency_key("run", "[4,null]", 0, "pay", {"amount": 5, "timestamp": "2026-01-01"})
    others = [("other", "[4,null]", 0, 5), ("run", "[5,null]", 0, 5), ("run", "[4,null]", 1, 5), ("run", "[4,null]", 0, 6)]
    assert len({key, *(idempotency_key(run, place, nth, "pay", {"amount": amount}) for run, place, nth, amount in others)}) == 5


@pytest.mark.parametrize(
    ("tool_name", "declared", "expected", "counts"),
    [
        ("get_price", None, ("read-only", True), False),
        ("get_price", "effect", ("effect", False), True),
        ("pay", "read-only", ("read-only", False), False),
        ("pay", "idempotent", ("idempotent", False), True),
        ("frobnicate", None, ("unknown", True), True),
    ],
)
def test_classes(tool_name: str, declared: Any, expected: tuple[str, bool], counts: bool) -> None:
    """What is declared is believed; what is guessed is marked as a guess, and what nobody knows counts as an effect."""
    assert class_of(tool_name, declared) == expected
    assert is_effect(tool_name, declared) is counts


def test_causes() -> None:
    """A repetition is a resume after a restart, the model's when it thought in between, else a retry; what the parent did before the cut counts."""
    causes = Causes.after(PARENT, again=())
    causes.began()
    assert causes.of("pay(amount=5)") == "model"
    assert [causes.of("book()"), causes.of("book()")] == ["first", "retry"]
    causes.heard(CallRecord(kind="model", name="m", answer="served"))
    assert causes.of("book()") == "model"
    causes.began()
    assert causes.of("book()") == "resume"
    killed = Causes.after(PARENT, again=())
    killed.resumed([line(key="book()")])
    killed.began()
    assert killed.of("book()") == "resume"


def test_scribe() -> None:
    """A guess that a tool only reads keeps it out of the attempts, but not from carrying a key when it is live."""
    pages = Pages()
    scribe = Scribe(pages, "fork", "p", "p", clock=lambda: 7)
    for name in ("get_price", "pay"):
        scribe.told(CallRecord(kind="tool", name=name, answer="served", arguments={"id": 1}), "[1]", 0)
    scribe.flush()
    assert [(one.name, one.event, one.answered, one.at_ns) for one in pages.lines] == [("pay", "attempted", "served", 7)]
    scribe.told(CallRecord(kind="tool", name="pay", answer="served", arguments={"id": 1}), "[1]", 0, "read-only")
    scribe.flush()
    assert len(pages.lines) == 1
    assert scribe.entry("tool", "get_price", {}, "[1]", 0).idempotency_key.startswith("wb-")
    assert scribe.entry("tool", "get_price", {}, "[1]", 0, "read-only").idempotency_key == ""


def test_written_together(where: Location) -> None:
    """What touched nothing is written down together: when there is much of it, when it has waited for a second, and at the end; in its order."""
    now = [0]
    with Store.open(where) as store:
        scribe = Scribe(store, "fork", "p", "p", clock=lambda: now[0])

        def pay(number: int) -> int:
            scribe.told(CallRecord(kind="tool", name="pay", answer="served", arguments={"id": number}), "[1]", 0)
            return len(store.entries())

        assert [pay(number) for number in range(64)] == [0] * 63 + [64]
        assert pay(64) == 64
        now[0] = 1_100_000_000
        assert pay(65) == 66
        assert pay(66) == 66
        scribe.flush()
        assert [one.arguments["id"] for one in store.entries(run_id="fork")] == list(range(67))


@pytest.mark.parametrize("written", range(4))
def test_completed_after_a_kill(written: int) -> None:
    """Of what was told before a kill the ledger gets what it lacks, with its cause; what is done anew after that is attempted again."""
    pages, told = Pages(), [CallRecord(kind="tool", name="pay", answer="served", arguments={"id": number}) for number in (1, 2, 1)]

    def tell(scribe: Scribe) -> None:
        scribe.causes.began()
        for nth, one in enumerate(told):
            scribe.told(one, "[1]", nth)

    killed = Scribe(pages, "fork", "p", "p", causes=Causes.after(PARENT, again=()))
    tell(killed)
    killed.ledger.append_entries(killed._waiting[:written])
    resumed = Scribe(pages, "fork", "p", "p", causes=Causes.after(PARENT, again=()))
    with resumed.taken_up():
        tell(resumed)
    tell(resumed)
    resumed.flush()
    causes = ("first", "first", "retry", "resume", "resume", "retry")
    assert [(one.key, one.cause) for one in pages.lines] == [(f"pay(id={number})", cause) for number, cause in zip((1, 2, 1) * 2, causes, strict=True)]
