"""The collector of LangGraph checkpoint databases, on databases that LangGraph itself writes here and on hostile ones."""

from __future__ import annotations

import contextlib
import hashlib
import json
import operator
import os
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypedDict
from uuid import UUID

import ormsgpack
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Interrupt, Send, interrupt

from collectors import langgraph_sqlite
from workbench.model import Checkpoint, Record, Skip
from workbench.reading import serde, tasks
from workbench.reading.threads import states
from workbench.source import Source, SourceError

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Notes(TypedDict, total=False):
    """State of the graphs below."""

    notes: Annotated[list[Any], operator.add]
    topic: str


def gather(state: list[int], writes: list[list[int]]) -> list[int]:
    """Puts lists end to end."""
    return [*state, *(item for write in writes for item in write)]


class Numbers(TypedDict, total=False):
    """State that is kept as differences."""

    xs: Annotated[list[int], DeltaChannel(gather, snapshot_frequency=3)]


class Colour(Enum):
    """A value of its own type in a state."""

    RED = "red"


@contextlib.contextmanager
def saved(path: Path) -> Iterator[SqliteSaver]:
    """A saver that leaves no journal beside its file."""
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        yield SqliteSaver(connection)
        connection.execute("PRAGMA journal_mode = DELETE")


def plan(_: Notes) -> Command[Any]:
    """Sends one task for each topic."""
    return Command(update={"notes": ["planned"]}, goto=[Send("research", {"topic": "a"}), Send("research", {"topic": "b"})])


def research(state: Notes) -> Notes:
    """Writes about its topic."""
    return {"notes": [state["topic"]]}


def agent(_: Notes) -> Notes:
    """Answers like a model that calls a tool."""
    call = {"name": "look", "args": {"at": "it"}, "id": "c1", "type": "tool_call"}
    return {"notes": [AIMessage("", tool_calls=[call], id="lc_run--1", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3})]}


def ask(_: Notes) -> Notes:
    """Waits for a person."""
    return {"notes": [interrupt("go on?")]}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A thread with Sends, a model's answer and an answered question, alone in its folder."""
    path = tmp_path / "input" / "checkpoints.sqlite"
    path.parent.mkdir()
    graph = StateGraph(Notes)
    for node in (plan, research, agent, ask):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "plan")
    graph.add_edge("research", "agent")
    graph.add_edge("agent", "ask")
    with saved(path) as saver:
        compiled = graph.compile(checkpointer=saver)
        compiled.invoke({"notes": []}, THREAD)
        compiled.invoke(Command(resume="yes"), THREAD)
    return path


def records(path: Path) -> list[Record]:
    return list(langgraph_sqlite.collect(Source(path)))


def checkpoints(path: Path) -> list[Checkpoint]:
    return [record for record in records(path) if isinstance(record, Checkpoint)]


def skips(path: Path) -> list[Skip]:
    return [record for record in records(path) if isinstance(record, Skip)]


def read_whole(path: Path) -> tuple[list[Any], list[Any]]:
    """Steps with the nodes and channels of their writes, and every state."""
    found = checkpoints(path)
    steps = [(one.step, one.source, [(write.node, write.channel, write.value) for write in one.writes]) for one in found]
    return steps, [langgraph_sqlite.state(path, "t", "", one.checkpoint_id) for one in found]


def values(path: Path, channel: str) -> list[Any]:
    return [write.value for one in checkpoints(path) for write in one.writes if write.channel == channel]


