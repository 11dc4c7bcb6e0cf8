"""What must not be kept never reaches the store, and what joining rests on is never touched."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import workbench
from tests.postgres import Server
from workbench import collection
from workbench.cli import app
from workbench.collection import add_live, ingest, redactor_of
from workbench.database import location
from workbench.model import Checkpoint, Conversation, Log, Message, Run, Skip, Span, SpanEvent, ToolCall, Write
from workbench.redaction import KINDS, RedactionError, Redactor, Rules, iban, is_placeholder, key_beside, luhn, parse_rules, rules_of
from workbench.sketch import model, sketch, tool, user
from workbench.store import Origin, Store

KEY = b"k" * 32
SAMPLES = Path(__file__).resolve().parents[1] / "sample_traces"
API_KEY = "sk-proj-" + "Ab3" * 12
EVERYTHING = Rules(kinds=KINDS)


def span(**attributes) -> Span:
    return Span(trace_id=f"{1:032x}", span_id=f"{1:016x}", name="call", attributes=attributes)


def redacted(value, rules: Rules = EVERYTHING) -> tuple[object, dict[str, int]]:
    redactor = Redactor(rules, KEY)
    return redactor.record(span(**{"input.value": value})).attributes["input.value"], dict(redactor.counts)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (API_KEY, "secret"),
        ("AKIA" + "Q7" * 8, "secret"),
        ("ghp_" + "a1B" * 12, "secret"),
        ("xoxb-" + "123456789012-abc", "secret"),
        ("AIza" + "x" * 35, "secret"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijkl", "secret"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "secret"),
        ("4111 1111 1111 1111", "card"),
        ("5555-5555-5555-4444", "card"),
        ("378282246310005", "card"),
        ("GB82 WEST 1234 5698 7654 32", "iban"),
        ("DE89370400440532013000", "iban"),
        ("someone@example.org", "email"),
    ],
)
def test_a_known_shape_is_replaced_in_the_midst_of_text(text: str, kind: str):
    """A key, card number, IBAN or address goes, the words around it stay, and it is counted by kind."""
    found, counts = redacted(f"before {text} after")
    assert text not in found
    assert found.startswith(f"before [redacted {kind} ")
    assert found.endswith("] after")
    assert counts == {kind: 1}


@pytest.mark.parametrize(
    "text", ["4111 1111 1111 1112", "DE89370400440532013001", "1780000000000000000", "sk-learn", "Bearer with me", "https://example.org/a:b", "a@b"]
)
def test_what_only_looks_like_one_stays(text: str):
    """Numbers whose checksum is wrong, nanoseconds, and ordinary words are left alone."""
    assert redacted(f"before {text} after") == (f"before {text} after", {})


def test_personal_data_stays_unless_it_is_asked_for():
    """By default only secrets are replaced."""
    text = f"{API_KEY} someone@example.org 4111 1111 1111 1111"
    found, counts = redacted(text, Rules())
    assert found.endswith("someone@example.org 4111 1111 1111 1111")
    assert counts == {"secret": 1}


@pytest.mark.parametrize("name", ["password", "db.password", "apiKey", "X-Api-Key", "http.request.header.authorization", "client_secret"])
def test_what_stands_under_a_secret_key_is_replaced_whole(name: str):
    """Whatever it looks like, the value of a key that names a secret goes."""
    redactor = Redactor(Rules(), KEY)
    assert redactor.record(span(**{name: "hunter2"})).attributes[name].startswith("[redacted secret ")


@pytest.mark.parametrize(
    "text", ['{"password": "hunter2", "user": "ann"}', '{\\"api_key\\": \\"hunter2\\"}', "connect(password='hunter2')", "postgres://ann:hunter2@db/x"]
)
def test_a_secret_inside_json_or_code_is_replaced_and_the_rest_stays(text: str):
    """Arguments recorded as text lose the secret and stay what they were."""
    found, _ = redacted(text, Rules())
    assert "hunter2" not in found
    assert "[redacted secret " in found
    if text.startswith('{"'):
        assert json.loads(found)["user"] == "ann"


def test_ids_that_joining_rests_on_are_never_touched():
    """Ids stay as they are even where they look like what is replaced."""
    ids = dict.fromkeys(("session.id", "gen_ai.tool.call.id", "thread_id", "threadId", "langgraph_checkpoint_ns", "idempotency_key"), "4111111111111111")
    assert Redactor(EVERYTHING, KEY).record(span(**ids)).attributes == ids


def test_the_same_value_has_the_same_pseudonym_and_another_store_another():
    """What was equal stays equal within a store, across spans, messages and checkpoints, and says nothing to another store."""
    one, two = (redacted(f"{place} someone@example.org")[0].partition(" ")[2] for place in ("here", "there"))
    assert one == two
    assert Redactor(EVERYTHING, b"other" * 8).record(span(x="someone@example.org")).attributes["x"] != one


@pytest.mark.parametrize(
    "record",
    [
        span(x=API_KEY),
        Span(trace_id=f"{1:032x}", span_id=f"{1:016x}", name="n", status_message=API_KEY, events=(SpanEvent(name="exception", attributes={"m": API_KEY}),)),
        Log(trace_id=f"{1:032x}", span_id=f"{1:016x}", body={"content": [API_KEY]}),
        Checkpoint(thread_id="t", checkpoint_id="c", writes=(Write(task_id="k", idx=0, channel="messages", value=[{"content": API_KEY}]),)),
        Conversation(run_id="r", messages=(Message(role="assistant", tool_calls=(ToolCall(name="get", arguments={"header": API_KEY}),)),)),
        sketch(user(API_KEY), model("ok"), tool("get", {"a": 1}, {"found": API_KEY})),
    ],
    ids=lambda record: type(record).__name__,
)
def test_every_kind_of_record_is_redacted(record: Span | Log | Checkpoint | Conversation | Run):
    """Spans with their events, logs, checkpoints, conversations and whole runs."""
    redactor = Redactor(Rules(), KEY)
    after = redactor.record(record)
    assert API_KEY not in after.model_dump_json()
    assert after != record
    assert redactor.record(after) == after


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_what_holds_nothing_to_replace_is_the_very_same(value: object):
    """A record without anything to replace is passed on as it is, and anything is survived."""
    one = span(x=value)
    redactor = Redactor(EVERYTHING, KEY)
    after = redactor.record(one)
    assert after is one or sum(redactor.counts.values())


def test_a_rule_of_ones_own_replaces_what_it_names():
    """Custom patterns and keys work beside the built-in ones."""
    rules = parse_rules({"keys": ["badgeNumber"], "patterns": {"staff": "EMP-[0-9]{6}"}}, "pyproject.toml")
    redactor = Redactor(rules, KEY)
    after = redactor.record(span(badge_number="7", note="ask EMP-123456")).attributes
    assert after["badge_number"].startswith("[redacted secret ")
    assert after["note"].startswith("ask [redacted staff ")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"kind": []}, "has no 'kind'"),
        ({"kinds": ["phone"]}, "should be a list of"),
        ({"patterns": {"x": "("}}, "patterns.x is no regular"),
        ({"keys": 1}, "wants keys"),
    ],
)
def test_rules_that_cannot_be_used_are_an_error_that_names_them(table: dict[str, object], says: str):
    """A mistake in the configuration never means silently less redaction."""
    with pytest.raises(RedactionError, match=says):
        parse_rules(table, "pyproject.toml")


def test_the_nearest_project_says_what_is_replaced(tmp_path: Path):
    """Rules come from the pyproject.toml above the folder one works in; without one the default holds."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.workbench.redaction]\nkinds = ["email"]\n')
    assert rules_of(tmp_path / "deep") == Rules(kinds=("email",))
    (tmp_path / "pyproject.toml").write_text("[tool.workbench.redaction]\nenabled = false\n")
    assert rules_of(tmp_path / "deep") is None


