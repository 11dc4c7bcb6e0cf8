"""The store keeps everything once, changes nothing, and says what is wrong with a file it can't use."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, func, inspect, select
from sqlmodel import SQLModel

from tests.postgres import PASSWORD, Server
from workbench.collection import fingerprint, is_as_ingested
from workbench.database import Location, location
from workbench.model import Change, Checkpoint, Conversation, Finding, Log, Message, NotEvaluated, Skip, Span, Write
from workbench.overview import overview_of
from workbench.sketch import model, sketch, tool, user
from workbench.store import Origin, RunNotFoundError, Store, StoreError, dialect
from workbench.store.dialect import APPLICATION_ID
from workbench.store.migrations import MIGRATIONS, VERSION, migrate
from workbench.store.schema import TABLES

ORIGIN = Origin(Path("spans.jsonl"), "00" * 32, "otlp")


@pytest.fixture
def store(where: Location):
    with Store.open(where) as opened:
        yield opened


def span(number: int, **fields) -> Span:
    return Span(**{"trace_id": f"{1:032x}", "span_id": f"{number:016x}", "name": f"span {number}", "start_ns": number, **fields})


def thread_of(one: Span) -> str | None:
    return one.attributes.get("thread")


def count(store: Store, table: str) -> int:
    with store._engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(TABLES[table])).scalar_one()


def tamper(store: Store, change: Callable[[bytes], bytes | None]) -> None:
    """Put other content under the addresses there are, or none."""
    payload = TABLES["payload"]
    with store._writing() as connection:
        for row in connection.execute(select(payload)).all():
            content, mine = change(row.content), payload.c.sha256 == row.sha256
            connection.execute(payload.delete().where(mine) if content is None else payload.update().where(mine).values(content=content))


def test_adding_the_same_records_again_changes_nothing(store: Store):
    """Re-ingesting a file adds no row and no payload."""
    records = [span(1), span(2), Checkpoint(thread_id="t", checkpoint_id="c1"), Conversation(run_id="r"), Skip(place="f:3", reason="no JSON")]
    first = store.add(ORIGIN, records, thread_of)
    rows = {table: count(store, table) for table in ("payload", "span", "checkpoint", "conversation", "skip", "source")}
    second = store.add(ORIGIN, records, thread_of)
    assert (first.new, second.new) == (4, 0)
    assert rows == {table: count(store, table) for table in rows}


def test_a_better_answer_to_whose_a_span_is_leaves_the_span_as_it_was(store: Store):
    """Asked anew, a stored span belongs to another conversation; asked the same again, nothing changes."""
    store.add(ORIGIN, [span(1, attributes={"thread": "t"}), span(2)], lambda _: None)
    assert store.everything().threads == set()
    assert store.rename(thread_of) == 1
    assert store.rename(thread_of) == 0
    assert (store.everything().threads, store.everything().traces) == ({"t"}, {f"{1:032x}"})
    assert count(store, "span") == 2


def test_a_run_that_is_derived_no_more_is_retired_with_its_findings_and_a_forked_one_is_not(store: Store):
    """Only what could be derived again goes: a fork and the run it left stay."""
    for run_id in ("kept", "gone", "parent"):
        store.save_runs([sketch(user("hello"), run_id=run_id)])
    store.save_runs([sketch(user("hello"), run_id="fork", forked_from="parent", forked_at_step=0, change=Change())])
    store.save_examination("gone", "f", [], [])
    assert store.retire(["kept"]) == ["gone"]
    assert sorted(store.run_ids()) == ["fork", "kept", "parent"]
    assert store.examined() == {}
    assert store.verify() == []


def test_a_span_that_arrives_again_with_its_end_replaces_the_one_without(store: Store):
    """The newest version of a span counts, and the older one is kept."""
    store.add(ORIGIN, [span(1)], thread_of)
    store.add(ORIGIN, [span(1, end_ns=9)], thread_of)
    (group,) = store.groups([f"{1:032x}"], [])
    assert [one.end_ns for one in group.spans] == [9]
    assert count(store, "span") == 2


def test_spans_and_checkpoints_of_one_thread_are_one_group(store: Store):
    """Two traces that name the same thread, and its checkpoints, belong together, whichever of them was touched."""
    other = span(2, trace_id=f"{2:032x}", attributes={"thread": "t"})
    store.add(ORIGIN, [span(1, attributes={"thread": "t"}), other, Checkpoint(thread_id="t", checkpoint_id="c1")], thread_of)
    (group,) = store.groups([f"{1:032x}"], [])
    assert {one.trace_id for one in group.spans} == {f"{1:032x}", f"{2:032x}"}
    assert [one.checkpoint_id for one in group.checkpoints] == ["c1"]
    assert group.paths == ("spans.jsonl",)


def test_logs_come_with_the_spans_they_belong_to(store: Store):
    """A log that arrives in another file, before or after its span, is in the span's group."""
    store.add(ORIGIN, [Log(trace_id=f"{1:032x}", span_id=f"{1:016x}", name="gen_ai.choice", body={"content": "hi"})], thread_of)
    store.add(Origin(Path("later.jsonl"), "11" * 32, "otlp"), [span(1)], thread_of)
    (group,) = store.groups([f"{1:032x}"], [])
    assert [log.name for log in group.logs] == ["gen_ai.choice"]
    assert group.paths == ("later.jsonl", "spans.jsonl")