def fingerprint(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def add_write(path: Path, kind: str, value: bytes) -> None:
    """Put one more write into the newest checkpoint."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        (newest,) = connection.execute("SELECT max(checkpoint_id) FROM checkpoints").fetchone()
        columns = "thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value"
        row = f"INSERT INTO writes ({columns}) VALUES ('t', '', ?, ?, ?, 0, 'x', ?, ?)"
        connection.execute(row, (newest, "10000000-1111-2222-3333-444444444444", "~__pregel_pull, x", kind, value))


def forget_paths(path: Path) -> None:
    """Take the column away that old versions didn't have."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE writes DROP COLUMN task_path")


# ---- what is read


def test_every_row_of_the_thread_becomes_a_checkpoint_with_its_parent(database: Path) -> None:
    """Each checkpoint is read once, with parent, step and source."""
    found = checkpoints(database)
    assert [(one.step, one.source) for one in found] == [(-1, "input"), (0, "loop"), (1, "loop"), (2, "loop"), (3, "loop"), (4, "loop")]
    assert [one.parent_checkpoint_id for one in found] == [None, *(one.checkpoint_id for one in found[:-1])]
    assert not skips(database)


def test_the_nodes_of_sent_tasks_are_found_by_their_hash(database: Path) -> None:
    """A Send's task stores no name; the hash of its place and node gives it."""
    nodes = [sorted({write.node or "" for write in one.writes if write.task_id != tasks.NULL_TASK}) for one in checkpoints(database)]
    assert nodes == [["__start__"], ["plan"], ["research"], ["agent"], ["ask"], []]


def test_nodes_are_found_without_the_column_task_path(database: Path) -> None:
    """A database of an older schema gives the same node for every task."""
    before = {write.task_id: write.node for one in checkpoints(database) for write in one.writes}
    forget_paths(database)
    after = {write.task_id: write.node for one in checkpoints(database) for write in one.writes}
    assert after == before
    assert set(after.values()) == {None, "__start__", "plan", "research", "agent", "ask"}


def test_a_message_is_its_fields_and_a_question_is_tagged(database: Path) -> None:
    """A model's answer keeps type, calls and usage; an Interrupt keeps its value and id."""
    answer = next(item for value in values(database, "notes") for item in value if isinstance(item, dict))
    assert (answer["type"], answer["tool_calls"][0]["args"], answer["usage_metadata"]["total_tokens"]) == ("ai", {"at": "it"}, 3)
    (question,) = values(database, "__interrupt__")[0]
    assert (question["$type"], question["value"]) == ("Interrupt", "go on?")


def test_a_checkpoint_says_when_it_was_made(database: Path) -> None:
    """The time in the id is that of the checkpoint's own timestamp."""
    one = checkpoints(database)[0]
    with contextlib.closing(sqlite3.connect(database)) as connection:
        (blob,) = connection.execute("SELECT checkpoint FROM checkpoints WHERE checkpoint_id = ?", (one.checkpoint_id,)).fetchone()
    stamped = datetime.fromisoformat(serde.decode("msgpack", blob).value["ts"])
    assert one.created_ns is not None
    assert abs(one.created_ns / 1e9 - stamped.timestamp()) < 0.01


def test_an_id_that_is_no_sortable_uuid_has_no_time() -> None:
    """A made-up id gives None, no wrong time."""
    assert tasks.created_ns("checkpoint-7") is None
    assert tasks.created_ns("f47ac10b-58cc-4372-a567-0e02b2c3d479") is None


def test_the_state_is_what_langgraph_says_it_is(database: Path) -> None:
    """A state fetched by itself holds the channel values the saver holds."""
    newest = checkpoints(database)[-1]
    fetched = langgraph_sqlite.state(database, "t", "", newest.checkpoint_id)
    assert [item if isinstance(item, str) else item["type"] for item in fetched["notes"]] == ["planned", "a", "b", "ai", "yes"]


def test_checkpoints_of_every_version_read_alike(database: Path) -> None:
    """What langgraph before 0.4 (version 1, Sends aside) and 0.4 (version 3) wrote gives the same steps, nodes, writes and states as version 4."""
    wanted, states_wanted = read_whole(database)
    for version, more in ((3, {}), (1, {"pending_sends": []})):
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            for row_id, blob in connection.execute("SELECT rowid, checkpoint FROM checkpoints").fetchall():
                content = ormsgpack.unpackb(blob, ext_hook=ormsgpack.Ext)
                older = {key: value for key, value in content.items() if key != "updated_channels"} | {"v": version} | more
                connection.execute("UPDATE checkpoints SET checkpoint = ? WHERE rowid = ?", (ormsgpack.packb(older), row_id))
        assert read_whole(database) == (wanted, states_wanted)
    assert any(write[0] == "research" for _, _, writes in wanted for write in writes)


def test_a_fork_in_a_production_thread_is_read_with_its_own_parent(database: Path) -> None:
    """State that was changed at an earlier checkpoint, and the run from there, hang on that checkpoint; what came after it first stays."""
    before = checkpoints(database)
    graph = StateGraph(Notes)
    for node in (plan, research, agent, ask):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "plan")
    graph.add_edge("research", "agent")
    graph.add_edge("agent", "ask")
    at: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": before[2].checkpoint_id}}
    with saved(database) as saver:
        forked = graph.compile(checkpointer=saver).update_state(at, {"notes": ["corrected"]}, as_node="research")
    found = {one.checkpoint_id: one for one in checkpoints(database)}
    fork = found[forked["configurable"]["checkpoint_id"]]
    assert (fork.source, fork.parent_checkpoint_id, len(found)) == ("update", before[2].checkpoint_id, len(before) + 1)
    assert "corrected" in langgraph_sqlite.state(database, "t", "", fork.checkpoint_id)["notes"]
    assert {one.checkpoint_id for one in before} < found.keys()


