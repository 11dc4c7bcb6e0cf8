"""A deleted run is gone to the last byte, and nothing else is."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

import workbench
from tests.postgres import PASSWORD, Server
from workbench.cli import app
from workbench.database import Database, Location, location
from workbench.model import Change, Conversation, Message, Skip, Span
from workbench.sketch import model, sketch, tool, user
from workbench.store import DeletionError, Origin, Store, StoreError, dialect
from workbench.store.contents import unshut

MARKER = "MARKER-OF-THE-ONE-TO-GO"
SHARED = "What both of them said, long enough to be kept apart. " * 10


@pytest.fixture
def store(where: Location):
    with Store.open(where) as opened:
        yield opened


def span(trace: int, text: str) -> Span:
    return Span(trace_id=f"{trace:032x}", span_id=f"{1:016x}", name="chat", start_ns=1, attributes={"input.value": text, "system": SHARED})


def fill(store: Store) -> None:
    """Two runs, each from a file of its own."""
    for number, text in ((1, MARKER), (2, "harmless")):
        origin = Origin(Path(f"{text}.jsonl"), f"{number:064x}", "otlp")
        store.add(origin, [span(number, text), Skip(place="line 3", reason=f"broken: {text}")], lambda _: None)
        history = (Message(role="system", content=SHARED), Message(role="user", content=f"Please {text}"))
        store.save_runs([sketch(user(text), model("Done", messages=history), run_id=f"{number:032x}")])


def test_what_was_said_of_other_files_stays(store: Store):
    """A file of which nothing could be read is not the deleted run's: that it was skipped is still told."""
    fill(store)
    store.add(Origin(Path("broken.jsonl"), f"{3:064x}", "otlp"), [Skip(place="line 1", reason="no JSON")], lambda _: None)
    assert store.delete(f"{1:032x}").rows["skip"] == 1
    assert {skip.reason for _, skip in store.skips()} == {"broken: harmless", "no JSON"}


