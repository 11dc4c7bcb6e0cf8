"""The receipt: what it tells of a fork, and that each check by which it is green can fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.replay_recording import Recording, record
from workbench.comparison.comparison import compare
from workbench.model import CallRecord, Change, Check, LedgerEntry, Receipt, Run, Spent, Step
from workbench.replay.effects.broker import Terms
from workbench.replay.protocol import Answer
from workbench.replay.receipts import CHECKS, Proof, attempts, checks, counts, divergences, stale_reads
from workbench.replay.unmet import unknown, unmet
from workbench.replay.wishes import Wish
from workbench.report import static
from workbench.report.receipts import verdict
from workbench.sketch import model, sketch, tool, user

PARENT = sketch(user("pay 5"), tool("pay", {"amount": 50}, "paid"))


def call(name: str = "pay", answer: str = "served", **fields: Any) -> CallRecord:
    return CallRecord(kind="tool", name=name, answer=answer, **fields)  # type: ignore[arg-type]  # one of the answers


def line(event: str = "done", **fields: Any) -> LedgerEntry:
    known = {"kind": "tool", "name": "pay", "key": "pay(amount=50)", "effect": "effect", "guessed": True, "idempotency_key": "k", "at_ns": 1}
    known |= {"run_id": "fork", "parent_run_id": "p", "root_run_id": "p", "answered": "live", "approved_by": "Ada", "event": event}
    return LedgerEntry(**(known | fields))


def proof(run: Run = PARENT, change: str = "none", live: tuple[str, ...] = (), lines: tuple[LedgerEntry, ...] = (), **fields: Any) -> Proof:
    """What an unchanged replay leaves, but for what is given."""
    whole = {"intact": True, "history": ("a", "a")} | {name: fields.pop(name) for name in ("intact", "history") if name in fields}
    answer = Answer(
        **(
            {"ended": "done", "records": (call(from_step=1),), "state": ("s", "s"), "asked": "process", "sandboxed": True, "applied": True, "spent": Spent()}
            | fields
        )
    )
    return Proof(PARENT, run, 0, (0, 1), Change(kind=change), live, answer, lines, {}, **whole)  # type: ignore[arg-type]  # one of the kinds


def failed(given: Proof) -> set[str]:
    return {check.name for check in checks(given) if check.verdict == "fail"}


DUMB = Step(index=2, kind="model", name="small", status="error", error="InternalServerError: down", notes=("live",))
OTHER = sketch(user("pay 5"), tool("pay", {"amount": 70}, "paid"))
FAILING = {
    "recording untouched": proof(intact=False),
    "history unchanged": proof(history=("a", "b")),
    "not stopped": proof(ended="stopped", says="by Ada", asked=None),
    "nothing halted": proof(records=(call(answer="halted"),)),
    "nothing blocked": proof(records=(call(answer="blocked"),)),
    "change met": proof(change="fault", applied=False),
    "same steps": proof(run=OTHER),
    "same state": proof(strayed=("draw",)),
    "same end": proof(ended="interrupted"),
    "state reloads": proof(state=("s", "t")),
    "served in place": proof(records=(call(from_step=1, says="moved from other"),)),
    "no stale reads": proof(
        change="tool_result", records=(call(answer="edited", arguments={"id": "BK-1"}), call("get_booking", arguments={"id": "BK-1"}, from_step=3))
    ),
    "live as approved": proof(live=("tool:pay",), records=(call(answer="live"),)),
    "every act settled": proof(live=("tool:pay",), records=(call(answer="live"),), lines=(line("begun"),)),
    "model answered": proof(change="message", live=("model",), run=OTHER.model_copy(update={"steps": (*OTHER.steps, DUMB)})),
    "isolation reached": proof(asked="process", sandboxed=False),
    "within budget": proof(records=(call(answer="halted", says="over budget: 1 of 1 steps are spent"),)),
}


def test_green() -> None:
    """An unchanged replay passes every check that applies to it."""
    assert [(check.name, check.verdict) for check in checks(proof()) if check.verdict != "pass"] == [
        ("change met", "not applicable"),
        ("live as approved", "not applicable"),
        ("model answered", "not applicable"),
        ("every act settled", "not applicable"),
    ]
    assert set(FAILING) == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_can_fail(name: str) -> None:
    """Each check fails for the fault it looks for, and for no other unless both are there."""
    found = failed(FAILING[name])
    assert name in found
    assert found <= {name, "nothing halted"}


def test_isolation_that_is_not_reached() -> None:
    """A fork that was only guarded is not green where its platform has a sandbox or more was asked for; elsewhere the check says so and does not apply."""

    def verdict(**fields: Any) -> str:
        return next(check.verdict for check in checks(proof(**fields)) if check.name == "isolation reached")

    assert verdict(sandboxed=False) == "fail"
    assert verdict(sandboxed=False, sandboxable=False) == "not applicable"
    assert verdict(sandboxed=False, sandboxable=False, asked="container") == "fail"
    assert verdict(asked="gvisor") == "pass"


def test_counts() -> None:
    """A person's answer counts as one that people had given, unless it was changed."""
    people = [CallRecord(kind="human", name="interrupt", answer="served"), CallRecord(kind="human", name="interrupt", answer="edited")]
    assert (counts(people).answered, counts(people).served) == (1, 0)