def test_a_state_that_is_not_there_is_named(database: Path) -> None:
    """The error of a missing checkpoint names file, thread and checkpoint."""
    with pytest.raises(LookupError, match=r"checkpoints\.sqlite: checkpoint nowhere of thread 't' is not there"):
        langgraph_sqlite.state(database, "t", "", "nowhere")


def test_a_delta_channel_is_rebuilt_from_its_writes(tmp_path: Path) -> None:
    """Values missing from a checkpoint come from the nearest snapshot and the writes since."""
    graph = StateGraph(Numbers)
    for number in range(4):
        graph.add_node(f"n{number}", lambda _, number=number: {"xs": [number]})
        graph.add_edge(f"n{number - 1}" if number else START, f"n{number}")
    path = tmp_path / "delta.sqlite"
    with saved(path) as saver:
        graph.compile(checkpointer=saver).invoke({"xs": [9]}, THREAD)
    found = [langgraph_sqlite.state(path, "t", "", one.checkpoint_id).get("xs") for one in checkpoints(path)[1:]]
    assert found == [[9], [9, 0], [9, 0, 1], [9, 0, 1, 2], [9, 0, 1, 2, 3]]


def test_messages_in_a_delta_channel_replace_and_remove_each_other_by_id() -> None:
    """A message with a known id takes that message's place; a remove message takes it away."""
    first, second = {"type": "ai", "content": "a", "id": "1"}, {"type": "ai", "content": "b", "id": "2"}
    state = states._reduce(states._reduce(None, [first, second]), {**first, "content": "c"})
    assert [message["content"] for message in state] == ["c", "b"]
    assert states._reduce(state, [{"type": "remove", "content": "", "id": "1"}]) == [second]
    assert states._reduce(state, {"$type": "Overwrite", "value": []}) == []


def test_writes_whose_rows_are_missing_are_taken_from_the_metadata(database: Path) -> None:
    """Where langgraph before 0.5 left no rows in `writes`, what it noted in the next checkpoint stands in for them."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM writes")
        connection.execute(
            "UPDATE checkpoints SET metadata = ? WHERE json_extract(metadata, '$.step') = 1",
            ('{"source": "loop", "step": 1, "writes": {"plan": {"notes": ["p"]}}}',),
        )
    (write,) = [write for one in checkpoints(database) for write in one.writes]
    assert (write.node, write.channel, write.value, write.task_id) == ("plan", "notes", ["p"], "")
    assert write.note is not None


def test_writes_whose_checkpoint_is_missing_are_kept(database: Path) -> None:
    """A write without its checkpoint's row still comes, under a checkpoint that says so."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM checkpoints WHERE json_extract(metadata, '$.step') = 2")
    lone = [one for one in checkpoints(database) if one.note]
    assert [(one.note, {write.channel for write in one.writes} >= {"notes"}) for one in lone] == [("only its writes were kept", True)]


# ---- the user's file


def test_reading_leaves_file_and_folder_as_they_were(database: Path) -> None:
    """Neither reading nor fetching a state changes a byte or leaves a file behind."""
    before = fingerprint(database.parent)
    langgraph_sqlite.state(database, "t", "", checkpoints(database)[-1].checkpoint_id)
    assert fingerprint(database.parent) == before


