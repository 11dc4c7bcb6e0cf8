"""One finds the step in which something was said, and the index is never out of step with the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

import workbench
from tests.postgres import Server
from workbench.cli import app
from workbench.database import Database, Location, location
from workbench.model import Message
from workbench.sketch import model, sketch, tool, user
from workbench.store import Store


@pytest.fixture
def store(where: Location):
    with Store.open(where) as opened:
        history = (Message(role="user", content="Book the flight to Lisbon"),)
        run = sketch(
            user("Book the flight to Lisbon"), tool("book_flight", {"to": "Lisbon"}, {"error": "seat map unavailable"}), model("Sorry", messages=history)
        )
        opened.save_runs([run.model_copy(update={"run_id": "lisbon"}), sketch(user("Cancel my hotel"), run_id="hotel")])
        yield opened


def places(store: Store, words: str) -> list[tuple[str, int]]:
    return [(hit.run_id, hit.step) for hit in store.search(words)]


def test_a_word_is_found_in_the_step_that_said_it(store: Store):
    """Messages, arguments and results are searched; what a later prompt repeats is not found again."""
    assert places(store, "hotel") == [("hotel", 0)]
    assert places(store, "seat unavailable") == [("lisbon", 1)]
    assert sorted(places(store, "lisbon")) == [("lisbon", 0), ("lisbon", 1)]


def test_all_words_must_occur_and_quoted_ones_as_they_stand(store: Store):
    """Several words narrow the search."""
    assert places(store, "hotel flight") == []
    assert places(store, '"the flight"') == [("lisbon", 0)]
    assert places(store, '"flight the"') == []


@pytest.mark.parametrize("words", ['"', "AND OR NOT", "a* -b ^c", "(:", "content:x", "", "  ", "né\x00"])
def test_whatever_is_typed_is_looked_for_literally(store: Store, words: str):
    """No character is an operator, so nothing that is typed is an error."""
    assert places(store, words) == []


def test_what_came_since_the_last_search_is_found(store: Store):
    """A new run and a new revision are taken in; the old revision's words are gone."""
    assert places(store, "train") == []
    store.save_runs([sketch(user("Take the train"), run_id="train"), sketch(user("Keep the cottage"), run_id="hotel")])
    assert places(store, "train") == [("train", 0)]
    assert places(store, "hotel") == []
    assert places(store, "cottage") == [("hotel", 0)]


def test_verify_finds_an_index_that_is_out_of_step(store: Store):
    """A row of a run that the index doesn't claim to hold is a problem; an index in step is none."""
    store.search("hotel")
    assert store.verify() == []
    with store._writing() as connection:
        vector = isinstance(store.path, Database) and "CAST('' AS tsvector)"
        connection.execute(text(f"INSERT INTO search SELECT 'ghost', 0, 'boo'{', ' + vector if vector else ''}"))
    assert store.verify() == ["search: run ghost is in the index by mistake"]


def test_a_deleted_run_is_not_found_and_its_words_leave_the_file(store: Store, tmp_path: Path):
    """The index forgets with the store."""
    assert places(store, "cancel") == [("hotel", 0)]
    store.delete("hotel")
    assert b"Cancel my hotel" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())  # on a server: test_deletion
    assert places(store, "cancel") == []
    assert places(store, "seat") == [("lisbon", 1)]


def test_a_notebook_gets_a_frame_and_the_command_line_a_list(where: Location, store: Store):
    """`bench.search` gives run, step and snippet, also where nothing is found; `workbench search` prints them."""
    bench = workbench.open(str(store.path))
    assert bench.search("seat").rows() == [("lisbon", 1, bench.search("seat")["snippet"][0])]
    assert "seat map" in bench.search("seat")["snippet"][0]
    assert bench.search("nowhere").columns == ["run_id", "step", "snippet"]
    bench.close()
    result = CliRunner().invoke(app, ["search", "seat", "--store", str(where)])
    assert result.exit_code == 0, result.output
    assert "lisbon" in result.stdout


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("{'tool': 'book_flight-v2'}", "flight v2"),
        ("see https://example.org/seat/map?row=12", '"seat map"'),
        ("Où est l’Hôtel", "hotel ou"),
        ("word " * 3_000 + "needle", "word needle"),
        ("x " * 240 + "one two three four " + "y " * 240, '"two three four y"'),
        ("a" * 5_000 + " end", "a" * 5_000),
        ("½ 東京 ÉTÉ", "東京 été ½"),
    ],
)
def test_a_file_and_a_server_find_the_same(tmp_path: Path, postgres: Server, said: str, words: str):
    """Compound words, URLs, accents, texts of thousands of words and words of thousands of letters are found in either."""
    found = []
    for where in (tmp_path / "w.db", location(postgres.create())):
        with Store.open(where) as store:
            store.save_runs([sketch(user(said), run_id="said"), sketch(user("something else"), run_id="other")])
            found.append(places(store, words))
    assert found == [[("said", 0)], [("said", 0)]]


def test_a_snippet_shows_the_words_around_what_was_found(store: Store):
    """A long text is cut around the first word that was looked for."""
    store.save_runs([sketch(user("far " * 500 + "the needle lies here " + "away " * 500), run_id="long")])
    (hit,) = store.search("needle")
    assert "the needle lies here" in hit.snippet
    assert len(hit.snippet) < 200
