"""What was tried again, and which failures it leaves."""

from __future__ import annotations

from workbench import summary
from workbench.analysis.attempts import attempts
from workbench.model import ASKED_AGAIN, Message, Run, Step
from workbench.sketch import model, sketch, timed, tool

ASKED = (Message(role="user", content="Book it"),)
OTHER = (Message(role="user", content="Something else"),)


def refused(**fields) -> Step:
    return model(status="error", error="rate limit", **fields)


def sizes(run: Run) -> list[int]:
    return [len(chain) for chain in attempts(run)]


def told(run: Run) -> list[tuple[str, bool]]:
    return [(error["message"], error["recovered"]) for error in summary.of_run(run)["errors"]]


def test_the_same_call_after_a_failure_is_another_attempt():
    """Two failures and a success are one operation of three attempts, which failed once and went on."""
    run = sketch(tool("find", {"k": 1}, error="down"), tool("find", {"k": 1}, error="still down"), tool("find", {"k": 1}, "42"))
    assert sizes(run) == [3]
    assert told(run) == [("still down", True)]
    (retry,) = summary.of_run(run)["retries"]
    assert (retry["tool"], retry["attempts"], retry["reasons"]) == ("find", 3, ["down", "still down"])


def test_a_task_that_its_graph_runs_again_is_one_operation():
    """A node under a retry policy failed once, is told with why it was tried again and after how long, and another task of it is another operation."""
    tries = [Step(index=0, kind="node", name="fetch", task_id="t1", status="error", error=f"net {number}", **timed(at)) for number, at in ((1, 0), (2, 0.7))]
    went = [Step(index=0, kind="node", name="fetch", task_id=task, **timed(at)) for task, at in (("t1", 1.6), ("t2", 3))]
    run = sketch(*tries, *went)
    assert sizes(run) == [3, 1]
    assert summary.of_run(run)["retries"] == [{"tool": "fetch", "attempts": 3, "reasons": ["net 1", "net 2"], "waited_s": [0.2, 0.4]}]
    assert told(run) == [("net 2", True)]


def test_the_same_call_after_a_success_is_another_call():
    """What went well is not tried again, however alike the next call is."""
    assert sizes(sketch(tool("find", {"k": 1}, "42"), tool("find", {"k": 1}, "42"))) == [1, 1]


def test_another_argument_is_another_attempt_only_where_the_model_was_sent_back():
    """A framework that asks the model to correct a call says so; without that word two calls are two."""
    sent_back = tool("find", {"k": 1}, error="no such key", notes=(ASKED_AGAIN,))
    assert sizes(sketch(sent_back, tool("find", {"k": 2}, "42"))) == [2]
    assert sizes(sketch(tool("find", {"k": 1}, error="no such key"), tool("find", {"k": 2}, "42"))) == [1, 1]


def test_a_model_call_with_the_same_messages_is_another_attempt_even_between_others():
    """Branches run side by side: a retry is told by what was asked, not by what stands next to it."""
    run = sketch(refused(messages=ASKED), model("a", messages=OTHER), model("b", messages=ASKED))
    assert sizes(run) == [2, 1]
    assert told(run) == [("rate limit", True)]


def test_without_messages_only_the_very_next_model_call_is_another_attempt():
    """Where nothing was recorded of the question, a call further on may be any other."""
    assert sizes(sketch(refused(), model("a"))) == [2]
    assert sizes(sketch(refused(), tool("find", {}, "42"), model("a"))) == [1, 1, 1]


def test_the_last_failure_of_a_failed_run_is_the_one_it_did_not_recover_from():
    """Earlier ones it went on from, and so it did from one that a later attempt mended."""
    run = sketch(tool("find", {"k": 1}, error="down"), tool("pay", {"k": 2}, error="card refused"), tool("log", {}, "ok"), status="error")
    assert told(run) == [("down", True), ("card refused", False)]
    mended = sketch(tool("pay", {}, error="refused"), tool("find", {}, error="down"), tool("find", {}, "42"), status="error")
    assert told(mended) == [("refused", False), ("down", True)]
