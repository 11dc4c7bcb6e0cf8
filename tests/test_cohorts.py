"""A baseline: what runs of a kind do, and how another run departs from them."""

from __future__ import annotations

import pytest

from workbench.cohorts.baseline import END, START, Baseline, identifying
from workbench.model import Run, Step
from workbench.sketch import model, sketch, tool, user
from workbench.verdict.verdict import verdict_of

BOOK = {"flight": "NH 11", "passenger": "Ada"}


def trip(*steps: Step, run_id: str = "good") -> Run:
    return sketch(user("Book NH 11"), tool("search_flights", {"to": "Kyoto"}, ["NH 11"]), *steps, model("Done."), run_id=run_id)


GOOD = trip(tool("book_flight", BOOK, "booked"))


def test_a_run_with_the_same_acts_does_not_depart():
    """The wording of free text, the key of an attempt and an attempt that failed make no difference."""
    told = {"to": "desk@hotel.example", "text": "We will arrive rather late this evening"}
    again = {"to": "desk@hotel.example", "text": "Please expect us late tonight, thank you"}
    good = trip(tool("book_flight", BOOK, error="no seat"), tool("book_flight", BOOK, "booked"), tool("send_email", told, "sent"))
    other = trip(tool("book_flight", BOOK | {"request_id": "r-9"}, "booked"), tool("book_flight", BOOK, error="busy"), tool("send_email", again, "sent"))
    departure = Baseline.of([good]).departure(other)
    assert (departure.distance, departure.missing, departure.extra) == (0, (), ())


def test_a_run_that_acts_otherwise_departs_and_is_told_how():
    """What the nearest run did and this one did not is missing; what only this one did is extra."""
    wrong = trip(tool("book_flight", BOOK | {"flight": "NH 12"}, "booked"))
    departure = Baseline.of([trip(run_id="idle"), GOOD]).departure(wrong)
    assert departure.nearest == "good"
    assert 0 < departure.distance < 1
    assert [act[0] for act in departure.missing] == [act[0] for act in departure.extra] == ["book_flight"]
    assert ("flight", "nh 12") in departure.extra[0][1]


def test_a_baseline_raises_the_probability_of_a_run_that_departs():
    """The verdict takes the baseline in, and says so."""
    wrong, baseline = trip(tool("cancel_flight", BOOK, "cancelled")), Baseline.of([GOOD])
    departing, alike = (verdict_of(run, baseline=baseline) for run in (wrong, GOOD))
    assert (departing.probability or 0) > (verdict_of(wrong).probability or 1)
    assert (alike.probability or 1) < (verdict_of(GOOD).probability or 0)
    assert departing.reasons[0] == "its acts and calls are not those of the baseline"


def test_a_call_that_never_follows_is_a_surprise():
    """The usual next tool costs few bits, one that never followed more, and no pair is infinite."""
    baseline = Baseline.of([GOOD] * 20)
    assert baseline.surprise("search_flights", "book_flight") < 0.3 < baseline.surprise("search_flights", "delete_account")
    assert baseline.surprise("unheard-of", "book_flight") < 10
    assert baseline.follows[START].keys() == {"search_flights"}
    assert baseline.follows["book_flight"].keys() == {END}


def test_arguments_are_known_by_type_range_and_recurring_values():
    """Numbers have a range, texts that recur are an enumeration, free texts are not."""
    calls = [tool("book_hotel", {"nights": number, "class": "ab"[number % 2], "guest": f"guest {number}"}) for number in range(1, 13)]
    given = Baseline.of([sketch(*calls)]).arguments
    assert (given["book_hotel", "nights"].least, given["book_hotel", "nights"].most) == (1, 12)
    assert given["book_hotel", "nights"].types == {"number"}
    assert given["book_hotel", "class"].values == {"a", "b"}
    assert given["book_hotel", "guest"].values is None


def test_no_runs_are_no_baseline():
    """An empty cohort is an error, not a baseline that everything departs from."""
    with pytest.raises(ValueError, match="at least one run"):
        Baseline.of([])


def test_identifying_arguments_survive_any_nesting():
    """Lists, objects, numbers written either way and missing values are read; depth has an end."""
    deep: object = "x"
    for _ in range(50):
        deep = [deep]
    assert identifying({"a": {"b": [1, 1.0, None, ""]}, "c": deep}) == (("a.b", "1"), ("a.b", "1"))
    assert identifying(None) == ()
