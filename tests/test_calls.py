"""When calls are the same and bring the same, when an answer is an error or empty, and where a person spoke."""

import pytest

from workbench.analysis.calls import at_work, call_key, empty, observed, spent
from workbench.analysis.effects import effects_of, failure
from workbench.analysis.turns import answered, asked_between, spoken
from workbench.model import Message
from workbench.sketch import approval, model, restart, sketch, tool, user

CALL = ("pay", {"order": 7})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"n": 1, "checked_at": "03:00:01"}, {"n": 1, "checked_at": "03:00:02"}),
        ('{"n": 1, "took_ms": 4}', '{"n": 1, "took_ms": 9}'),
        ("as of 2026-03-02T03:00:07Z: none", "as of 2026-03-02T03:00:14Z: none"),
        ({"hits": [{"name": "A", "request_id": "x"}]}, {"hits": [{"name": "A", "request_id": "y"}]}),
    ],
)
def test_what_passes_with_time_is_no_difference(one, other):
    """Results that differ only in timestamps, durations or request ids brought the same."""
    assert observed(tool("look", {}, one)) == observed(tool("look", {}, other))


@pytest.mark.parametrize(("one", "other"), [({"done": 3}, {"done": 4}), ("3 of 9", "4 of 9"), ([1], [1, 2]), ({"order_id": "A"}, {"order_id": "B"})])
def test_progress_is_a_difference(one, other):
    """Results that differ in what they say brought something new."""
    assert observed(tool("look", {}, one)) != observed(tool("look", {}, other))


def test_arguments_are_part_of_a_call():
    """Two calls are the same only when all arguments agree, in any order."""
    assert call_key(tool("look", {"a": 1, "b": 2})) == call_key(tool("look", {"b": 2, "a": 1})) != call_key(tool("look", {"a": 1}))


@pytest.mark.parametrize(
    ("result", "hollow"),
    [(None, True), ("", True), ([], True), ("[]", True), ({"hotels": []}, True), ({"n": 0}, False), (0, False), ({"a": [], "b": [1]}, False)],
)
def test_empty_results_are_recognised(result, hollow):
    """A result is empty when it holds nothing; a zero is something."""
    assert empty(result) is hollow


@pytest.mark.parametrize(
    ("result", "waits"),
    [
        ("pending", True),
        ({"state": "in_progress"}, True),
        ("queued for review", True),
        ("done", False),
        ("The job was running all day. " * 20, False),
        (None, False),
    ],
)
def test_what_is_not_done_yet_says_so_in_a_word(result, waits):
    """A short result may say that the job is at work; a long text that holds the word says something else."""
    assert at_work(tool("look", {}, result)) is waits


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ("Error: seat is taken", "Error: seat is taken"),
        ({"error": "no funds"}, "no funds"),
        ({"status": "failed", "message": "late"}, "late"),
        ({"error": None, "id": 1}, None),
        ("error: none", None),
        ("errors are listed below", None),
        ("booked", None),
    ],
)
def test_a_result_that_says_it_is_an_error_is_one(result, error):
    """A tool that can only speak in words fails in words."""
    assert failure(tool("book", {}, result)) == error


def test_what_was_spent_is_summed_and_never_made_up():
    """Tokens and dollars between two steps are summed where recorded, and None where not."""
    run = sketch(model(tokens=5), model(tokens=7, cost_usd=0.5), model())
    assert spent(run, 0, 1) == (12, 0.5)
    assert spent(run, 2, 2) == (None, None)


def test_a_model_that_asks_twice_at_once_is_the_cause():
    """Two calls of one answer are the model's doing; a second call that nobody asked for is a retry; one after a restart a resume."""
    pay = tool(*CALL, "paid")
    assert [act.cause for act in effects_of(sketch(model(calls=(CALL, CALL)), pay, pay))] == ["first", "model"]
    assert [act.cause for act in effects_of(sketch(model(calls=(CALL,)), pay, pay))] == ["first", "retry"]
    assert [act.cause for act in effects_of(sketch(model(calls=(CALL,)), pay, restart(model(calls=(CALL,)), pay)))] == ["first", "resume"]


def test_two_times_are_two_acts():
    """A table at seven and a table at eight are different acts."""
    acts = effects_of(sketch(*(tool("book_table", {"time": time}, "ok") for time in ("19:00", "20:00"))))
    assert [act.cause for act in acts] == ["first", "first"]


def test_a_resent_request_is_no_new_wish():
    """The same words once more are a restart; other words are a wish."""
    heard = spoken(sketch(user("Book it"), tool(*CALL), user("Book it"), tool(*CALL), user("And again for Bo"), tool(*CALL)))
    assert not asked_between(heard, 1, 3)
    assert asked_between(heard, 3, 5)


def test_people_are_heard_in_what_models_are_given():
    """Where no step of their own was recorded, a user message new to a node's model call is a person's word; another node's first prompt is not."""
    first, later = Message(role="user", content="Book it"), Message(role="user", content="Thanks")
    answer = Message(role="assistant", content="Done")
    judge = model(node="critic", messages=(Message(role="user", content="Judge this"),))
    run = sketch(model(node="agent", messages=(first,)), judge, model(node="agent", messages=(first, answer, later)))
    assert spoken(run) == [(0, "Book it"), (2, "Thanks")]


def test_only_an_answer_answers():
    """A pause that waits is unanswered; a word or a decision answers."""
    assert answered(user("yes"))
    assert answered(approval("Book?", "yes"))
    assert not answered(approval("Book?"))
    assert not answered(tool(*CALL, "paid"))