def test_clean_is_what_the_checks_say() -> None:
    """A receipt is clean when no check failed; one from before there were checks goes by what was stopped."""
    bare = {"run_id": "f", "parent_run_id": "p", "forked_at_step": 0, "change": Change(), "graph": "g", "outcome": "", "isolation": ""}
    old = Receipt(**bare, calls=counts([call(answer="halted")]))
    assert not old.clean
    assert Receipt(**bare, calls=counts([]), checks=(Check(name="a", verdict="pass"), Check(name="b", verdict="not applicable"))).clean
    assert not Receipt(**bare, calls=counts([]), checks=(Check(name="a", verdict="fail"),)).clean


def test_blocked_where_recorded_writes_stood() -> None:
    """What a node reached for in vain does not turn a receipt red where its recorded writes were served, once for each time; it is counted all the same."""
    refused = call(answer="blocked", says="writing '/notes'")
    stood = CallRecord(kind="node", name="n", answer="served", says="it reached for writing '/notes': its recorded writes were served instead")
    assert "nothing blocked" not in failed(proof(records=(stood, refused)))
    assert "nothing blocked" in failed(proof(records=(stood, refused, refused)))
    assert "nothing blocked" in failed(proof(records=(stood, call(answer="blocked", says="writing '/other'"))))
    assert counts((stood, refused)).blocked == 1


def receipt(*records: CallRecord, **fields: Any) -> Receipt:
    """The receipt of an unchanged replay that made these calls."""
    given = proof(records=records)
    known = {"run_id": "f", "parent_run_id": "p", "forked_at_step": 0, "change": Change(), "graph": "g", "outcome": "", "isolation": ""}
    return Receipt(**known | {"calls": counts(records), "checks": tuple(checks(given))} | fields)


def test_verdict_of_what_was_blocked() -> None:
    """A green receipt says that nothing was blocked only where nothing was; else how often, and that recorded writes were served instead."""
    assert "; nothing was halted or blocked, and the recording is untouched." in verdict(receipt(call(from_step=1)))
    refused = [call(answer="blocked", says=f"writing '/{number}'") for number in range(2)]
    stood = [CallRecord(kind="node", name="n", answer="served", says=f"it reached for {one.says}: its recorded writes were served instead") for one in refused]
    assert "; nothing was halted; 1 attempt was blocked, in a node whose recorded writes were served instead;" in verdict(receipt(stood[0], refused[0]))
    both = receipt(*stood, *refused)
    assert both.clean
    assert "; nothing was halted; 2 attempts were blocked, in nodes whose recorded writes were served instead; the recording is untouched." in verdict(both)


