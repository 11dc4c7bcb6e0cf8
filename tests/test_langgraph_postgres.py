"""Checkpoints in PostgreSQL, on a real server: read like those in SQLite, without a trace in the database or of the password."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command

import workbench as wb
from collectors import langgraph_postgres, langgraph_sqlite
from tests.postgres import PASSWORD, Server
from tests.test_langgraph_sqlite import THREAD, Notes, Numbers, agent, ask, plan, research
from workbench.collection import IngestError
from workbench.database import Database, location
from workbench.model import Checkpoint, Record, Skip
from workbench.normalise import normalise
from workbench.reading import serde
from workbench.reading.threads import fetch_state, opened
from workbench.source import Source, SourceError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "langgraph"


class Both(SqliteSaver):
    """Writes one execution to SQLite and, as PostgresSaver would, to PostgreSQL."""

    def __init__(self, connection: sqlite3.Connection, other: PostgresSaver) -> None:
        super().__init__(connection)
        self.other = other

    def put(self, config: Any, *given: Any) -> Any:
        """Keep a checkpoint in both."""
        self.other.put(config, *given)
        return super().put(config, *given)

    def put_writes(self, config: Any, *given: Any) -> None:
        """Keep writes in both."""
        self.other.put_writes(config, *given)
        super().put_writes(config, *given)


@contextlib.contextmanager
def both(path: Path, url: str):
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection, PostgresSaver.from_conn_string(url) as other:
        other.setup()
        yield Both(connection, other)
        connection.execute("PRAGMA journal_mode = DELETE")


def talk(saver: Any) -> None:
    """A thread with Sends, a model's answer, an answered question, and values of every inline kind."""
    graph = StateGraph(Notes)
    for node in (plan, research, agent, ask):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "plan")
    graph.add_edge("research", "agent")
    graph.add_edge("agent", "ask")
    compiled = graph.compile(checkpointer=saver)
    compiled.invoke({"notes": [], "topic": "Grüße"}, THREAD)
    compiled.invoke(Command(resume="yes"), THREAD)


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.create()


@pytest.fixture
def pair(tmp_path: Path, url: str) -> tuple[Path, Database]:
    """One execution, recorded in both."""
    path = tmp_path / "checkpoints.sqlite"
    with both(path, url) as saver:
        talk(saver)
    return path, location(url)


def records(database: Database) -> list[Record]:
    return list(langgraph_postgres.collect(database))


def checkpoints(found: list[Record]) -> list[Checkpoint]:
    return [record for record in found if isinstance(record, Checkpoint)]


def execute(url: str, sql: str, *given: Any) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(sql, given)


def test_one_execution_reads_the_same_from_both(pair: tuple[Path, Database]) -> None:
    """The records of PostgreSQL are those of SQLite, and so are the run's steps."""
    path, database = pair
    in_sqlite = list(langgraph_sqlite.collect(Source(path)))
    assert len(checkpoints(in_sqlite)) == 6
    assert records(database) == in_sqlite
    assert normalise([], checkpoints(records(database))) == normalise([], checkpoints(in_sqlite))


def test_every_state_reads_the_same_from_both(pair: tuple[Path, Database]) -> None:
    """Values kept inline and values kept apart come together to the state that SQLite keeps as one."""
    path, database = pair
    for one in checkpoints(records(database)):
        place = (one.thread_id, one.namespace, one.checkpoint_id)
        assert langgraph_postgres.state(database, *place) == langgraph_sqlite.state(path, *place)
    assert langgraph_postgres.state(database, *place)["topic"] == "Grüße"


def test_a_delta_channel_reads_the_same_from_both(tmp_path: Path, url: str) -> None:
    """Values missing from a checkpoint come from the nearest snapshot and the writes since."""
    graph = StateGraph(Numbers)
    for number in range(4):
        graph.add_node(f"n{number}", lambda _, number=number: {"xs": [number]})
        graph.add_edge(f"n{number - 1}" if number else START, f"n{number}")
    with both(tmp_path / "delta.sqlite", url) as saver:
        graph.compile(checkpointer=saver).invoke({"xs": [9]}, THREAD)
    found = [langgraph_postgres.state(location(url), "t", "", one.checkpoint_id).get("xs") for one in checkpoints(records(location(url)))[1:]]
    assert found == [[9], [9, 0], [9, 0, 1], [9, 0, 1, 2], [9, 0, 1, 2, 3]]


def test_what_is_copied_is_what_sqlite_would_hold(pair: tuple[Path, Database]) -> None:
    """A checkpoint spliced of its parts is, decoded, the one SQLite holds, metadata and writes too."""
    path, database = pair
    with opened(path) as left, opened(database) as right:
        places = [(row.namespace, row.checkpoint_id) for row in left.checkpoints("t")]
        for mine, theirs in zip(left.raw_checkpoints("t", places), right.raw_checkpoints("t", places), strict=True):
            assert serde.decode(theirs.kind, theirs.value) == serde.decode(mine.kind, mine.value)
            assert (theirs[:4], serde.decode_json(theirs.metadata)) == (mine[:4], serde.decode_json(mine.metadata))
        assert sorted(right.raw_writes("t", places), key=str) == sorted(left.raw_writes("t", places), key=str)