@pytest.fixture
def kept(request: pytest.FixtureRequest, where: Location, tmp_path: Path) -> Callable[[], bytes]:
    """All bytes of the folder in which the store lies; for a store on a server, of the server's files of its database."""

    def files_of_server() -> bytes:
        with psycopg.connect(where.url, password=PASSWORD, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            (folder,) = connection.execute(
                "SELECT current_setting('data_directory') || '/base/' || oid FROM pg_database WHERE datname = current_database()"
            ).fetchone()
        return bytes_of(Path(folder))

    return files_of_server if isinstance(where, Database) else lambda: bytes_of(tmp_path)


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_no_byte_of_a_deleted_run_stays(store: Store, kept: Callable[[], bytes]):
    """Neither the store's file nor anything beside it, nor a server's files, holds the marker that was in the run, its span, its path and its skips."""
    fill(store)
    assert MARKER.encode() in kept()
    done = store.delete(f"{1:032x}")
    assert done.runs == (f"{1:032x}",)
    assert done.rows == {"step": 2, "span": 1, "run": 1, "skip": 1, "source": 1}
    assert done.payloads > 3
    assert MARKER.encode() not in kept()


def test_what_a_retired_run_left_and_what_is_pending_goes_too(store: Store, kept: Callable[[], bytes]):
    """A run that was derived differently before, and a mark that its trace waits to be derived, leave no byte behind either."""
    fill(store)
    store.save_runs([sketch(user(MARKER), run_id="as-it-was-derived-before")])
    store.add(Origin(Path("live"), "ab" * 32, "otlp"), [span(1, MARKER)], lambda _: None, pending=True)
    assert "as-it-was-derived-before" in store.retire([f"{1:032x}", f"{2:032x}"])
    store.delete(f"{1:032x}")
    assert store.pending().traces == set()
    assert store.verify() == []
    left = kept()
    assert not [one for one in (MARKER.encode(), f"{1:032x}".encode(), b"as-it-was-derived-before") if one in left]


def test_what_other_runs_use_stays(store: Store):
    """The other run, its span and the texts both shared are as before, and the store verifies."""
    fill(store)
    before = store.run(f"{2:032x}")
    done = store.delete(f"{1:032x}")
    assert store.run_ids() == [f"{2:032x}"]
    assert store.run(f"{2:032x}") == before
    (group,) = store.groups([f"{2:032x}"], [])
    assert group.spans == (span(2, "harmless"),)
    assert done.payloads_kept >= 1
    assert store.verify() == []


def test_the_file_shrinks_when_a_large_run_goes(store: Store):
    """Room that is free after a deletion is given back."""
    fill(store)
    noise = random.Random(1)
    store.save_runs([sketch(*(model(noise.randbytes(2_000).hex()) for _ in range(300)), run_id="large")])
    done = store.delete("large")
    assert done.bytes_after < done.bytes_before / 2


def test_a_run_with_forks_is_kept_unless_they_go_too(store: Store):
    """A fork reads its first steps from its parent: the parent alone can't be deleted."""
    parent = sketch(user("go"), model("a"), tool("book", {}, 1), run_id="parent")
    fork = parent.model_copy(update={"run_id": "parent~1", "forked_from": "parent", "forked_at_step": 2, "change": Change(kind="none")})
    store.save_runs([parent])
    store.save_runs([fork], prefix=2)
    with pytest.raises(DeletionError, match="on parent hang parent~1"):
        store.delete("parent")
    assert store.run("parent~1") == fork
    assert set(store.delete("parent", dependants=True).runs) == {"parent", "parent~1"}
    assert store.run_ids() == []


def test_a_fork_alone_leaves_its_parent(store: Store):
    """Deleting a fork takes its own steps and nothing of the run it was made of."""
    parent = sketch(user("go"), model("a"), tool("book", {}, 1), run_id="parent")
    store.save_runs([parent])
    store.save_runs([parent.model_copy(update={"run_id": "parent~1", "forked_from": "parent", "forked_at_step": 2})], prefix=2)
    store.delete("parent~1")
    assert store.run("parent") == parent
    assert store.verify() == []


def test_a_deleted_conversation_can_be_ingested_again(store: Store):
    """Deletion forgets; it does not forbid."""
    origin = Origin(Path("chat.jsonl"), "00" * 32, "chat_log")
    conversation = Conversation(run_id="c", messages=(Message(role="user", content="hello"),))
    store.add(origin, [conversation], lambda _: None)
    store.save_runs([sketch(user("hello"), run_id="c")])
    assert store.delete("c").rows["conversation"] == 1
    assert store.add(origin, [conversation], lambda _: None).new == 1


def test_the_command_says_what_went(tmp_path: Path):
    """`workbench delete RUN --json` prints rows, payloads and bytes, and the run is gone."""
    bench = workbench.open(tmp_path / "w.db")
    fill(bench.store)
    bench.close()
    result = CliRunner().invoke(app, ["delete", f"{1:032x}", "--store", str(tmp_path / "w.db"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"]["span"] == 1


def test_compressed_texts_go_too(store: Store):
    """A text that only the deleted run held is in no payload any more, compressed or not."""
    secret = "only in the first run " * 40
    store.save_runs([sketch(user(secret), run_id="first"), sketch(user("other"), run_id="second")])
    store.delete("first")
    with store._engine.connect() as connection:
        contents = [unshut(bytes(content)) for (content,) in connection.exec_driver_sql("SELECT content FROM payload")]
    assert contents
    assert not any(secret.strip().encode() in content for content in contents)


def test_a_server_that_is_being_read_says_that_bytes_stay(postgres: Server, monkeypatch: pytest.MonkeyPatch):
    """Whoever reads the tables keeps the server from writing them anew: the run is gone, and the error says that its bytes are not."""
    monkeypatch.setattr(dialect, "BUSY_MS", 50)
    where = location(postgres.create())
    with Store.open(where) as store, psycopg.connect(where.url, password=PASSWORD) as reader:
        fill(store)
        reader.execute("SELECT count(*) FROM payload")
        with pytest.raises(StoreError, match=r"the run is deleted, but the server did not write its tables anew .*lock timeout"):
            store.delete(f"{1:032x}")
        assert store.run_ids() == [f"{2:032x}"]