def test_a_run_that_its_source_tells_whole_is_kept_as_told(store: Store):
    """A durable engine's history comes back as the run it is, its newest telling last."""
    store.add(ORIGIN, [sketch(user("one"), run_id="wf-1")], thread_of)
    added = store.add(ORIGIN, [sketch(user("two"), run_id="wf-1")], thread_of)
    assert added.histories == {"wf-1"}
    assert [(run.steps[0].output.content, path) for run, path in store.histories(["wf-1"])] == [("two", "spans.jsonl")]


def test_a_trace_that_names_two_threads_stays_by_itself(store: Store):
    """Where a trace spans several threads, nothing is merged on a guess."""
    store.add(ORIGIN, [span(1, attributes={"thread": "a"}), span(2, attributes={"thread": "b"})], thread_of)
    groups = list(store.groups([f"{1:032x}"], []))
    assert [len(group.spans) for group in groups] == [2]


def test_a_failing_collector_leaves_nothing_behind(store: Store):
    """A file is stored whole or not at all."""

    def records():
        yield span(1)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        store.add(ORIGIN, records(), thread_of)
    assert count(store, "span") == count(store, "source") == count(store, "payload") == 0


def test_a_run_comes_back_as_it_was(store: Store):
    """Steps, messages, decisions and numbers survive the store unchanged."""
    history = (Message(role="user", content="Book it"), Message(role="assistant", content="\ud800 half a surrogate"))
    run = sketch(
        user("Book it"), model("Yes", messages=history[:1], confidence=0.9), tool("book", {"a": 1}, {"id": 2}), model("Done", messages=history), tools=("book",)
    )
    assert store.save_runs([run]) == 1
    assert store.run("sketch") == run
    assert store.save_runs([run]) == 0


def test_an_object_keeps_the_order_of_its_keys(store: Store):
    """What is served in a replay is the recorded text again, not the same keys in another order."""
    store.save_runs([sketch(tool("look", {"z": 1, "a": 2}, {"y": 1, "b": {"x": 1, "c": 2}}))])
    step = store.run("sketch").steps[0]
    assert list(step.tool_call.arguments) == ["z", "a"]
    assert (list(step.result), list(step.result["b"])) == (["y", "b"], ["x", "c"])


def test_a_message_that_is_repeated_is_stored_once(store: Store):
    """Fifty model calls that repeat their history store each message a single time."""
    history = tuple(Message(role="user", content=f"message {number}") for number in range(50))
    store.save_runs([sketch(*(model("ok", messages=history[: number + 1]) for number in range(50)))])
    assert count(store, "payload") == 50 + 50 + 1  # messages, steps, the run


def test_a_run_that_is_derived_anew_is_a_new_revision_and_the_old_one_stays(store: Store):
    """Nothing is overwritten: the newest revision counts."""
    store.save_runs([sketch(user("one"))])
    store.save_runs([sketch(user("two"))])
    assert store.run("sketch").steps[0].output.content == "two"
    assert count(store, "run") == 2


