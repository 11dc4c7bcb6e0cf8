"""Effects: which calls change the world, which are the same act, and why one was repeated."""

from __future__ import annotations

import pytest

from workbench.analysis.effects import business_key, classify, classify_request, effects_of, idempotency_key, with_declared
from workbench.sketch import approval, model, restart, sketch, tool, user


@pytest.mark.parametrize(
    ("tool_name", "expected"),
    [
        ("book_flight", "effect"),
        ("sendEmail", "effect"),
        ("get_booking", "read-only"),
        ("search_flights", "read-only"),
        ("fetchOrder", "read-only"),
        ("frobnicate", "unknown"),
    ],
)
def test_a_tools_name_is_read_by_its_first_known_verb(tool_name: str, expected: str):
    """The first verb that is known decides whether a tool acts or only looks."""
    assert classify(tool_name) == expected


@pytest.mark.parametrize(
    ("method", "url", "does"),
    [
        ("GET", "https://shop/orders", "read-only"),
        ("POST", "https://shop/orders", "effect"),
        ("PATCH", "https://shop/orders/1", "effect"),
        ("DELETE", "https://shop/orders/1", "idempotent"),
        ("POST", "https://api.example/v1/chat/completions", "read-only"),
        ("POST", "https://sms.example/2010/Accounts/1/Messages", "effect"),
    ],
)
def test_a_request_is_told_by_its_method(method: str, url: str, does: str):
    """What a method is defined to do counts; a model's answer is asked for by POST and changes nothing."""
    assert classify_request(method, url) == does


def test_the_business_key_leaves_out_what_only_names_the_attempt():
    """Two attempts of one act have one key, though their idempotency keys and times differ."""
    one = business_key("pay", {"amount": 5, "idempotency_key": "a", "timestamp": 1})
    assert one == business_key("pay", {"timestamp": 2, "amount": 5, "request_id": "b"}) == "pay(amount=5)"
    assert idempotency_key({"Idempotency-Key": "k"}) == "k"
    assert idempotency_key({"amount": 5}) is None


def test_a_repetition_knows_its_cause():
    """A retry by code, one the model asked for, and one after a restart are told apart."""
    pay = tool("pay", {"amount": 5}, error="TimeoutError: no answer")
    run = sketch(user("pay"), pay, pay, model("again"), pay, restart(pay))
    assert [effect.cause for effect in effects_of(run)] == ["first", "retry", "model", "resume"]


def test_an_outcome_is_unknown_after_a_time_out_and_prevented_by_a_fork():
    """A time-out leaves open whether the effect happened; a result put in by a fork means that it did not."""
    run = sketch(
        tool("pay", {}, error="ReadTimeout: timed out"),
        tool("pay", {}, error="ValueError: no such card"),
        tool("pay", {}, "ok"),
        tool("pay", {}, "ok", notes=("edited",)),
        tool("pay", {}, notes=("halted",)),
    )
    assert [effect.outcome for effect in effects_of(run)] == ["unknown", "failed", "done", "prevented", "prevented"]


def test_what_a_person_kept_from_being_made():
    """A call that a person refused, or answered in the tool's place, is prevented where the task that asked wrote the answer; what a span tells of was made."""
    asked = [{"name": "pay", "args": {"n": n}} for n in range(3)]
    said = [{"type": "reject"}, {"type": "respond", "message": "paid by hand"}, {"type": "approve"}]
    task = {"task_id": "t"}
    refused, responded, bare = (tool("pay", arguments, "no", **task) for arguments in ({"n": 0}, {"n": 1}, None))
    bare = bare.model_copy(update={"tool_call": bare.tool_call.model_copy(update={"arguments": None})})
    made = [tool("pay", {"n": 2}, "ok", task_id="other"), tool("pay", {"n": 0}, "ok", span_id="s", **task)]
    run = sketch(approval({"action_requests": asked}, {"decisions": said}, **task), refused, responded, bare, *made)
    assert [effect.outcome for effect in effects_of(run)] == ["prevented", "prevented", "prevented", "done", "done"]
    assert [effect.ended for effect in effects_of(run)] == ["refused", "refused", "refused", "done", "done"]
    alone = sketch(approval("pay?", "no", **task), tool("pay", {"n": 0}, "declined", **task))
    assert [effect.outcome for effect in effects_of(alone)] == ["prevented"]


def test_a_fork_says_why_nothing_was_done():
    """Of a fork's acts, those of before the cut were its parent's, the others were served, edited or stopped; only a live one was done."""
    pay = [tool("pay", {"n": n}, "ok", notes=notes) for n, notes in enumerate(((), ("served", "nearest"), ("edited",), ("halted",), ("blocked",), ("live",)))]
    effects = effects_of(sketch(*pay, forked_from="r", forked_at_step=1))
    assert [effect.ended for effect in effects] == ["done in the original", "served", "edited by you", "stopped", "stopped", "done"]
    assert [effect.outcome for effect in effects] == ["done", "done", "prevented", "prevented", "prevented", "done"]


def test_a_declared_tool_is_what_it_is_declared_to_be():
    """A declaration outdoes the name: a tool that only looks is no effect, one whose name says nothing is; neither is a guess any more."""
    run = sketch(user("go"), tool("book_preview", {"n": 1}, "ok"), tool("frobnicate", {"n": 2}, "ok"), tool("pay", {"n": 3}, "ok"))
    told = with_declared(run, {"book_preview": "read-only", "frobnicate": "effect"})
    assert [(effect.tool, effect.guessed) for effect in effects_of(told)] == [("frobnicate", False), ("pay", True)]
    assert [effect.tool for effect in effects_of(with_declared(told, {}))] == ["book_preview", "pay"]
    assert with_declared(run, {"other": "effect"}) is run
