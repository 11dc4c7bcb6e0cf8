"""Share bundles: one redacted file that another workbench opens, and that still replays."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import ormsgpack
import pytest

import workbench as wb
from tests.test_cli import run as command
from workbench.reading import bundles, serde
from workbench.reading.rewriting import rewrite
from workbench.redaction import RedactionError
from workbench.sharing import SharingError, prove
from workbench.source import Source

GRAPH = "sample_traces.travel_agent:graph"
EMAIL, CARD, PASSPORT = "ada.lovelace@example.com", "4111 1111 1111 1111", "X-passport-77"
BOOKED = Path("sample_traces/booked_twice")


def every_cell(path: Path) -> bytes:
    """All that a bundle holds, cell after cell, and its raw bytes."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        cells = [cell for table in tables for row in database.execute(f"SELECT * FROM {table}") for cell in row]
    return b"".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in cells) + path.read_bytes()


def replaced(folder: Path, old: bytes, new: bytes) -> Path:
    """The sample incident with other words of the same length, in its spans and in its states."""
    assert len(old) == len(new)
    for name in ("spans.otlp.jsonl", "checkpoints.sqlite"):
        content = (BOOKED / name).read_bytes()
        assert old in content
        (folder / name).write_bytes(content.replace(old, new))
    return folder


@pytest.fixture
def bench(tmp_path: Path) -> wb.Bench:
    """The sample incident, its flight's booking called by what looks like an e-mail address."""
    (tmp_path / "raw").mkdir()
    opened = wb.open(tmp_path / "one.db")
    opened.ingest(replaced(tmp_path / "raw", b"BK-1002", b"a@bc.de"))
    return opened


def test_a_bundle_opens_elsewhere_and_replays(bench: wb.Bench, tmp_path: Path) -> None:
    """A redacted bundle, ingested by another workbench, has the same steps and findings, keeps its states, and an unchanged fork comes to the same."""
    done = bench.share(["booked-twice"], tmp_path / "case.wb", kinds=["email"])
    assert done.threads
    assert done.left_out == {}
    assert done.searched >= 1
    assert b"a@bc.de" not in every_cell(tmp_path / "case.wb")
    other = wb.open(tmp_path / "two.db")
    other.ingest(tmp_path / "case.wb")
    mine, theirs = bench.run("booked-twice"), other.run("booked-twice")
    assert [(one.kind, one.name, one.status, one.joined) for one in theirs.steps] == [(one.kind, one.name, one.status, one.joined) for one in mine.steps]
    assert [(one.detector, one.step) for one in theirs.findings] == [(one.detector, one.step) for one in mine.findings]
    at = next(step.index for step in theirs.steps if step.kind == "tool")
    assert "[redacted email " in json.dumps(theirs.state(theirs.steps[-1].index))
    forked = theirs.fork(at, graph=GRAPH, trust=True)
    assert forked.outcome == theirs.outcome
    assert (forked.receipt.calls.halted, forked.receipt.calls.blocked) == (0, 0)


def test_what_is_redacted_somewhere_is_redacted_everywhere(bench: wb.Bench, tmp_path: Path) -> None:
    """A value under a name that is to be hidden is replaced where it stands in running text too, by a pseudonym, and the count says so."""
    hidden = {call.arguments["flight"] for step in bench.run("booked-twice").steps if (call := step.tool_call) and "flight" in (call.arguments or {})}
    done = bench.share(["booked-twice"], tmp_path / "case.wb", keys=["flight"])
    assert hidden
    assert done.redacted["secret"] > 0
    assert all(one.encode() not in every_cell(tmp_path / "case.wb") for one in hidden if len(one) >= 6)