def test_a_fork_shares_its_parents_steps(store: Store):
    """A fork stores its own steps only and reads the others from its parent."""
    parent = sketch(user("go"), model("a"), tool("book", {}, 1), model("b"))
    forked = parent.model_copy(
        update={
            "run_id": "sketch~1",
            "forked_from": "sketch",
            "forked_at_step": 2,
            "change": Change(kind="tool_result", value=2),
            "steps": parent.steps[:2] + parent.steps[3:],
        }
    )
    store.save_runs([parent])
    store.save_runs([forked], prefix=2)
    assert store.run("sketch~1") == forked
    assert count(store, "step") == 4 + 1


def test_an_unknown_run_names_the_nearest(store: Store):
    """A mistyped id is answered with what it could have been."""
    store.save_runs([sketch(user("a"), run_id="booked-twice"), sketch(user("b"), run_id="budget-burned")])
    assert store.resolve("book") == "booked-twice"
    with pytest.raises(RunNotFoundError, match="booked-twice"):
        store.run("boked-twice")
    with pytest.raises(RunNotFoundError, match=r"any of booked-twice, budget-burned|any of budget-burned, booked-twice"):
        store.run("b")


def test_a_run_is_examined_again_only_when_it_or_the_detectors_change(store: Store):
    """What was seen stays seen until its revision or the detectors' fingerprint differs."""
    store.save_runs([sketch(user("one"))])
    finding = Finding(detector="d", run_id="sketch", severity="error", score=1.0, step=0, message="m", capability="idempotency")
    store.save_examination("sketch", "v1", [finding], [NotEvaluated(detector="e", run_id="sketch", why="no times")])
    assert store.examined() == {"sketch": ([finding], [NotEvaluated(detector="e", run_id="sketch", why="no times")])}
    assert (store.findings(["other"]), store.findings(["sketch"])) == ({}, {"sketch": [finding]})
    assert store.unexamined("v1") == []
    assert store.unexamined("v2") == ["sketch"]
    store.save_runs([sketch(user("two"))])
    assert store.unexamined("v1") == ["sketch"]


def test_verify_finds_a_changed_payload_and_a_missing_one(store: Store):
    """Tampering shows: a payload that was altered no longer has its hash, one that was removed is missed."""
    store.save_runs([sketch(model("a", messages=(Message(role="user", content="hello"),)))])
    assert store.verify() == []
    tamper(store, lambda content: content.replace(b"hello", b"hullo"))
    assert any("its content hashes to" in problem for problem in store.verify())
    tamper(store, lambda content: None if b"hullo" in content else content)
    assert any(problem.startswith("step") and "missing" in problem for problem in store.verify())


def test_a_store_of_a_newer_version_is_refused_untouched(tmp_path: Path):
    """A newer store is not opened, and not a byte of it changes."""
    path = tmp_path / "new.db"
    Store.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"newer workbench .store version {VERSION + 1}"):
        Store.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("content", "says"), [(b"not a database at all", "nor any SQLite database"), (None, "no workbench store; give another --store")])
def test_a_file_that_is_no_store_is_refused_untouched(tmp_path: Path, content: bytes | None, says: str):
    """Naming the wrong file as the store is an error that leaves the file as it is."""
    path = tmp_path / "other.db"
    if content is None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE checkpoints (x)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=says):
        Store.open(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["other.db"]


def test_a_store_that_could_not_be_finished_is_made_anew(tmp_path: Path):
    """What a full disk leaves of a new store, a database without a table, is no obstacle once there is room again."""
    path = tmp_path / "stub.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE one (x)")
        connection.execute("DROP TABLE one")
    with Store.open(path) as opened:
        assert opened.run_ids() == []