def test_an_older_schema_is_read(pair: tuple[Path, Database], url: str) -> None:
    """Without task paths, as before saver 2.0.9, nodes are worked out as in SQLite."""
    path, database = pair
    execute(url, "ALTER TABLE checkpoint_writes DROP COLUMN task_path")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE writes DROP COLUMN task_path")
    assert records(database) == list(langgraph_sqlite.collect(Source(path)))
    with opened(database) as tables:
        assert {row.task_path for row in tables.raw_writes("t", [("", one.checkpoint_id) for one in checkpoints(records(database))])} == {""}


class Backwards(CipherProtocol):
    """Stands for a cipher."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Turn the bytes around."""
        return "aes", plaintext[::-1]

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """Turn them back."""
        return ciphertext[::-1]


def test_of_an_encrypted_thread_the_clear_parts_are_read(url: str) -> None:
    """Encrypted values are counted and said in their place; inline values, which the saver leaves in clear, are read; a fork is refused."""
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        saver.serde = EncryptedSerializer(Backwards())
        talk(saver)
    found = records(location(url))
    writes = [write for one in checkpoints(found) for write in one.writes]
    assert [(skip.place.rpartition(": ")[2], skip.reason, skip.count) for skip in found if isinstance(skip, Skip)] == [("writes", serde.ENCRYPTED, len(writes))]
    newest = checkpoints(found)[-1]
    state = langgraph_postgres.state(location(url), "t", "", newest.checkpoint_id)
    assert (state["topic"], state["notes"]) == ("Grüße", {"$type": "undecoded", "why": serde.ENCRYPTED})
    with opened(location(url)) as tables, pytest.raises(SourceError, match=r"channel 'notes' is kept as msgpack\+aes"):
        list(tables.raw_checkpoints("t", [("", newest.checkpoint_id)]))


# ---- read-only, and without the password


