"""Databases by URL: what is a path and what isn't, and that no part of a password is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.database import Database, location
from workbench.source import SourceError


def test_a_path_stays_a_path() -> None:
    """What is no URL is a path, on Windows too."""
    assert [location(one) for one in ("spans.jsonl", "/a/b", r"C:\spans", Path("x"))] == [Path("spans.jsonl"), Path("/a/b"), Path(r"C:\spans"), Path("x")]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://u:p4ss@h:5432/d", "postgresql://u@h:5432/d"),
        ("postgres://u:p4ss@h/d?sslmode=require&password=p4ss", "postgresql://u@h/d?sslmode=require"),
        ("postgresql+psycopg://u:p4ss@h/d", "postgresql://u@h/d"),
        ("POSTGRESQL://:p4ss@h/d", "postgresql://h/d"),
        ("postgresql:///d?host=/run/postgresql&sslpassword=p4ss", "postgresql:///d?host=%2Frun%2Fpostgresql"),
        ("postgresql://u:p4ss@[::1]:5432,h2/d", "postgresql://u@[::1]:5432,h2/d"),
    ],
)
def test_a_password_is_left_out_and_remembered(given: str, shown: str) -> None:
    """The URL that is shown has no password; connecting has it, for as long as this process lives."""
    found = location(given)
    assert isinstance(found, Database)
    assert (str(found), repr(found)) == (shown, f"Database(url={shown!r})")
    assert set(found.secrets.values()) == {"p4ss"}
    assert location(shown) == found


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=3))
def test_no_part_of_an_unquoted_password_is_taken_for_a_host_and_shown(password: str) -> None:
    """However a password was typed, it stands neither in the URL that is shown nor in the error."""
    secret = f"q7{password}7q"
    try:
        told = str(location(f"postgresql://u:{secret}@h:5432/d"))
    except SourceError as error:
        told = str(error)
    assert "q7" not in told
    assert "7q" not in told


def test_a_url_that_can_be_read_in_two_ways_is_refused_with_how_to_write_it() -> None:
    """The error says how the characters that mean something in a URL are written."""
    with pytest.raises(SourceError, match=r"more than one way; .* @ : / \? # as %40 %3A %2F %3F %23"):
        location("postgresql://u:12/3@h/d")
