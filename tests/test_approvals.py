"""Approvals: what was proposed, what the answer means, how long it took; and the habit of approving everything."""

from __future__ import annotations

import pytest

from workbench.analysis.approvals import approvals_of, verdict_of
from workbench.model import PASSED_ON, Finding, Json
from workbench.plugins import detectors
from workbench.sketch import approval, sketch, timed, user

PAY = {"order": "O-7", "amount": 30}


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("yes", "approved"),
        ("Approve", "approved"),
        (True, "approved"),
        ({"type": "accept"}, "approved"),
        ({"decisions": [{"type": "approve"}]}, "approved"),
        ({"approved": True, "reason": "fine"}, "approved"),
        ("no", "refused"),
        ("don't", "refused"),
        (False, "refused"),
        ({"approved": False}, "refused"),
        ('{"type": "reject"}', "refused"),
        ({"type": "edit", "args": {}}, "edited"),
        ("until 23:00", "unclear"),
        (None, "unclear"),
        ({"note": "hm"}, "unclear"),
    ],
)
def test_an_answer_is_read_in_any_of_its_forms(answer: Json, verdict: str):
    """Words, truth values and the objects that frameworks resume with mean the same; what is none of them is unclear."""
    assert verdict_of(answer) == verdict


@pytest.mark.parametrize(
    "question",
    [
        {"tool": "pay", "arguments": PAY},
        {"action_requests": [{"name": "pay", "args": PAY}], "review_configs": [{"action_name": "pay"}]},
        [{"action_request": {"action": "pay", "args": PAY}, "config": {"allow_edit": True}}],
        '{"name": "pay", "tool_input": {"order": "O-7", "amount": 30}}',
    ],
)
def test_a_question_shows_its_calls(question: Json):
    """The calls that a question proposes are read from whatever shape it has."""
    (one,) = approvals_of(sketch(approval(question, "yes")))
    assert [(call.name, call.arguments) for call in one.proposed] == [("pay", PAY)]
    assert one.names("pay")
    assert not one.names("refund")


def test_what_a_person_edited_is_what_was_granted():
    """An edit replaces the proposal; an approval grants it; a question without an answer grants nothing yet."""
    gate = {"tool": "pay", "arguments": PAY}
    edit = {"type": "edit", "args": {"name": "pay", "args": PAY | {"amount": 20}}}
    edited, waiting = approvals_of(sketch(approval(gate, edit, **timed(1, 7)), approval(gate)))
    assert [call.arguments for call in edited.granted] == [PAY | {"amount": 20}]
    assert (edited.allows, edited.seconds) == (True, 7.0)
    assert (waiting.verdict, waiting.allows, waiting.seconds) == (None, False, None)


def test_a_question_passed_on_from_a_subgraph_is_told_once():
    """The parent's copy of a subgraph's question is no approval of its own."""
    assert len(approvals_of(sketch(approval("Pay?", "yes"), approval("Pay?", "yes", notes=(PASSED_ON,))))) == 1


def test_a_habit_shows_only_over_many_runs():
    """Twenty long questions approved unread are a formality; nineteen, or one refusal among twenty, or a minute each, are not."""
    detect_many = detectors()["rubber-stamp"].detect_many
    assert detect_many is not None
    gate = {"tool": "pay", "arguments": PAY, "terms": "It can't be undone. " * 40}

    def asked(*answers: tuple[Json, float]) -> list[Finding]:
        runs = [sketch(user("Pay"), approval(gate, answer, **timed(1, took)), run_id=f"r{number}") for number, (answer, took) in enumerate(answers)]
        return [said for said in detect_many(runs) if isinstance(said, Finding)]

    (found,) = asked(*[("yes", 1.0)] * 20)
    assert (found.run_id, found.numbers["approved"], found.numbers["median_seconds"]) == ("r19", 20, 1.0)
    assert not asked(*[("yes", 1.0)] * 9)
    assert not asked(*[("yes", 1.0), ("yes", 1.0), ("no", 1.0)] * 9)
    assert not asked(*[("yes", 60.0)] * 20)


def test_a_person_who_waves_through_is_told_apart():
    """Where answers say who gave them, the habit of one is seen though others look: ten unread in a row, and how many within a minute."""
    detect_many = detectors()["rubber-stamp"].detect_many
    assert detect_many is not None
    gate = {"tool": "pay", "arguments": PAY, "terms": "It can't be undone. " * 40}
    answers = [("dana", 1.0, 4 * number) if number % 2 else ("lee", 60.0, 4 * number) for number in range(21)]
    runs = [sketch(user("Pay"), approval(gate, {"approved": True, "by": name}, **timed(100 + at - took, took)), run_id=f"r{at}") for name, took, at in answers]
    (found,) = (said for said in detect_many(runs) if isinstance(said, Finding))
    assert "10 of 10 questions that dana answered were approved" in found.message
    assert (found.run_id, found.numbers["unread_in_a_row"], found.numbers["within_a_minute"]) == ("r76", 10, 8)