def test_the_first_schema_migrates_to_the_newest(tmp_path: Path):
    """A store made by the first version opens, and has then the columns that the row classes name."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    Store.open(path).close()
    engine = create_engine(f"sqlite:///{path}")
    found = {table: {column["name"] for column in inspect(engine).get_columns(table)} for table in inspect(engine).get_table_names()}
    engine.dispose()
    assert found == {name: {column.name for column in table.columns} for name, table in SQLModel.metadata.tables.items()}


@pytest.mark.parametrize("older", [False, True])
def test_a_file_is_known_as_it_was_ingested_until_a_byte_changes(store: Store, tmp_path: Path, older: bool):
    """Its fingerprint tells, also the SHA-256 that stores kept in its place before."""
    path = tmp_path / "chat.tsv"
    path.write_bytes(b"r1\tuser\thello\n")
    kept = hashlib.sha256(path.read_bytes()).hexdigest() if older else fingerprint(path)
    store.add(Origin(path.resolve(), kept, "chat-log"), [], thread_of)
    assert is_as_ingested(store, path)
    path.write_bytes(b"r1\tuser\tHello\n")
    assert not is_as_ingested(store, path)


def test_writers_queue_and_readers_read_meanwhile(where: Location):
    """Eight threads with stores of their own write to one store at once; nothing is locked out, nothing is lost."""
    Store.open(where).close()

    def write(number: int) -> int:
        with Store.open(where) as mine:
            store_new = mine.add(Origin(Path(f"{number}.jsonl"), f"{number:064x}", "otlp"), [span(number * 100 + k) for k in range(50)], thread_of).new
            assert mine.run_ids() == []
            return store_new

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 400
    with Store.open(where) as reader:
        assert len(next(reader.groups([f"{1:032x}"], [])).spans) == 400
        assert reader.verify() == []


def test_a_checkpoint_that_gained_writes_counts_as_the_newest(store: Store):
    """A thread that was read while it ran, and again later, shows its later writes."""
    early = Checkpoint(thread_id="t", checkpoint_id="c1")
    store.add(ORIGIN, [early], thread_of)
    store.add(ORIGIN, [early.model_copy(update={"writes": (Write(task_id="k", idx=0, channel="x", value=1),)})], thread_of)
    (group,) = store.groups([], ["t"])
    assert [len(one.writes) for one in group.checkpoints] == [1]


def test_what_came_in_live_is_pending_until_it_is_settled(store: Store):
    """Settling takes out what was pending when it was asked, not what failed or came in meanwhile, in a file and on a server."""
    store.add(ORIGIN, [span(1), Checkpoint(thread_id="t", checkpoint_id="c")], thread_of, pending=True)
    asked = store.pending()
    store.add(ORIGIN, [Checkpoint(thread_id="u", checkpoint_id="c")], thread_of, pending=True)
    store.settle(asked, failed={"t"})
    left = store.pending()
    assert (asked.traces, asked.threads) == ({span(1).trace_id}, {"t"})
    assert (left.traces, left.threads) == (set(), {"t", "u"})
    assert left.upto > asked.upto


def test_settling_ones_own_marks_leaves_those_of_others(store: Store):
    """What another writer marked before and after stays pending when an ingest says that its own runs are saved, in a file and on a server."""
    before, mine, after = (span(1, trace_id=f"{number:032x}") for number in (1, 2, 3))
    store.add(ORIGIN, [before], thread_of, pending=True)
    own = store.add(ORIGIN, [mine, sketch(user("one"), run_id="wf-1")], thread_of, pending=True)
    store.add(ORIGIN, [after], thread_of, pending=True)
    assert store.pending().histories == {"wf-1"}
    store.settle_marks(own.marks)
    assert store.pending().traces == {before.trace_id, after.trace_id}
    assert store.pending().histories == set()


def test_spans_are_renamed_and_runs_retired(store: Store):
    """A store derives anew in a file as on a server: spans get another conversation, and runs that are no more go, but not those that were forked."""
    store.add(ORIGIN, [span(1)], lambda _: "before")
    store.save_runs(
        [sketch(user("a"), run_id="old"), sketch(user("b"), run_id="forked"), sketch(user("b"), run_id="fork").model_copy(update={"forked_from": "forked"})]
    )
    assert store.rename(lambda _: "after") == 1
    assert store.everything().threads == {"after"}
    assert store.retire([]) == ["old"]
    assert sorted(store.run_ids()) == ["fork", "forked"]


# ---- on a server


def test_a_store_on_a_server_has_the_columns_that_the_row_classes_name(postgres: Server):
    """The migrations, translated, make on a server what they make in a file."""
    database = location(postgres.create())
    with Store.open(database) as store:
        inspector = inspect(store._engine)
        found = {table: {column["name"] for column in inspector.get_columns(table)} for table in inspector.get_table_names()}
    assert found.pop("workbench_store") == {"version"}
    assert found == {name: {column.name for column in table.columns} for name, table in SQLModel.metadata.tables.items()}


def test_a_store_on_a_server_that_many_make_at_once_is_made_once(postgres: Server):
    """Eight openings of a store that isn't there yet all get the same one."""
    where = location(postgres.create())

    def open_and_close(_: int) -> None:
        Store.open(where).close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_and_close, range(8)))
    with Store.open(where, create=False) as store:
        assert (store.run_ids(), store.verify()) == ([], [])