def test_notes_are_printed() -> None:
    """A printed receipt has each of its notes on a line of its own, as text and in a notebook."""
    noted = receipt(notes=("one thing", "another\nthing"))
    assert "\n  note: one thing\n  note: another thing\n" in static.receipt_text(noted)
    assert "another thing" in static.receipt_html(noted)


@pytest.mark.parametrize(("by", "says"), [("approved by name: pay", "done, approved by name: pay"), ("Ada", "done, approved by Ada")])
def test_who_approved(by: str, says: str) -> None:
    """Who approved what went live is told once, whether it was a person or a name given beforehand."""
    assert f"  went live: pay(amount=50): {says}\n" in static.receipt_text(receipt(went_live=(line(approved_by=by),)))


# ---- names that nothing has

NAMING = sketch(user("pay 5"), model("paying", model="m-1", node="think"), tool("pay", {"amount": 50}, "paid", node="act"), tools=("pay", "refund"))


def unmet_by(*records: CallRecord, parent: Run = NAMING, fork: Run = NAMING, change: Change | None = None, **asked: tuple[str, ...]) -> list[str]:
    wish = Wish(parent, parent.steps[0], change or Change(), "g", asked.pop("live", ()), "fork", 1.0, Terms(), **asked)  # type: ignore[arg-type]  # only names
    return list(unmet(wish, fork, records))


def test_names_that_nothing_has() -> None:
    """What was named and is neither in the recording nor in the fork is noted with the nearest name and all there are."""
    assert unmet_by(live=("tool:refnd",)) == [
        "live tool:refnd (--live) did nothing: neither the recording nor this re-run has a tool 'refnd'; did you mean refund? There are pay, refund"
    ]
    assert unmet_by(live=("model:x",)) == ["live model:x (--live) did nothing: neither the recording nor this re-run has a model 'x'; there are m-1, scripted"]
    (stale,) = unmet_by(stale=("nope",))
    assert stale.startswith("stale nope (--serve-stale) did nothing: neither the recording nor this re-run has a call 'nope'; there are ")
    assert unmet_by(execute=("nope",)) == [
        "execute nope (--execute) did nothing: neither the recording nor this re-run has a node 'nope'; there are act, think"
    ]


def test_names_that_something_has() -> None:
    """Nothing is noted of a tool that was only offered, of what the fork alone called or ran, of kinds of calls, nor of a model that the change brings in."""
    assert unmet_by(live=("model", "tool:pay", "tool:refund", "model:m-1"), stale=("model", "http", "pay", "refund"), execute=("*", "act")) == []
    assert unmet_by(call("brand_new", node_path="sub/inner"), live=("tool:brand_new",), stale=("brand_new",), execute=("inner", "sub")) == []
    offered = sketch(user("pay 5"), model("no", offered=("cancel",)))
    assert unmet_by(live=("tool:cancel",), parent=offered, fork=offered) == []
    assert unmet_by(live=("model:m-2",), change=Change(kind="model", value="m-2")) == []
    assert unmet_by(live=("model:m-2",), change=Change(kind="model", value={"name": "m-2"})) == []
    assert unmet_by(CallRecord(kind="model", name="renamed", answer="live"), live=("model:alias",)) == []


def test_names_that_the_program_has_to_have() -> None:
    """Of what the recording has not, the program has to have tools, nodes and calls; a model too, unless recorded ones have no names or a change gives one."""

    def asked(parent: Run = NAMING, change: Change | None = None, **named: tuple[str, ...]) -> list[str]:
        wish = Wish(parent, parent.steps[0], change or Change(), "g", named.pop("live", ()), "fork", 1.0, Terms(), **named)  # type: ignore[arg-type]  # names
        return [one.name for one in unknown(wish)]

    named: dict[str, tuple[str, ...]] = {"live": ("tool:pey", "tool:pay", "model:m-2"), "stale": ("http", "GET https://shop", "look"), "execute": ("*", "atc")}
    assert asked(**named) == ["pey", "m-2", "look", "atc"]
    assert asked(change=Change(kind="model", value="m-3"), live=("model:m-2",)) == []
    assert asked(sketch(user("go"), model("paying")), live=("model:m-2",)) == []


