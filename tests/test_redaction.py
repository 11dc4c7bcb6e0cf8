"""What must not be kept never reaches the store, and what joining rests on is never touched."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import workbench
from tests.postgres import Server
from workbench import collection
from workbench.account_numbers import IBAN_LENGTHS, is_card, is_iban
from workbench.cli import app
from workbench.collection import add_live, ingest, redactor_of
from workbench.database import location
from workbench.model import Checkpoint, Conversation, Log, Message, Run, Skip, Span, SpanEvent, ToolCall, Write
from workbench.redaction import KINDS, RedactionError, Redactor, Rules, is_placeholder, key_beside, parse_rules, rules_of
from workbench.sketch import model, sketch, tool, user
from workbench.store import Origin, Store

KEY = b"k" * 32
SAMPLES = Path(__file__).resolve().parents[1] / "sample_traces"
API_KEY = "sk-proj-" + "Ab3" * 12
EVERYTHING = Rules(kinds=KINDS)
PSEUDONYM = re.compile(r"\[redacted \w+ [0-9a-f]{12}\]")


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
    """By default secrets, card numbers and IBANs are replaced, and e-mail addresses are not."""
    found, counts = redacted(f"{API_KEY} 4111 1111 1111 1111 DE89370400440532013000 someone@example.org", Rules())
    assert found.endswith("] someone@example.org")
    assert counts == {"secret": 1, "card": 1, "iban": 1}


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
    assert is_card("4111111111111111")
    assert not is_card("0000000000000000")
    assert is_iban("GB82 WEST 1234 5698 7654 32")


def test_what_comes_in_live_is_redacted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A span that an exporter or the receiver brings loses its secret before it is stored, which is counted each time."""
    monkeypatch.chdir(tmp_path)
    with Store.open(tmp_path / "x.db") as store:
        told = [add_live(store, Origin(Path("live"), "00" * 32, "live"), [span(note=f"use {key}")]).redacted for key in ("none", API_KEY, API_KEY)]
        assert told == [{}, {"secret": 1}, {"secret": 1}]
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


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"password": "correct horse battery staple"}', '{"password": "~"}'),
        ('{"password": "a\\"b-Tail99"}', '{"password": "~"}'),
        ('{"password": 12345678, "n": 1}', '{"password": "~", "n": 1}'),
        ('{"card": 4111111111111111, "amount": 5}', '{"card": "~", "amount": 5}'),
        ('so {"card": 4111111111111111} it was', 'so {"card": "~"} it was'),
        ('{"password":{"value":"x1","old":["x2",3]}}', '{"password":{"value":"~","old":["~","~"]}}'),
        ('{"headers": [{"name": "Authorization", "value": "Basic Ym9iOlRhcGlyUGFzczE="}]}', '{"headers": [{"name": "Authorization", "value": "Basic ~"}]}'),
        ('{"headers": [["x-api-key", "hunter2"]]}', '{"headers": [["x-api-key", "~"]]}'),
        ('{"args": ["run", "--password", "x", "y"]}', '{"args": ["run", "--password", "~", "y"]}'),
        ('{"password": "cut off', '{"password": "~ off'),
        (json.dumps({"a": json.dumps({"b": json.dumps({"pwd": "x"})})}), json.dumps({"a": json.dumps({"b": json.dumps({"pwd": "~"})})})),
        ("{'password': {'value': 'x'}, 'n': 1}", "{'password': '~', 'n': 1}"),
    ],
)
def test_json_stays_json_and_a_value_goes_whole(before: str, after: str):
    """A quoted value, a number, a list or an object under a secret's name goes whole, at any depth, and what was JSON can still be read."""
    assert PSEUDONYM.sub("~", redacted(before)[0]) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("openai_api_key=abc", "openai_api_key=~"),
        ("OPENAI_API_KEY=k1\nAWS_SECRET_ACCESS_KEY=b/c+d", "OPENAI_API_KEY=~\nAWS_SECRET_ACCESS_KEY=~"),
        ("user:\n  password: hunter\n", "user:\n  password: ~\n"),
        ("serve --api-key k1 --port 8", "serve --api-key ~ --port 8"),
        ("['serve', '--password', 'p w']", "['serve', '--password', '~']"),
        ("<db><password>p w</password><apiKey v='1'>k</apiKey></db>", "<db><password>~</password><apiKey v='1'>~</apiKey></db>"),
        ("https://x.org/v1?api_key=abc&q=1", "https://x.org/v1?api_key=~&q=1"),
        ("https://x.org/v1?X-Amz-Signature=00deadbeefcafe0123&q=1", "https://x.org/v1?X-Amz-Signature=~&q=1"),
        ("Server=db;User Id=sa;Password=abc;Port=1", "Server=db;User Id=sa;Password=~;Port=1"),
        ("AccountKey=MDAwMDAw==;EndpointSuffix=x", "AccountKey=~;EndpointSuffix=x"),
        ("redis://:abc@cache:6379/0", "redis://~@cache:6379/0"),
        ("postgresql://app:p4/x@db/prod", "postgresql://~@db/prod"),
        ("curl -H 'Authorization: Basic Y3k6U2xvdGhQYXNzMw==' -H 'X-Api-Key: Stoat1' -u eve:Newt", "curl -H 'Authorization: Basic ~' -H 'X-Api-Key: ~' -u ~"),
        ("BEARER abc123def456ghi", "BEARER ~"),
        ("Cookie: sid=a1; theme=dark", "Cookie: ~"),
        ("x-auth-token: Ibis991", "x-auth-token: ~"),
        ('token="0123456789abcdefghij"', 'token="~"'),
        ("xapp-1-A0123456789-1234567890123-abcdef", "~"),
        ("ya29." + "a0AfH6SMBx" * 4, "~"),
        ("SG." + "ab1" * 7 + "." + "cd2" * 12, "~"),
        ("dapi" + "01ab" * 8, "~"),
        ("SK" + "01ab" * 8, "~"),
        ("pypi-AgEIcHlwaS5vcm" + "cCJ1" * 12, "~"),
        ("pypi-AgENdGVzdC5weXBpLm9yZw" + "cCJ1" * 12, "~"),
        ("pcsk_" + "2Ab1c_" * 12, "~"),
        ("nvapi-" + "a-1B" * 16, "~"),
        ("https://api.telegram.org/bot123456789:AA" + "Eh1-_" * 6 + "xyz/getMe", "https://api.telegram.org/bot~/getMe"),
        *(("mysql -u root -pFinch4 shop", "mysql -u root -p~ shop"), ("mysqldump -p'Finch4' --user=app shop", "mysqldump -p'~' --user=app shop")),
        ("my password: ab&cdefghijkl ok", "my password: ~ ok"),
        ("password: Finch&3Tail", "password: ~"),
        ("password: xy,zzzzzzz", "password: ~"),
        ("password = ab;cdefgh", "password = ~"),
        ("password: Finch&3;Tail, user: eve", "password: ~, user: eve"),
        ("Server = db; Password = Finch;3Tail; Port = 1", "Server = db; Password = ~; Port = 1"),
        ("password: ab12cd,user=eve;secret: cd34ef&n=1", "password: ~,user=eve;secret: ~&n=1"),
        ("https://x.org/login?password=ab12cd&debug", "https://x.org/login?password=~&debug"),
        ("export PASS_PASSWORD='a' password=ab12cd;ls -l", "export PASS_PASSWORD='~' password=~;ls -l"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQOY\n-----END PGP PRIVATE KEY BLOCK-----", "~"),
    ],
)
def test_a_secret_in_text_goes_wherever_texts_hold_them(before: str, after: str):
    """Environment files, YAML, command lines, XML, addresses, connection strings, headers and well-known tokens, each with its surroundings kept."""
    assert PSEUDONYM.sub("~", redacted(before)[0]) == after