def test_the_first_schema_on_a_server_migrates_to_the_newest(postgres: Server):
    """A store that the first version made on a server opens, and holds what it held."""
    database = location(postgres.create())
    store = Store(database, dialect.server(database))
    with store._writing() as connection:
        migrate(connection, "old", MIGRATIONS[:1])
        assert dialect.version(connection) == 1
    store.close()
    with Store.open(database) as store:
        store.save_runs([sketch(user("one"))])
        assert store.run("sketch").steps[0].output.content == "one"
        assert store.verify() == []


def test_a_database_of_something_else_is_refused_untouched(postgres: Server):
    """Naming another database as the store is an error that names what it has, and makes no table in it."""
    url = postgres.create("CREATE TABLE checkpoints (x TEXT)")
    with pytest.raises(StoreError, match=r"test_\d+ is no workbench store: it has tables of something else \(checkpoints\)"):
        Store.open(location(url))
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == [("checkpoints",)]


def test_a_store_of_a_newer_version_on_a_server_is_refused(postgres: Server):
    """A newer store is not opened, and says its version."""
    database = location(postgres.create())
    with Store.open(database) as store, store._writing() as connection:
        dialect.set_version(connection, VERSION + 1)
    with pytest.raises(StoreError, match=f"newer workbench .store version {VERSION + 1}"):
        Store.open(database)


def test_a_server_that_has_no_store_or_is_not_there_is_said(postgres: Server):
    """Looking for a store where none is makes none, and the errors hold no password."""
    url = postgres.create()
    with pytest.raises(StoreError, match=r"there is no store in postgresql://owner@127") as said:
        Store.open(location(url), create=False)
    assert PASSWORD not in str(said.value)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9/none: can't be reached"):
        Store.open(location("postgresql://u:secret@127.0.0.1:9/none"))


def test_what_a_reader_sees_does_not_change_while_it_reads(where: Location):
    """A reader goes on with the snapshot it began with while a writer commits, and reading can't write."""
    with Store.open(where) as store:
        store.save_runs([sketch(user("a"), run_id="r-0")])
        with store._engine.connect() as reader:
            before = reader.execute(select(func.count()).select_from(TABLES["run"])).scalar_one()
            store.save_runs([sketch(user("b"), run_id="r-1")])
            assert reader.execute(select(func.count()).select_from(TABLES["run"])).scalar_one() == before == 1
        assert len(store.run_ids()) == 2


def test_an_id_with_a_nul_is_stored_and_found(store: Store):
    """An id that contains NUL, which PostgreSQL's text can't hold, is kept apart from others and found again."""
    added = store.add(ORIGIN, [Checkpoint(thread_id="a\0b", checkpoint_id="c"), Checkpoint(thread_id="ab", checkpoint_id="c")], thread_of)
    (group,) = store.groups([], ["a\0b"])
    assert (added.new, [one.thread_id for one in group.checkpoints]) == (2, ["a\0b"])


def test_importing_workbench_is_cheap():
    """`import workbench` loads none of the large libraries."""
    code = "import sys, workbench; print([m for m in ('plotly', 'langgraph', 'sqlmodel', 'polars', 'pydantic', 'ipywidgets') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_list_of_runs_reads_no_steps_and_says_what_the_runs_say(store: Store):
    """The overviews, in order, are those of the runs themselves, forks and hostile text included."""
    runs = [
        sketch(user("Book"), tool("book_flight", {"to": "HND"}, error="timed out"), run_id="one"),
        sketch(model("\ud800 half", tokens=10), run_id="two", sources=("a.jsonl", "b.jsonl")),
        sketch(user("Book"), run_id="fork", forked_from="one", forked_at_step=0, change=Change()),
    ]
    store.save_runs(runs)
    assert store.overviews() == [overview_of(store.run(run_id)) for run_id in store.run_ids()]
    assert {one.run_id: one.effects for one in store.overviews()}["one"] == 1


