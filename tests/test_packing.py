"""What the store makes smaller comes back as it was, to the last character; what recurs is kept once."""

from __future__ import annotations

import gc
import hashlib
import json
import sqlite3
import weakref
from contextlib import closing
from pathlib import Path
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.model import Json, Message, Span, SpanEvent, Tokens
from workbench.reading.documents import parse_json, parse_recurring
from workbench.sketch import model, sketch, tool, user
from workbench.store import Origin, Store
from workbench.store.contents import shut, unshut
from workbench.store.dialect import APPLICATION_ID
from workbench.store.migrations import MIGRATIONS
from workbench.store.packing import LONG_JSON, Packer, Texts, Unpacker, from_bytes, references, to_bytes
from workbench.store.payloads import Payloads, load_json

ORIGIN = Origin(Path("spans.jsonl"), "00" * 32, "otlp")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)) | st.just("long " * 80)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.sampled_from(["$text", "$items", "$object"]), inner, max_size=4),
    max_leaves=12,
)


class Kept:
    """Contents under numbered addresses."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        """Keep a content; returns its address."""
        address = next((one for one, held in self.contents.items() if held == content), f"{len(self.contents):064x}")
        self.contents[address] = content
        return address

    def fetch(self, wanted: set[str]) -> dict[str, bytes]:
        """The contents behind these addresses."""
        return {address: self.contents[address] for address in wanted if address in self.contents}


def there_and_back(value: Json) -> tuple[Json, Kept]:
    kept = Kept()
    address = kept.put(to_bytes(Packer(kept.put).pack(value)))
    return next(Unpacker(kept.fetch).load([address])), kept


@given(VALUES)
def test_every_value_comes_back_as_it_was(value: Json):
    """Whatever JSON can hold survives, also what looks like a pointer of the store, infinities and half a surrogate pair."""
    back, kept = there_and_back(value)
    assert back == value
    assert {target for content in kept.contents.values() for target in references(from_bytes(content))} <= kept.contents.keys()


@given(VALUES, st.sampled_from([(",", ":"), (", ", ": "), (" ,", ":")]), st.booleans(), st.booleans())
def test_text_that_is_json_comes_back_to_the_last_character(value: Json, separators: tuple[str, str], ascii_only: bool, listed: bool):
    """However a framework writes its messages, the recorded text is the text again, spaces and escapes included."""
    inside = [value, "x" * LONG_JSON] if listed else {"inside": value, "padding": "x" * LONG_JSON}
    text = json.dumps(inside, separators=separators, ensure_ascii=ascii_only)
    assert there_and_back({"gen_ai.input.messages": text})[0] == {"gen_ai.input.messages": text}


@given(VALUES)
def test_text_of_which_much_recurs_reads_as_any_other(value: Json):
    """Reading a list item by item gives what reading it whole gives."""
    text = json.dumps([value, value, "x" * LONG_JSON])
    assert parse_recurring(text) == parse_json(text)


def test_what_a_value_says_is_what_it_holds_beyond_its_defaults():
    """Each step of a run says what pydantic writes of it without the defaults, in the same order, whatever values stand inside."""
    asked = model("on it", calls=(("book", {"flight": "NH 11", "at": 0.5}),), tokens=12)
    steps = sketch(user("book a flight"), asked, tool("book", {"flight": "NH 11"}, "")).steps
    assert [json.dumps(step.said()) for step in steps] == [json.dumps(step.model_dump(mode="json", exclude_defaults=True)) for step in steps]
    assert {step.kind for step in steps} == {"human", "model", "tool"}


def test_values_are_equal_and_hash_alike_by_kind_and_fields():
    """Two values are equal where they are of one kind with the same fields, and then have one hash."""
    one, other = Message(role="user", content="book"), Message.unchecked(role="user", content="book")
    assert (one == other, hash(one) == hash(other), one == Message(role="user"), Tokens() == SpanEvent(name="")) == (True, True, False, False)
    assert one == ANY


def test_not_a_number_comes_back():
    """Infinities and NaN, for which JSON has no number, are numbers again."""
    back, _ = there_and_back([float("inf"), float("-inf"), float("nan")])
    assert back[:2] == [float("inf"), float("-inf")]
    assert back[2] != back[2]


@given(st.binary(max_size=2000).map(lambda content: b'"' + content))
def test_compression_gives_the_same_bytes(content: bytes):
    """Short or long, compressible or not, content is the same again."""
    assert unshut(shut(content)) == content


def test_a_message_that_fifty_calls_repeat_is_kept_once(tmp_path: Path):
    """A long text stands once in the file, although fifty spans, their messages and their steps hold it."""
    said = "What the user said. " * 100
    messages = json.dumps([{"role": "user", "content": said}], separators=(",", ":"))
    spans = [
        Span(
            trace_id=f"{1:032x}", span_id=f"{n + 1:016x}", name="chat", attributes={"gen_ai.operation.name": "chat", "gen_ai.input.messages": messages, "n": n}
        )
        for n in range(50)
    ]
    with Store.open(tmp_path / "w.db") as store:
        store.add(ORIGIN, [*spans, Span(trace_id=f"{2:032x}", span_id=f"{1:016x}", name="tool", attributes={"output.value": said})], lambda _: None)
        store.save_runs([sketch(user(said), model("ok", messages=(Message(role="user", content=said),)))])
        group, _ = store.groups([f"{1:032x}", f"{2:032x}"], [])
        assert {span.attributes["gen_ai.input.messages"] for span in group.spans} == {messages}
    with closing(sqlite3.connect(tmp_path / "w.db")) as connection:
        contents = [unshut(content) for (content,) in connection.execute("SELECT content FROM payload")]
    assert sum(content.count(said.strip().encode()) for content in contents) == 1


def test_steps_that_slide_over_a_long_history_keep_their_messages(tmp_path: Path):
    """An agent that shows its model only the last messages is stored by what is new, and read back whole."""
    history = tuple(Message(role="user", content=f"message {number}") for number in range(30))
    run = sketch(*(model("ok", messages=history[number : number + 12]) for number in range(18)))
    with Store.open(tmp_path / "w.db") as store:
        store.save_runs([run])
        assert store.run("sketch") == run


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    """A store as version 1 wrote it: a run of one step with a message, and the span it came from."""
    path = tmp_path / "old.db"
    contents = {
        "span": {"trace_id": f"{1:032x}", "span_id": f"{1:016x}", "name": "chat", "attributes": {"schema": {"$ref": "#/defs/x"}}},
        "message": {"role": "user", "content": "hello " * 100},
        "run": {"run_id": "r", "prefix": 0},
    }
    put = {name: (_sha256(value), _text(value)) for name, value in contents.items()}
    step = {"index": 0, "kind": "model", "name": "m", "kept_messages": 0, "new_messages": [put["message"][0]]}
    put["step"] = _sha256(step), _text(step)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.executemany("INSERT INTO payload VALUES (?, ?)", put.values())
        connection.execute("INSERT INTO source VALUES (1, 'old.jsonl', 'x', 'otlp')")
        connection.execute("INSERT INTO span VALUES (1, ?, ?, NULL, NULL, ?, 1)", (f"{1:032x}", f"{1:016x}", put["span"][0]))
        connection.execute("INSERT INTO run VALUES (1, 'r', 'rev', NULL, 'ok', NULL, ?)", (put["run"][0],))
        connection.execute("INSERT INTO step VALUES ('rev', 0, ?)", (put["step"][0],))
        connection.execute("PRAGMA user_version = 1")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    return path


def _text(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _sha256(value: Json) -> str:
    return hashlib.sha256(_text(value)).hexdigest()


def test_a_store_of_the_first_version_is_migrated_with_all_it_holds(first_version: Path):
    """Spans, runs and messages of a version-1 store are read as they were, and the store verifies."""
    with Store.open(first_version) as store:
        (group,) = store.groups([f"{1:032x}"], [])
        assert group.spans[0].attributes == {"schema": {"$ref": "#/defs/x"}}
        assert store.run("r").steps[0].messages == (Message(role="user", content="hello " * 100),)
        assert store.verify() == []


def test_a_damaged_frame_is_named(tmp_path: Path):
    """A compressed payload whose bytes were changed is found by verify, not read as something else."""
    with Store.open(tmp_path / "w.db") as store:
        store.save_runs([sketch(user("hello there " * 100))])
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE payload SET content = substr(content, 1, 40) WHERE length(content) > 60")
        assert any(problem.startswith("payload") for problem in store.verify())


def test_a_batch_is_free_as_soon_as_nobody_holds_it():
    """Payloads hold no circle of references: an ingest of millions of spans would wait for the garbage collector with all their texts."""
    gc.disable()
    try:
        payloads = Payloads()
        payloads.put_json({"text": "x" * 1000})
        gone = weakref.ref(payloads)
        del payloads
        assert gone() is None
    finally:
        gc.enable()


def test_a_text_that_recurs_is_hashed_once_until_there_is_no_room_or_it_is_let_go():
    """Texts remember address and content of what they were asked for, and begin anew where it is too much or they are told to."""
    texts = Texts(most_bytes=1000)
    address, content = texts.of("a" * 400)
    assert (address, content) == (hashlib.sha256(to_bytes("a" * 400)).hexdigest(), to_bytes("a" * 400))
    assert texts.of("a" * 400)[1] is content
    texts.of("b" * 900)
    assert texts.of("a" * 400)[1] is not content
    again = texts.of("a" * 400)[1]
    texts.forget()
    assert texts.of("a" * 400)[1] is not again


def test_a_text_met_in_two_batches_is_stored_in_each_that_puts_it(tmp_path: Path):
    """What is remembered of a text says nothing of what a store holds: another store that is given the same texts gets it too."""
    texts = Texts()
    for name in ("a.db", "b.db"):
        payloads = Payloads(texts)
        address = payloads.put_json({"said": "hello there " * 100})
        with Store.open(tmp_path / name) as store, store._writing() as connection:
            payloads.save(connection)
            assert load_json(connection, address) == {"said": "hello there " * 100}