def test_the_key_lies_beside_the_store_for_its_owner_alone(tmp_path: Path):
    """The secret is made once, stays the same, and nobody else can read it."""
    key = key_beside(tmp_path / "w.db")
    assert len(key) == 32
    assert key_beside(tmp_path / "w.db") == key
    assert (tmp_path / "w.db.key").stat().st_mode & 0o077 == 0


def chat_log(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    said = [{"role": "user", "content": f"use {API_KEY}"}, {"role": "assistant", "content": "done"}]
    path.write_text(json.dumps({"format": 1, "run_id": "r1", "messages": said}) + "\n")
    return path


def test_ingest_counts_what_it_replaced_and_keeps_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The summary says how many of each kind; the file holds none; --no-redaction keeps everything."""
    monkeypatch.chdir(tmp_path)
    path = chat_log(tmp_path)
    result = CliRunner().invoke(app, ["ingest", str(path), "--store", "w.db", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["redacted"] == {"secret": 1}
    with workbench.open("w.db").store as store:
        assert API_KEY not in next(store.runs()).model_dump_json()
    CliRunner().invoke(app, ["ingest", str(path), "--store", "plain.db", "--no-redaction"])
    with workbench.open("plain.db").store as store:
        assert API_KEY in next(store.runs()).model_dump_json()


def test_records_pass_untouched_without_a_redactor(tmp_path: Path):
    """`ingest(..., redactor=None)` is the way to keep everything."""
    with Store.open(tmp_path / "w.db") as store:
        done = ingest(store, [chat_log(tmp_path)], redactor=None)
        assert done.redacted == {}


def test_skips_pass_through():
    """A skip is told as it is."""
    skip = Skip(place="f:1", reason="broken")
    assert list(Redactor(Rules(), KEY).records([skip])) == [skip]


def test_checksums():
    """Luhn and MOD 97-10 accept the standards' own examples."""
    assert luhn("4111111111111111")
    assert not luhn("0000000000000000")
    assert iban("GB82 WEST 1234 5698 7654 32")


def test_what_comes_in_live_is_redacted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A span that an exporter or the receiver brings loses its secret before it is stored."""
    monkeypatch.chdir(tmp_path)
    with Store.open(tmp_path / "x.db") as store:
        add_live(store, Origin(Path("live"), "00" * 32, "live"), [span(note=f"use {API_KEY}")])
        (kept,) = next(store.groups([f"{1:032x}"], [])).spans
        assert kept.attributes["note"].startswith("use [redacted secret ")


def test_pseudonyms_in_a_store_on_a_server_are_the_same_for_everyone(postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two people in two folders get the same pseudonym, nothing lies in either folder, and a secret that lay there before is taken over."""
    where, told = location(postgres.create()), set[str]()
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / f"{where.name}.key").write_bytes(KEY)
    for number, folder in enumerate(("first", "second")):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        with Store.open(where) as store:
            add_live(store, Origin(Path(folder), f"{number:064x}", "live"), [span(note=f"use {API_KEY} {folder}")])
            told |= {one.attributes["note"].split("]")[0] for one in next(store.groups([f"{1:032x}"], [])).spans}
    assert told == {Redactor(Rules(), KEY).record(span(note=f"use {API_KEY}")).attributes["note"].split("]")[0]}
    assert list((tmp_path / "second").iterdir()) == []