def test_reading_needs_no_more_than_select_and_can_do_no_more(pair: tuple[Path, Database], url: str, postgres: Server) -> None:
    """A user with SELECT alone reads everything, and on the workbench's own connection the owner can't write either."""
    _, database = pair
    execute(url, "CREATE ROLE reader LOGIN PASSWORD 'p'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    assert len(checkpoints(records(location(postgres.url(database.name, user="reader", password="p"))))) == 6
    with opened(database) as tables, pytest.raises(SourceError, match="read-only transaction"):
        list(tables._execute("DELETE FROM checkpoints RETURNING thread_id"))


def test_reading_leaves_every_row_as_it_was(pair: tuple[Path, Database]) -> None:
    """Neither collecting nor fetching a state changes the fingerprint; a changed row does."""
    _, database = pair
    with opened(database) as tables:
        before = tables.fingerprint("t")
    newest = checkpoints(records(database))[-1]
    fetch_state(database, "t", ("", newest.checkpoint_id))
    with opened(database) as tables:
        assert tables.fingerprint("t") == before
        with psycopg.connect(database.url, **database.secrets) as connection:
            connection.execute("UPDATE checkpoint_writes SET idx = idx + 100 WHERE checkpoint_id = %s OR true", (newest.checkpoint_id,))
        assert tables.fingerprint("t") != before


def test_a_statement_has_its_time(pair: tuple[Path, Database], monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that takes too long is ended by the server, and the error says so."""
    monkeypatch.setattr("workbench.database.STATEMENT_MS", 50)
    with opened(pair[1]) as tables, pytest.raises(SourceError, match="statement timeout"):
        list(tables._execute("SELECT pg_sleep(10)"))


def test_a_password_is_neither_stored_nor_shown(pair: tuple[Path, Database], url: str, tmp_path: Path) -> None:
    """Of the URL given, store, summary and run hold it without its password, and states can still be fetched in this process."""
    store = tmp_path / "workbench.db"
    with contextlib.closing(wb.open(store)) as bench:
        done = bench.ingest(url)
        (run_id,) = done.summary.runs
        run = bench.run(run_id)
        assert run.run.sources == (str(pair[1]),)
        assert run.state(run.steps[-1].index)["topic"] == "Grüße"
        told = f"{done!r} {done.summary} {run!r} {run.run}"
        assert bench.ingest(url).summary.files[0].new == 0
    assert "PASSWORD" not in told
    assert all(PASSWORD not in text and "s3cr3t" not in text for text in (told, store.read_bytes().decode("latin-1")))


def test_a_later_process_takes_the_password_from_where_libpq_looks(pair: tuple[Path, Database]) -> None:
    """Another process reads the stored URL with PGPASSWORD; without it, the error says where a password is looked for."""
    code = (
        "from workbench.reading.threads import opened; from workbench.database import location\n"
        f"with opened(location({str(pair[1])!r})) as t: print(list(t.threads()))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"HOME": "/nonexistent"}
    given, missing = (
        subprocess.run([sys.executable, "-c", code], env=environment | more, capture_output=True, text=True, check=False)
        for more in ({"PGPASSWORD": PASSWORD}, {})
    )
    assert given.stdout == "['t']\n"
    assert "a password that is not in the URL is taken from PGPASSWORD or ~/.pgpass" in missing.stderr


def test_a_wrong_password_is_not_repeated(pair: tuple[Path, Database], postgres: Server, tmp_path: Path) -> None:
    """The error of a refused login names the database and where a password is taken from, not the password."""
    wrong = postgres.url(pair[1].name, password="swordfish")
    with contextlib.closing(wb.open(tmp_path / "workbench.db")) as bench, pytest.raises(IngestError, match=r"password authentication failed.*\.pgpass") as said:
        bench.ingest(wrong)
    assert "swordfish" not in str(said.value)
    assert pair[1].url in str(said.value)
    location(postgres.url(pair[1].name))


# ---- bad input


def test_another_database_is_refused_with_what_it_lacks(url: str, tmp_path: Path) -> None:
    """A database of something else is an error before anything is stored, and read all the same it says what is missing."""
    with contextlib.closing(wb.open(tmp_path / "workbench.db")) as bench, pytest.raises(IngestError, match="langgraph-postgres"):
        bench.ingest(url)
    with pytest.raises(SourceError, match=r"/test_\d+: no LangGraph checkpoint database: it has no table checkpoints"):
        records(location(url))


def test_a_shallow_saver_is_told_apart(url: str) -> None:
    """Tables of the saver that keeps only the newest checkpoint are refused with that reason."""
    execute(url, "CREATE TABLE checkpoints (thread_id TEXT, checkpoint_ns TEXT, type TEXT, checkpoint JSONB, metadata JSONB)")
    with pytest.raises(SourceError, match="no column checkpoint_id, parent_checkpoint_id; a ShallowPostgresSaver keeps no history"):
        records(location(url))


def test_a_view_is_no_table(url: str) -> None:
    """Views, which can compute without end, are not read in place of tables."""
    execute(url, "CREATE VIEW checkpoints AS SELECT 1 AS thread_id")
    assert not langgraph_postgres.accepts(location(url))


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    """An unreachable server is an error that names it and the reason."""
    with contextlib.closing(wb.open(tmp_path / "workbench.db")) as bench, pytest.raises(IngestError, match=r"127\.0\.0\.1:9/none: can't be reached: .*refused"):
        bench.ingest("postgresql://u@127.0.0.1:9/none")


def test_a_missing_driver_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg the error names the extra that brings it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SourceError, match=r"pip install 'replay-workbench\[postgres\]'"):
        langgraph_postgres.accepts(location("postgresql://h/d"))


def test_a_damaged_value_is_one_counted_skip(pair: tuple[Path, Database], url: str) -> None:
    """Writes that aren't what their type says are skips; the rest of the thread is read."""
    execute(url, "UPDATE checkpoint_writes SET blob = '\\xdd' WHERE channel = 'notes' AND type = 'msgpack'")
    found = records(pair[1])
    assert len(checkpoints(found)) == 6
    assert [skip.reason.partition(" (")[0] for skip in found if isinstance(skip, Skip)] == ["not decoded: damaged msgpack"]


def test_json_that_is_no_checkpoint_is_said(pair: tuple[Path, Database], url: str) -> None:
    """Versions that are no object end the fetching of that state with an error, not a crash."""
    execute(url, """UPDATE checkpoints SET checkpoint = '{"channel_versions": 1, "channel_values": [1]}'""")
    newest = checkpoints(records(pair[1]))[-1]
    with pytest.raises(SourceError, match="can't be read from here on"):
        langgraph_postgres.state(pair[1], "t", "", newest.checkpoint_id)


def test_the_recorded_dump_reads_whole(postgres: Server) -> None:
    """The thread of a real agent, dumped from another server, is read without a skip, and every state with it."""
    dump = SHARED / "pg_ck.sql"
    if not dump.exists():
        pytest.skip("no langgraph/pg_ck.sql beside the repository")
    database = location(postgres.load(dump))
    found = records(database)
    assert [record for record in found if isinstance(record, Skip)] == []
    assert len(found) == 23
    (run,) = normalise([], checkpoints(found))
    assert {step.node for step in run.steps} >= {"plan", "agent", "tools", "approve", "send"}
    state = langgraph_postgres.state(database, "pg1", "", checkpoints(found)[-1].checkpoint_id)
    assert (len(state["messages"]), len(state["notes"]), state["approved"]) == (8, 4, True)
