"""Retries: what was tried again, by whom, after which error and how long a wait."""

from __future__ import annotations

import pytest

from workbench.analysis.retries import classify_error, retried
from workbench.sketch import model, restart, sketch, timed, tool, user

PAY = {"order": "O-7"}
ASK = model(calls=(("pay", PAY),))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("TimeoutError: no answer within 30 s", "transient"),
        ("HTTP 429 Too Many Requests", "transient"),
        ("status code: 503", "transient"),
        ("Error: database is locked", "transient"),
        ("HTTP 403 Forbidden", "permanent"),
        ("error 404: no such order", "permanent"),
        ("ValidationError: amount must be positive", "permanent"),
        ("Unknown column 'Make' in 'field list'", "permanent"),
        ("card declined", "permanent"),
        ("401 Unauthorized, try again later", "transient"),
        ("something odd", "unknown"),
        ("order 4031 of 5000 is odd", "unknown"),
        ("", "unknown"),
    ],
)
def test_errors_are_told_apart_by_whether_trying_again_can_help(error: str, kind: str):
    """An error is transient, permanent or unknown by its words; a hint to try again wins."""
    assert classify_error(error) == kind


def test_a_retry_knows_who_tried_again_and_how_long_was_waited():
    """Code, the model, a person and a restart are told apart; a wait is the time between an attempt's end and the next one's start."""
    busy = [tool("pay", PAY, error="busy", **timed(at)) for at in (1, 2, 4, 8, 16)]
    run = sketch(user("Pay"), ASK, *busy[:2], ASK, busy[2], user("Try again"), busy[3], restart(busy[4]), restart(tool("pay", PAY, "paid")))
    (chain,) = retried(run)
    assert [retry.by for retry in chain] == ["code", "model", "person", "resume", "code"]
    assert [retry.waited_s for retry in chain][:3] == [0.5, 1.5, 3.5]
    assert {retry.error for retry in chain} == {"busy"}


def test_a_call_that_went_well_is_not_tried_again_but_made_again():
    """What is repeated after a success, or with other arguments, is no retry; neither is a pause."""
    run = sketch(tool("pay", PAY, "paid"), tool("pay", PAY, "paid"), tool("pay", {"order": "O-8"}, error="busy"), tool("pay", {"order": "O-9"}, "paid"))
    assert retried(run) == []


def test_a_wait_that_was_not_recorded_is_unknown():
    """Without times a retry is still one; how long was waited is None."""
    bare = [tool("pay", PAY, error="busy"), tool("pay", PAY, "paid")]
    run = sketch(*bare)
    untimed = run.model_copy(update={"steps": tuple(step.model_copy(update={"started_ns": None, "ended_ns": None}) for step in run.steps)})
    assert [retry.waited_s for retry in retried(untimed)[0]] == [None]