def test_a_spans_name_is_redacted():
    """An instrumentor that puts a URL or a prompt into the name of a span leaks no secret by it."""
    assert API_KEY not in Redactor(Rules(), KEY).record(span().model_copy(update={"name": f"GET /?key={API_KEY}"})).name


def test_a_state_fetched_from_where_it_was_recorded_is_redacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The database it stands in still holds the secret; what is shown has the pseudonym that the store has."""
    monkeypatch.chdir(tmp_path)
    state = {"messages": [{"content": f"use {API_KEY}"}], "api_key": "hunter2", "count": 3}
    monkeypatch.setattr(Store, "checkpoint_source", lambda *_: (tmp_path, "langgraph-sqlite"))
    monkeypatch.setattr(collection, "collectors", lambda: {"langgraph-sqlite": SimpleNamespace(state=lambda *_: state)})
    run = sketch(tool("book", {}, 1)).model_copy(update={"conversation_id": "t"})
    with Store.open(tmp_path / "w.db") as store:
        shown = collection.state(store, run, run.steps[0].model_copy(update={"checkpoint_id": "c"}))
        pseudonym = redactor_of(store).record(span(note=API_KEY)).attributes["note"]
    assert shown["messages"] == [{"content": f"use {pseudonym}"}]
    assert shown["api_key"].startswith("[redacted secret ")
    assert shown["count"] == 3


@pytest.mark.parametrize(("redaction", "today", "whole"), [(False, "", True), (True, "[tool.workbench.redaction]\nenabled = false\n", False)])
def test_a_state_is_redacted_as_the_store_was_filled(redaction: bool, today: str, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A store filled whole shows states whole although today's rules redact; one filled redacted shows none although redaction is off today."""
    monkeypatch.chdir(tmp_path)
    bench = workbench.open(tmp_path / "w.db")
    bench.ingest(SAMPLES / "booked_twice", redaction=redaction)
    run = bench.store.run("booked-twice")
    step = next(step for step in run.steps if step.checkpoint_id)
    _, name = bench.store.checkpoint_source(run.conversation_id, step.namespace or "", step.checkpoint_id)
    monkeypatch.setattr(collection, "collectors", lambda: {name: SimpleNamespace(state=lambda *_: {"api_key": "hunter2"})})
    (tmp_path / "pyproject.toml").write_text(today)
    assert (collection.state(bench.store, run, step) == {"api_key": "hunter2"}) is whole


@pytest.mark.parametrize("value", ["YOUR_API_KEY", "your-token-here", "<password>", "${PASSWORD}", "$API_KEY", "{{token}}", "sk-xxxxxxxx", "dummy_key"])
def test_a_placeholder_stays(value: str):
    """What only shows where a secret goes is kept, under a secret's name and in text."""
    assert redacted(f"api_key='{value}'") == (f"api_key='{value}'", {})
    assert Redactor(EVERYTHING, b"key" * 8).record(span(password=value)).attributes["password"] == value


@pytest.mark.parametrize("value", ["hunter2", "$Passw0rd", "changeme", "MyExamplePassw0rd", "your-mom-99", "admin:admin"])
def test_what_only_resembles_a_placeholder_goes(value: str):
    """A weak password that reads like a word for one is replaced all the same."""
    assert Redactor(EVERYTHING, b"key" * 8).record(span(password=value)).attributes["password"].startswith("[redacted secret")


def test_a_text_made_to_be_taken_for_a_placeholder_in_many_ways_is_told_at_once():
    """Told way by way, this one would take longer than the age of the universe."""
    assert not is_placeholder("your_" + "a" * 70 + "1")