def test_a_chat_log_is_shared_whole(tmp_path: Path) -> None:
    """A run without spans or checkpoints travels as it is, with cards, addresses and named values replaced."""
    log = tmp_path / "chat.jsonl"
    said = f"I am {EMAIL}, my card is {CARD}"
    messages = [{"role": "user", "content": said}, {"role": "assistant", "content": json.dumps({"passport": PASSPORT})}]
    log.write_text(json.dumps({"run_id": "talk", "messages": messages}) + "\n", "utf-8")
    first, second = wb.open(tmp_path / "one.db"), wb.open(tmp_path / "two.db")
    first.ingest(log)
    done = first.share([first.runs()["run_id"][0]], tmp_path / "case.wb", kinds=["email", "card"], keys=["passport"])
    assert done.redacted.keys() == {"email", "secret"}  # the card was replaced as it was ingested
    content = every_cell(tmp_path / "case.wb")
    assert not [one for one in (EMAIL, CARD, PASSPORT) if one.encode() in content]
    second.ingest(tmp_path / "case.wb")
    (again,) = [second.run(run_id) for run_id in second.runs()["run_id"]]
    assert len(again.steps) == len(first.run(again.run_id).steps)


def test_a_fork_is_shared_with_its_steps_and_what_was_said_of_it(bench: wb.Bench, tmp_path: Path) -> None:
    """A fork travels with its steps, receipt and reviews, all redacted; its states don't, which is said. What people elsewhere said decides nothing here."""
    mine = bench.run("booked-twice")
    forked = mine.fork(next(step.index for step in mine.steps if step.kind == "tool"), graph=GRAPH, trust=True)
    bench.review(mine.findings[0], "dismissed", f"{EMAIL} says it was meant", by="ana")
    done = bench.share([mine, forked], tmp_path / "case.wb", kinds=["email"])
    assert "fork it again" in done.left_out[str(forked.run.conversation_id)]
    assert list(done.threads) == ["booked-twice"]
    other = wb.open(tmp_path / "two.db")
    other.ingest(tmp_path / "case.wb")
    other.ingest(shutil.copy(tmp_path / "case.wb", tmp_path / "copy.wb"))
    again = other.run(forked.run_id)
    assert (again.run.forked_from, len(again.steps)) == ("booked-twice", len(forked.steps))
    assert again.receipt is not None
    assert forked.receipt is not None
    assert again.receipt.calls == forked.receipt.calls
    assert again.receipt.notes[-1] == bundles.ELSEWHERE
    assert not [name for name in again.receipt.parent_sha256 if "/" in name]
    review = other.store.every_review("booked-twice")[0]
    assert (review.origin, review.verdict, review.key) == ("case.wb", "dismissed", mine.findings[0].key)
    assert EMAIL not in review.note
    assert (mine.bench.store.reviews()[0].by, review.by) == ("ana", None)
    assert other.store.reviews() == []
    assert "case.wb: dismissed, duplicated-effect at step 13: [redacted email" in other.run("booked-twice")._repr_html_()


def test_a_thread_that_cannot_be_redacted_stays_out(bench: wb.Bench, tmp_path: Path) -> None:
    """A thread with a pickled value is left out and named with the reason; its run can still be read."""
    with contextlib.closing(sqlite3.connect(tmp_path / "raw" / "checkpoints.sqlite")) as database, database:
        database.execute("UPDATE writes SET type = 'pickle' WHERE rowid = (SELECT min(rowid) FROM writes)")
    done = bench.share(["booked-twice"], tmp_path / "case.wb")
    assert done.threads == ()
    assert "pickle" in next(iter(done.left_out.values()))
    other = wb.open(tmp_path / "two.db")
    other.ingest(tmp_path / "case.wb")
    assert len(other.runs()) > 0


def test_a_bundle_with_an_original_left_is_not_made(bench: wb.Bench, tmp_path: Path) -> None:
    """Where something redacted is left, as in an id that must stay, the bundle is refused, no file is written, and the message doesn't say it."""
    thread = bench.run("booked-twice").run.conversation_id
    with contextlib.closing(sqlite3.connect(tmp_path / "raw" / "checkpoints.sqlite")) as database, database:
        database.execute("UPDATE checkpoints SET metadata = json_set(metadata, '$.password', ?)", (thread,))
    with pytest.raises(SharingError, match="not shared") as refused:
        bench.share(["booked-twice"], tmp_path / "case.wb")
    assert str(thread) not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir() if "case" in path.name or "share" in path.name) == []