def test_a_database_that_is_being_written_is_read_with_its_journal(database: Path) -> None:
    """What stands only in the write-ahead log is read too, and the log stays as it is."""
    with contextlib.closing(sqlite3.connect(database)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        with writer:
            writer.execute("INSERT INTO checkpoints SELECT 'other', checkpoint_ns, checkpoint_id, NULL, type, checkpoint, metadata FROM checkpoints LIMIT 1")
        before = fingerprint(database.parent)
        assert {one.thread_id for one in checkpoints(database)} == {"t", "other"}
        assert fingerprint(database.parent) == before


def test_a_locked_database_is_read(database: Path) -> None:
    """A lock that another program holds doesn't stop the reading."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        assert len(checkpoints(database)) == 6
        holder.execute("ROLLBACK")


# ---- bad input


def test_a_file_that_is_no_database_is_refused_with_what_it_begins_with(tmp_path: Path) -> None:
    """Text isn't accepted, and the error says what a database begins with."""
    path = tmp_path / "notes.sqlite"
    path.write_text("just text")
    assert not langgraph_sqlite.accepts(Source(path))
    with pytest.raises(SourceError, match=r"no SQLite database.*this with b'just text'"):
        records(path)


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    """An empty file gives an error that says so."""
    path = tmp_path / "empty.sqlite"
    path.touch()
    with pytest.raises(SourceError, match="empty"):
        records(path)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("CREATE TABLE people (name TEXT)", "it has no table checkpoints"),
        ("CREATE TABLE checkpoints (thread_id TEXT)", "its table checkpoints has no column"),
        ("CREATE VIEW checkpoints AS SELECT 1 AS thread_id", "it has no table checkpoints"),
    ],
)
def test_another_database_is_not_accepted_and_the_error_says_what_it_lacks(tmp_path: Path, schema: str, says: str) -> None:
    """A database of something else is left to others; read all the same, it says what is missing."""
    path = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(schema)
    assert not langgraph_sqlite.accepts(Source(path))
    with pytest.raises(SourceError, match=says):
        records(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_off_database_is_accepted_and_gives_an_error(database: Path, share: float) -> None:
    """A copy that broke off is ours, and the error says that it is cut off."""
    whole = database.read_bytes()
    database.write_bytes(whole[: int(len(whole) * share)])
    assert langgraph_sqlite.accepts(Source(database))
    with pytest.raises(SourceError, match="cut off"):
        records(database)


def test_of_a_database_damaged_inside_the_rest_is_read_and_the_damage_said(database: Path) -> None:
    """Pages overwritten in the middle of the file give one skip, after what could still be read."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        copy = "INSERT INTO {table} SELECT 'u' || thread_id || ?, " + "{rest} FROM {table} WHERE thread_id = 't'"
        rest = "checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, zeroblob(3000), metadata"
        connection.executemany(copy.format(table="checkpoints", rest=rest), [(number,) for number in range(20)])
    with database.open("r+b") as stream:
        stream.seek(database.stat().st_size // 2 // 4096 * 4096)
        stream.write(b"\xff" * 40960)
    found = records(database)
    assert sum(isinstance(record, Checkpoint) and record.thread_id == "t" for record in found) == 6
    assert any(isinstance(record, Skip) and "cut off or damaged from here on" in record.reason for record in found)


def test_what_is_encrypted_is_said_and_the_rest_is_read(database: Path) -> None:
    """Encrypted states and writes are counted; ids, channels and nodes are in clear and read."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE checkpoints SET type = 'msgpack+aes'")
        connection.execute("UPDATE writes SET type = type || '+aes'")
    found = checkpoints(database)
    assert {one.note for one in found} == {"encrypted: key not given"}
    assert {write.note for one in found for write in one.writes} == {"encrypted: key not given"}
    assert {skip.place.rpartition(": ")[2]: skip.count for skip in skips(database)} == {"checkpoints": 6, "writes": sum(len(one.writes) for one in found)}
    with pytest.raises(SourceError, match="encrypted"):
        langgraph_sqlite.state(database, "t", "", found[-1].checkpoint_id)


class Bomb:
    """Unpickling it makes a directory."""

    def __init__(self, marker: Path) -> None:
        """Remember what to make."""
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        """Say how to rebuild this: by making the directory."""
        return os.mkdir, (str(self.marker),)


def hostile(kind: str, marker: Path) -> bytes:
    """A value that runs code when it is loaded trustingly."""
    if kind == "pickle":
        return pickle.dumps(Bomb(marker))
    if kind == "json":
        return json.dumps({"lc": 2, "type": "constructor", "id": ["os", "mkdir"], "args": [str(marker)]}).encode()
    return ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(["os", "mkdir", str(marker)])))


@pytest.mark.parametrize("kind", ["pickle", "msgpack", "json"])
def test_a_value_that_names_code_is_not_run_and_its_refusal_is_said(database: Path, tmp_path: Path, kind: str) -> None:
    """The code doesn't run, the skip says refused, and the rest of the thread is read."""
    marker = tmp_path / "marker"
    add_write(database, kind, hostile(kind, marker))
    found = records(database)
    assert not marker.exists()
    assert [skip.reason.partition(":")[0] for skip in found if isinstance(skip, Skip)] == ["refused"]
    assert sum(isinstance(record, Checkpoint) for record in found) == 6


