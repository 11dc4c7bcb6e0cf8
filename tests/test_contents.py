"""The contents of a large batch are compressed together, and are each as safe, and as deletable, as by themselves."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import zstandard

from workbench.database import Location
from workbench.model import Message
from workbench.sketch import model, sketch, user
from workbench.store import Store
from workbench.store.contents import TOGETHER_FROM_BYTES, unshut

SECRET = "the only one who knows of the lighthouse"


def run_of(run_id: str, first: str):
    """A run that says much, and differently from any other."""
    rng = random.Random(run_id)
    said = [" ".join(str(rng.random()) for _ in range(80)) for _ in range(80)]
    messages = tuple(Message(role="user", content=text) for text in [first, *said])
    return sketch(user(first), model("done", messages=messages), run_id=run_id)


@pytest.fixture
def store(where: Location):
    """A store, in a file or on a server, with two runs whose contents stand in segments together."""
    with Store.open(where) as opened:
        assert len(opened.save_changed([run_of("kept", "hello " * 60), run_of("gone", SECRET * 20)])) == 2
        yield opened


def rows(store: Store, query: str) -> list[tuple]:
    with store._reading() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def plain_contents(store: Store) -> bytes:
    segments = [zstandard.ZstdDecompressor().decompress(content) for (content,) in rows(store, "SELECT content FROM segment")]
    return b"".join(segments + [unshut(content) for (content,) in rows(store, "SELECT content FROM payload WHERE segment_id IS NULL")])


def test_a_large_batch_stands_in_segments_and_comes_back_as_it_was(store: Store):
    """Both runs are read whole from contents that were compressed together, and the store verifies."""
    assert rows(store, "SELECT count(*) FROM segment")[0][0] >= 1
    assert rows(store, "SELECT count(*) FROM payload WHERE length(content) = 0")[0][0] > 100
    assert store.run("gone") == run_of("gone", SECRET * 20)
    assert store.verify() == []


def test_a_small_batch_stands_by_itself(tmp_path: Path):
    """What is smaller than a segment is worth is kept each by itself."""
    with Store.open(tmp_path / "w.db") as store:
        store.save_runs([sketch(user("hello"))])
        assert rows(store, "SELECT count(*) FROM segment") == [(0,)]
        assert sum(size for (size,) in rows(store, "SELECT length(content) FROM payload")) < TOGETHER_FROM_BYTES


def test_deleting_a_run_takes_its_contents_out_of_the_segments_others_are_in(store: Store):
    """Nothing of the deleted run is left in any segment, and the other run is whole."""
    assert SECRET.encode() in plain_contents(store)
    store.delete("gone")
    assert SECRET.encode() not in plain_contents(store)
    assert store.run("kept") == run_of("kept", "hello " * 60)
    assert store.verify() == []


def test_a_damaged_segment_is_named_with_all_that_was_in_it(store: Store):
    """Bytes that changed on disk are found, payload by payload, and never read as something else."""
    with store._writing() as connection:
        connection.exec_driver_sql("UPDATE segment SET content = substr(content, 1, length(content) - 9)")
    problems = store.verify()
    assert any("its segment" in problem and "damaged" in problem for problem in problems)
    with pytest.raises(ValueError, match="segment"):
        store.run("kept")


def test_a_segment_that_is_gone_is_missed(store: Store):
    """A segment that someone deleted is named."""
    with store._writing() as connection:
        connection.exec_driver_sql("DELETE FROM segment")
    assert any("is missing" in problem for problem in store.verify())