def test_a_long_cell_is_searched_across_pages(tmp_path: Path) -> None:
    """An original that SQLite splits between two pages of the file is found in the cell."""
    path = tmp_path / "long.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE one (content TEXT)")
        database.executemany("INSERT INTO one VALUES (?)", [("x" * length + EMAIL + "y" * 9000,) for length in range(4060, 4090, 3)])
    with pytest.raises(SharingError):
        prove(path, [EMAIL])
    prove(path, ["somebody.else@example.com", "tiny"])


def test_an_unknown_kind_is_refused(bench: wb.Bench, tmp_path: Path) -> None:
    """A kind that there is not is refused with those there are."""
    with pytest.raises(RedactionError, match="secret, card, iban, email"):
        bench.share(["booked-twice"], tmp_path / "case.wb", kinds=["phone"])


def test_states_keep_their_types_when_texts_change() -> None:
    """A state's messages and other objects keep extension code, module and class; only texts differ, at any depth."""
    message = ormsgpack.Ext(5, ormsgpack.packb(["langchain_core.messages.human", "HumanMessage", {"content": f"write to {EMAIL}"}, "model_validate_json"]))
    blob = ormsgpack.packb({"messages": [message], "count": 3, "raw": b"\x00\x01", 7: "seven"}, option=ormsgpack.OPT_NON_STR_KEYS)
    again = rewrite("msgpack", blob, lambda text, _: text.replace(EMAIL, "[someone]"))
    assert serde.decode("msgpack", again).value["messages"] == [{"content": "write to [someone]", "type": "human"}]
    before, after = (serde.unpack(one)["messages"][0] for one in (blob, again))
    assert (before.code, serde.unpack(before.data)[:2], serde.unpack(before.data)[3]) == (after.code, serde.unpack(after.data)[:2], serde.unpack(after.data)[3])
    assert rewrite("msgpack", blob, lambda text, _: text) == blob


@pytest.mark.parametrize("kind", ["pickle", "msgpack+aes", "strange"])
def test_values_of_other_kinds_are_not_rewritten(kind: str) -> None:
    """A pickle, an encrypted value and one of unknown kind are refused."""
    with pytest.raises(serde.UndecodedError):
        rewrite(kind, b"x", lambda text, _: text)


def test_a_value_that_would_lose_its_type_is_not_rewritten() -> None:
    """A decimal number whose text is to be replaced is refused: LangGraph could not make a number of a pseudonym."""
    blob = ormsgpack.packb({"card": ormsgpack.Ext(0, ormsgpack.packb(["decimal", "Decimal", "4111111111111111"]))})
    with pytest.raises(serde.UndecodedError, match=r"decimal\.Decimal"):
        rewrite("msgpack", blob, lambda text, _: text.replace("4111111111111111", "[card]"))


def test_share_on_the_command_line(bench: wb.Bench, tmp_path: Path) -> None:
    """`share` says what was replaced and searched for; `ingest` opens the bundle elsewhere by its own collector."""
    told = command("share", "booked-twice", "-o", tmp_path / "case.wb", "--redact", "email", "--store", bench.store.path)
    assert "none is left" in told
    assert "is there already" in " ".join(command("share", "booked-twice", "-o", tmp_path / "case.wb", "--store", bench.store.path, status=2).split())
    summary = json.loads(command("ingest", tmp_path / "case.wb", "--store", tmp_path / "two.db", "--json"))
    assert summary["files"][0]["collector"] == "share-bundle"
    assert summary["runs"] == ["booked-twice"]
    assert Source(tmp_path / "case.wb").head.startswith(b"SQLite")