def test_the_hostile_values_do_run_when_they_are_trusted(tmp_path: Path) -> None:
    """The pickle of the test above makes its marker when it is loaded: the test proves something."""
    marker = tmp_path / "marker"
    pickle.loads(hostile("pickle", marker))
    assert marker.exists()


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        ("msgpack", b"\x91" * 200_000 + b"\xc0", "levels deep"),
        ("json", b"[" * 200_000 + b"]" * 200_000, "levels deep"),
        ("msgpack", b"\xdd\xff\xff\xff\xff", "damaged msgpack"),
        ("json", b'{"a": ', "damaged JSON"),
        ("cbor", b"\x00", "unknown type 'cbor'"),
    ],
)
def test_a_value_that_cannot_be_decoded_says_why(database: Path, kind: str, value: bytes, says: str) -> None:
    """Nesting without end, claims of four thousand million items, cut-off and unknown values are one counted skip each."""
    add_write(database, kind, value)
    (skip,) = skips(database)
    assert says in skip.reason


def test_nested_extensions_are_bounded_in_depth() -> None:
    """An extension in an extension in an extension … is refused before it goes deep."""
    value = b"\xc0"
    for _ in range(150):
        value = ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(["a", "b", ormsgpack.Ext(7, value)])))
    with pytest.raises(serde.UndecodedError, match="levels deep"):
        serde.decode("msgpack", value)


def test_a_value_beyond_the_size_limit_stays_in_the_database(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL leaves out what is too large, and the skip names both sizes."""
    monkeypatch.setattr(serde, "MAX_VALUE_BYTES", 1000)
    add_write(database, "msgpack", ormsgpack.packb("x" * 2000))
    assert [skip.reason for skip in skips(database)] == ["refused: 2,003 bytes, more than 1,000"]


# ---- values


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        (UUID("f47ac10b-58cc-4372-a567-0e02b2c3d479"), "f47ac10b-58cc-4372-a567-0e02b2c3d479"),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
        (date(2026, 1, 2), [2026, 1, 2]),
        (Decimal("1.50"), "1.50"),
        (Colour.RED, "red"),
        ({1, 2}, [1, 2]),
        (b"\x00\x01", {"$type": "bytes", "base64": "AAE="}),
        ({1: "one", (2, 3): "pair"}, {"1": "one", "(2, 3)": "pair"}),
        (float("nan"), "nan"),
        (Send("node", {"a": 1}), {"$type": "Send", "node": "node", "arg": {"a": 1}}),
    ],
)
def test_a_value_becomes_what_it_would_be_made_of(value: Any, decoded: Any) -> None:
    """What LangGraph writes for a Python value is read as plain data."""
    stored = JsonPlusSerializer().dumps_typed({"v": value})
    found = serde.decode(*stored)
    assert found.value == {"v": decoded}
    assert found.refused == ()


def test_langgraph_objects_keep_their_type_and_messages_their_role() -> None:
    """Interrupts and Commands are tagged; messages carry the type they have in a conversation."""
    written = [Interrupt(value="q", id="1"), Command(goto="a"), HumanMessage("h"), ToolMessage("t", tool_call_id="c")]
    found = serde.decode(*JsonPlusSerializer().dumps_typed(written)).value
    assert [item.get("$type") or item["type"] for item in found] == ["Interrupt", "Command", "human", "tool"]


def test_messages_in_the_older_json_read_like_those_in_msgpack() -> None:
    """The constructor form of 2024 gives the same fields."""
    stored = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"], "kwargs": {"content": "hi", "id": "run-1"}}
    assert serde.decode_json(json.dumps([stored])).value == [{"content": "hi", "id": "run-1", "type": "ai"}]


def test_the_recomputed_id_of_a_task_is_langgraphs() -> None:
    """The hash of checkpoint, node, step and trigger is the id langgraph 1.2 gave this task."""
    made = tasks.task_id("1f1e6b96-c8ab-63e2-bfff-f9e4ca52e887", "__start__", "0", "__start__", "__pregel_pull", "__start__")
    assert made == "71dfff8c-9ef3-9b85-6959-f7166ec291cb"