def test_what_was_counted_in_another_way_is_counted_anew(store: Store):
    """A run from before there were overviews, or from before one counted as now, is read once and then kept as the others are."""
    store.save_runs([sketch(user("Book"), tool("book_flight", {"to": "HND"}), run_id="old"), sketch(user("Look"), run_id="new")])
    run = TABLES["run"]
    with store._writing() as connection:
        connection.execute(run.update().where(run.c.run_id == "old").values(overview=None, effects=None, sources=None))
    assert {one.run_id: one.effects for one in store.overviews()} == {"old": 1, "new": 0}
    with store._writing() as connection:
        assert connection.execute(select(run.c.effects).where(run.c.run_id == "old")).scalar_one() == 1


def test_what_is_derived_while_a_file_is_read_is_derived_no_more_unless_it_is_touched_again(store: Store, monkeypatch: pytest.MonkeyPatch):
    """With more spans than are remembered, traces that went quiet are derived early; only the others, and those touched later, are left to derive."""
    monkeypatch.setattr(Store.add.__globals__["Recent"], "is_filling", True)
    monkeypatch.setitem(Store.add.__globals__, "BATCH", 2)
    early: list[str] = []

    def settle(settled) -> bool:
        early.extend(trace for trace, _ in settled)
        return True

    order = [1, 1, 2, 2, 3, 3, 4, 4, 1, 1]
    spans = [span(number, trace_id=f"{trace:032x}") for number, trace in enumerate(order, start=1)]
    added = store.add(ORIGIN, spans, thread_of, settle=settle)
    assert early == [f"{trace:032x}" for trace in (1, 2, 3)]
    assert added.traces == {f"{trace:032x}" for trace in (4, 1)}


def test_what_could_not_be_derived_early_is_left_to_be_derived(store: Store, monkeypatch: pytest.MonkeyPatch):
    """A failure while a file is read keeps none of its records from being stored, and takes nothing off what is to be derived."""
    monkeypatch.setattr(Store.add.__globals__["Recent"], "is_filling", True)
    monkeypatch.setitem(Store.add.__globals__, "BATCH", 1)
    added = store.add(ORIGIN, [span(number, trace_id=f"{number:032x}") for number in range(1, 5)], thread_of, settle=lambda _: False)
    assert len(added.traces) == count(store, "span") == 4


def test_recorded_runs_are_suggested_before_forks(store: Store):
    """Where a run's id is none, or might be several, recorded runs are named before the forks that were made of them."""
    names = ["record-2~1", "record-2~2", "record-2~3", "record-2~4", "record-2~5", "record-1", "record-2"]
    store.save_runs(
        sketch(model("done"), run_id=name).model_copy(update={"forked_from": "record-2" if "~" in name else None, "forked_at_step": 0}) for name in names
    )
    with pytest.raises(RunNotFoundError, match="it could be any of record-1, record-2, record-2~1"):
        store.resolve("rec")
    assert [store.resolve(start) for start in ("record-2", "record-1", "record-2~3")] == ["record-2", "record-1", "record-2~3"]
    with pytest.raises(RunNotFoundError, match="the nearest is record-2 or record-1 or record-2~"):
        store.resolve("recrod-2")


def test_a_run_is_known_by_its_start_when_it_has_forks(store: Store):
    """A start that a run shares with its own forks alone is that run's."""
    for name, of in (("462e57", None), ("462e57~1", "462e57"), ("462e57~1~1", "462e57~1"), ("46ff", None)):
        store.save_runs([sketch(model("done"), run_id=name).model_copy(update={"forked_from": of, "forked_at_step": 0 if of else None})])
    assert [store.resolve(start) for start in ("462e", "462e57~", "46f")] == ["462e57", "462e57~1", "46ff"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_new_store_is_its_owners_alone(tmp_path: Path):
    """The file of a store and what SQLite writes beside it can be read by nobody else, as its key; a store that was there keeps the mode it has."""
    path = tmp_path / "a.db"
    with Store.open(path) as opened, opened._writing() as connection:
        connection.execute(select(func.count()).select_from(TABLES["run"]))
        assert {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {0o600}
    path.chmod(0o640)
    Store.open(path).close()
    assert path.stat().st_mode & 0o777 == 0o640