def test_tools_that_were_not_recorded() -> None:
    """Where the recording does not tell which tools were offered, the note says so too."""
    bare = sketch(user("pay 5"))
    (said,) = unmet_by(live=("tool:pay",), parent=bare, fork=bare)
    assert said.endswith("has a tool 'pay'; which tools were offered is not recorded")


def test_stale_reads() -> None:
    """A served read is stale after a live or edited act with which it shares a text or number, or when it reads everything."""

    def stale(*records: CallRecord) -> list[str]:
        return list(stale_reads(records, {"pay": "effect"}))

    paid = call(answer="live", arguments={"amount": 50, "note": "x"})
    assert stale(paid, call("get_payment", arguments={"amount": 50}, from_step=7)) == [
        "get_payment (recording of step 7) was read as it was before pay was live"
    ]
    assert len(stale(paid, call("list_payments", arguments={}, from_step=7))) == 1
    assert stale(paid, call("get_payment", arguments={"amount": 60}, from_step=7)) == []
    assert stale(call("get_payment", arguments={"amount": 50}, from_step=7), paid) == []
    assert stale(call(arguments={"amount": 50}, from_step=1), call("get_payment", arguments={"amount": 50}, from_step=7)) == []


def test_divergences() -> None:
    """What was served otherwise than it was recorded is listed with its step; what was served as it was is not."""
    assert list(divergences([call(from_step=1), call(from_step=2, says="repeated")])) == ["tool pay (recording of step 2): repeated"]


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    """A run that paid twice and looked."""
    ledger = tmp_path / "ledger.txt"
    ledger.touch()
    monkeypatch.setenv("LEDGER", str(ledger))
    monkeypatch.setenv("KILL", str(ledger))
    return record(tmp_path, "killed", [])


@pytest.mark.parametrize(
    ("name", "answer", "counted"),
    [
        ("pay", "served", 1),
        ("pay", "live", 1),
        ("pay", "edited", 0),
        ("pay", "halted", 0),
        ("get_price", "served", 0),
        ("frobnicate", "served", 0),
        ("frobnicate", "live", 1),
    ],
)
def test_a_receipt_counts_as_a_comparison_does(name: str, answer: str, counted: int) -> None:
    """What a receipt says was attempted is what a comparison counts: what nobody knows once it was really made, what was kept from being made never."""
    fork = sketch(tool(name, {"n": 1}, "ok", notes=(answer,)))
    assert attempts(proof(records=(call(name, answer),)))["attempted"] == counted
    assert sum(one.fork for one in compare(PARENT, fork).effects) == counted


def test_receipt_of_a_fork(recording: Recording, tmp_path: Path) -> None:
    """A receipt tells which nodes were to run and ran, the effects attempted, both hashes of the state, and what was spent."""
    receipt = recording.fork(recording.step("pay", 1)).receipt
    assert [(one.node, one.asked, one.ran) for one in receipt.nodes] == [("second_payment", 1, 1), ("look", 1, 1)]
    assert receipt.attempts == {"attempted": 1, "served": 1, "edited": 0, "live": 0, "halted": 0, "blocked": 0, "refused": 0}
    assert receipt.state_sha256 is not None
    assert receipt.state_sha256[0] == receipt.state_sha256[1]
    assert receipt.history_sha256 is not None
    assert receipt.spent is not None
    assert (receipt.version, receipt.spent.steps, receipt.clean) == (1, 2, True)
    assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt


def test_stale_read_in_a_fork(recording: Recording) -> None:
    """A fork that serves a list of payments from before the payment was changed is not green, and says so."""
    receipt = recording.fork(recording.step("pay", 1), Change(kind="tool_result", value={"paid": 0})).receipt
    assert receipt.stale_reads == ("list_payments (recording of step 3) was read as it was before pay was edited",)
    assert {check.name for check in receipt.checks if check.verdict == "fail"} == {"no stale reads"}
