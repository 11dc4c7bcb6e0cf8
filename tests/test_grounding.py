"""Where what an agent says comes from: values in normal form, sentences, and the step that first brought each."""

import pytest

from workbench.analysis.grounding import Grounding, grounded, leaves, sentences, tokens
from workbench.model import Message
from workbench.sketch import model, sketch, tool, user


def _normal(text: str) -> set[str]:
    return {token.normal for token in tokens(text) if token.distinctive}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("on 19 May 2024", "on 2024-05-19"),
        ("on May 19th, 2024", "on 19/5/2024"),
        ("at 8pm", "at 20:00"),
        ("see https://www.Example.com/a/", "see example.com/a"),
        ("to Jane.Doe@Example.com.", "to jane.doe@example.com"),
        ("pay $1,200.00", "pay 1200"),
        ("to US13 3000 0001 2121 2121 2121", "to us1330000001212121212121"),
        ("read bill-2023.TXT", "read 'bill-2023.txt'"),
        ("ask José", "ask JOSE"),
    ],
)
def test_the_same_value_written_differently_is_the_same(one, other):
    """Dates, times, addresses, amounts and names have one normal form, however they are written."""
    assert _normal(one)
    assert _normal(one) == _normal(other)


@pytest.mark.parametrize(("one", "other"), [("on 2024-05-19", "on 2024-05-20"), ("at 8am", "at 8pm"), ("a.com/x", "a.com/y"), ("pay 1200", "pay 12000")])
def test_different_values_stay_different(one, other):
    """What differs in meaning differs in normal form."""
    assert _normal(one) != _normal(other)


def test_a_month_alone_or_a_number_out_of_range_is_read_without_failing():
    """Texts that look like values and are none are read as something."""
    assert tokens("may 99:99 31/31/2024 ٣٤ May 0 -- $ .. @ http:// www. 1.2.3.4 0000-00-00 99pm")
    assert tokens("") == []


def test_a_wrapped_line_goes_on_and_a_field_ends_a_sentence():
    """Sentences end at stops, fields, list items and paragraphs, not where a line wraps or a title is abbreviated."""
    text = "- subject: 'Send it to Mr. Smith\n    at once. Thanks!\n\nYours'\n- body: Ok"
    assert [one.text for one in sentences(text)] == ["- subject: 'Send it to Mr. Smith\n    at once.", "Thanks!", "Yours'", "- body: Ok"]
    assert all(text[one.start :].lstrip().startswith(one.text) for one in sentences(text))
    assert [one.text for one in sentences("今日は晴れ。明日は雨。")] == ["今日は晴れ。", "明日は雨。"]


def test_leaves_are_the_texts_of_a_value_with_their_paths():
    """A result is read down to its texts, JSON inside a string included; what is too deep is left."""
    assert list(leaves({"a": ["x", 2, None, True], "b": '{"c": "y"}'})) == [("$.a[0]", "x"), ("$.a[1]", "2"), ("$.b.c", "y")]
    deep: list = []
    for _ in range(200):
        deep = [deep]
    assert list(leaves(deep)) == []


def test_what_a_run_brought_is_known_by_the_step_that_first_brought_it():
    """Before each step the index knows what people and system prompts told and what tools brought, and nothing that came later."""
    asked = model(calls=(("find", {}),), messages=(Message(role="system", content="Pay from ACC-77"),))
    run = sketch(user("Pay Ada on 19 May"), asked, tool("find", {}, {"mail": "ada@x.org"}), tool("pay", {"to": "ada@x.org"}, "paid"))
    known = {}
    for step, so_far in grounded(run):
        known[step.index] = Grounding(dict(so_far.told), dict(so_far.read))
    mail, account, day = tokens("ada@x.org")[0], tokens("ACC-77")[0], tokens("2026-05-19")[0]
    assert known[2].source(mail) is None
    assert known[3].source(mail) == 2
    assert not known[3].was_told(mail)
    assert known[1].source(account) == 1
    assert known[3].source(day) == 0
    assert known[3].was_told(day)