NAMED = (
    "openai_api_key",
    "OPENAI_API_KEY",
    "aws_secret_access_key",
    "stripe_secret_key",
    "user_password",
    "newPassword",
    "http.x-auth-token",
    "db.pwd",
    "passwd",
)


@pytest.mark.parametrize("name", NAMED)
def test_a_name_that_ends_in_a_secrets_hides_its_value(name: str):
    """Prefixes, capitals and hyphens make no difference."""
    assert Redactor(Rules(), KEY).record(span(**{name: "hunter2"})).attributes[name].startswith("[redacted secret ")


def test_a_token_is_a_secret_only_where_it_looks_like_one():
    """A long text of letters and digits is; a word that was sampled, a count and the mark of a page are not."""
    kept = {
        "token": "Hello",
        "max_tokens": 4096,
        "token_type": "bearer",
        "next_page_token": "abc123def456ghi789jkl",
        "api_key_id": "AK1",
        "password_policy": "12",
    }
    after = Redactor(Rules(), KEY).record(span(access={"token": "0123456789abcdefghij"}, **kept)).attributes
    assert after == kept | {"access": {"token": after["access"]["token"]}}
    assert after["access"]["token"].startswith("[redacted secret ")


@pytest.mark.parametrize(
    "text",
    [
        *("password: str = None", "api_key=os.environ['KEY']", "password=get_password()", "login(password=self.password, token=token)", 'sql = "password=%s"'),
        *("Enter your password: ", "The password is wrong: try again", "Authorization: required", "Passwords: 3 failed", "use --password option"),
        *("PWD=/home/app", '{"pwd": "/srv/app"}', "Basic information", "Bearer with me", "docker run -u 1000:1000 x", "https://example.org:8080/path@x"),
        '{"properties": {"password": {"type": "string", "description": "of the user"}}, "required": ["password", "name"]}',
        *('{"name": "password", "in": "query", "type": "string"}', '{"password": null}', '{"password": ""}', '{"has_password": true}'),
        *("order 4111111111111112", "at 1760000000123 or 1760000000000000000", "+44 7911 123456", "6011-0000", "0.4111111111111111", "48.8588443, 2.2943506"),
        *("4bf92f3577b34da6a3ce929d0e0e4736", "4e1f0000-1111-4222-8333-444455556666", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        *("credentials: username,password", "password: none;text", "the password: required,optional words", "<label>Password:&nbsp;</label>"),
        *("password = self.password;submit()", "Password: R&D only", "find . -user mysql -u root -print", "docker run --name mysql -u 1 -p3306:3306 x"),
        *("pip install pypi-simple", "at 10:AA or 1234567890:AAbc", "nvapi-version", "mysql -u root -p shop"),
        *("4111111111111111a", "invoice 2024-0001-0002-0003", "at10 come with some nice body text 1234567890"),
    ],
)
def test_what_is_no_secret_stays(text: str):
    """Code that names a secret, prose about one, schemas, paths, order numbers, times, hashes, ids and telephone numbers are left as they are."""
    assert redacted(text) == (text, {})


@pytest.mark.parametrize(
    "number",
    [
        "4012888888881881",
        "2223003122003222",
        "30569309025904",
        "3530111333300000",
        "6011111111111117",
        "4111.1111.1111.1111",
        "4917\u00a06100\u00a00000\u00a00000",
    ],
)
def test_cards_of_each_issuer_are_found(number: str):
    """By the issuer's first digits and length, in one or in groups."""
    assert redacted(f"card={number};")[1] == {"card": 1}


@pytest.mark.parametrize("number", ["de89370400440532013000", "FR14-2004-1010-0505-0001-3M02-606", "BE68 5390 0754 7034 BANK", "NL91ABNA0417164300 EUR"])
def test_ibans_are_found_however_they_are_written(number: str):
    """In small letters, with hyphens, and with capitals after it."""
    found, counts = redacted(f"to {number} today")
    assert counts == {"iban": 1}
    assert found.endswith(number.partition("BANK")[1] + number.partition("EUR")[1] + " today")


@pytest.mark.parametrize("id_", ["ee00f7a1-1234-4567-9f80-1a6b5b977654", "be00c4d412345678", "de001f7861234567c76328", "ae00393430f477c4b3757b1"])
def test_an_id_in_hexadecimal_is_no_iban(id_: str):
    """Not even one that begins as a country's IBANs do, is as long as they are, and has the right check digits."""
    length = IBAN_LENGTHS[id_[:2].upper()]
    checked = next(text for digits in range(100) if is_iban(iban_in(text := f"{id_[:2]}{digits:02}{id_[4:]}", length)))
    assert redacted(f"node:{checked}|tool") == (f"node:{checked}|tool", {})


def iban_in(text: str, length: int) -> str:
    """As many characters of a text as an IBAN has, hyphens apart."""
    return text.replace("-", "")[:length]


def test_a_checkpoint_namespace_joins():
    """A thread's states are found by it, whatever its tasks' ids look like."""
    namespace = "send:DE89370400440532013000|tool"
    checkpoint = Checkpoint(checkpoint_id="c", thread_id="t", namespace=namespace)
    assert Redactor(EVERYTHING, KEY).record(checkpoint).namespace == namespace


def test_one_number_in_two_spellings_has_one_pseudonym():
    """So that what belongs together still joins."""
    redactor = Redactor(EVERYTHING, KEY)
    for one, other in (("4111 1111 1111 1111", "4111111111111111"), ("DE89 3704 0044 0532 0130 00", "de89370400440532013000"), ("A@x.org", "a%40x.org")):
        assert redactor.text(one) == redactor.text(other)
    assert redactor.record(span(n=4111111111111111)).attributes["n"] == redactor.text("4111111111111111")


def test_an_address_in_an_id_has_the_pseudonym_it_has_elsewhere():
    """Where addresses are asked for, what is joined by one stays joined; where they aren't, ids stay as they are."""
    ids = {"user.id": "eve@example.org", "thread_id": "eve@example.org"}
    assert len({*Redactor(EVERYTHING, KEY).record(span(**ids, note="eve@example.org")).attributes.values()}) == 1
    assert Redactor(Rules(), KEY).record(span(**ids)).attributes == ids


def test_keys_of_ones_own_hold_inside_json_text():
    """In whichever spelling, at any depth, and in text that is only partly JSON."""
    redactor = Redactor(Rules(keys=frozenset({"national_insurance_number"})), KEY)
    for name in ("nationalInsuranceNumber", "national-insurance-number", "NATIONAL_INSURANCE_NUMBER"):
        for text in (json.dumps({name: "QQ1"}), json.dumps([json.dumps({name: "QQ1"})]), f'said {{"{name}": "QQ1"'):
            assert "QQ1" not in redactor.text(text)


@pytest.mark.parametrize(
    "piece",
    [
        'password="',
        "password:\\\"'",
        '{"password":',
        '"password": {',
        "password ",
        "<password ",
        "--password ",
        "x://a:",
        "curl ",
        "eyJ",
        "GB82 ",
        "4111 ",
        "a@",
        "a.",
        "[",
        "\\",
    ],
)
def test_a_hostile_text_is_survived(piece: str):
    """What opens and never closes, at any depth, ends in a text."""
    text = piece * 2000 + '@ 1111111 password="'
    assert isinstance(Redactor(EVERYTHING, KEY).text(text), str)
