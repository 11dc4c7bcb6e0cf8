"""Sources: compression seen through, lines bounded, databases read without a trace; and JSON taken out of them safely."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import sqlite3
from pathlib import Path

import pytest
import zstandard

from workbench import source
from workbench.reading import documents
from workbench.reading.documents import first_keys, json_documents, parse_json
from workbench.source import Source, SourceError, readonly

COMPRESS = {"plain": bytes, "gzip": gzip.compress, "xz": lzma.compress, "zstd": zstandard.ZstdCompressor().compress}


def written(folder: Path, content: bytes) -> Source:
    """A file with this content, whose name says nothing, as a source."""
    path = folder / "file"
    path.write_bytes(content)
    return Source(path)


def listing(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("how", COMPRESS)
def test_compression_is_seen_through_by_its_magic_bytes(how: str, tmp_path: Path):
    """Head, content and lines are those of the decompressed file, whatever the file is called."""
    content = b"first\r\n\n  \nsecond" + b" " * 5000
    found = written(tmp_path, COMPRESS[how](content))
    assert found.head == content[:4096]
    assert found.read() == content
    with found.open() as stream:
        assert (len(stream.read(7)), found.position) == (7, 7)
    assert [(number, line) for number, line in found.lines() if isinstance(line, bytes)] == [(1, b"first"), (4, b"second" + b" " * 5000)]
    assert found.compressed is (how != "plain")


@pytest.mark.parametrize("how", ["gzip", "xz"])
def test_a_damaged_archive_is_a_source_error(how: str, tmp_path: Path):
    """An archive that is cut off or whose bytes were changed raises SourceError with the file's name, wherever reading meets the damage."""
    whole = COMPRESS[how](bytes(range(256)) * 40)
    for broken in (whole[: len(whole) // 2], whole[:20] + bytes(byte ^ 0xFF for byte in whole[20:60]) + whole[60:]):
        found = written(tmp_path, broken)
        with pytest.raises(SourceError, match="file: cut off or damaged"):
            found.read()
        assert isinstance(list(found.lines())[-1][1], SourceError)


def test_a_file_past_the_limit_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A document larger than the limit is refused with the way out, before it fills the memory."""
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 10)
    assert written(tmp_path, b"x" * 10).read() == b"x" * 10
    with pytest.raises(SourceError, match="more than 10 bytes in one document; split it, or export it as JSON lines"):
        written(tmp_path, b"x" * 11).read()


def test_a_line_past_the_limit_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A line that is too long comes as an error at its number; the lines around it are read."""
    monkeypatch.setattr(source, "MAX_LINE_BYTES", 10)
    lines = list(written(tmp_path, b"one\n" + b"x" * 35 + b"\nthree\n").lines())
    assert [number for number, _ in lines] == [1, 2, 3]
    assert [lines[0][1], lines[2][1]] == [b"one", b"three"]
    assert str(lines[1][1]).endswith("file:2: a line of more than 10 bytes")


@pytest.mark.parametrize("how", ["gzip", "xz", "zstd"])
def test_a_bomb_is_refused_before_it_is_unpacked(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A small file that unpacks to far more than a trace's would is refused by size and place; one that packs as traces do is read, however large."""
    monkeypatch.setattr(source, "MIN_UNPACKED_BYTES", 1000)
    monkeypatch.setattr(source, "MAX_LINE_BYTES", 100)
    bomb = written(tmp_path, COMPRESS[how](b"[" + b" " * 10_000_000 + b"]"))
    packed = bomb.path.stat().st_size
    with pytest.raises(SourceError, match=f"file: its {packed:,} bytes unpack to more than {max(1000, 100 * packed):,} in one document"):
        bomb.read()
    assert [str(error).partition("file:1: ")[2][:4] for _, error in bomb.lines()] == ["a li", "its "]
    honest = bytes(random.Random(1).choices(b"0123456789", k=20_000)) * 5
    assert written(tmp_path, COMPRESS[how](honest)).read() == honest


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A SQLite database in write-ahead mode with one row, and its journal merged."""
    path = tmp_path / "rows.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE rows (value)")
        connection.execute("INSERT INTO rows VALUES (1)")
    connection.close()
    return path


def test_a_database_is_read_without_changing_its_folder(database: Path):
    """Reading a database in write-ahead mode leaves no journal beside it and not a byte of it changed; writing to it fails."""
    before = listing(database.parent)
    with readonly(database) as connection:
        assert connection.execute("SELECT value FROM rows").fetchall() == [(1,)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM rows")
    assert listing(database.parent) == before


def test_what_stands_in_the_journal_is_read(database: Path):
    """Rows that a running writer committed to its journal only are seen, and database and journal stay as they are."""
    writer = sqlite3.connect(database)
    writer.execute("INSERT INTO rows VALUES (2)")
    writer.commit()
    before = listing(database.parent)
    assert before["rows.sqlite-wal"]
    with readonly(database) as connection:
        assert connection.execute("SELECT value FROM rows").fetchall() == [(1,), (2,)]
    assert listing(database.parent) == before
    writer.close()


def test_a_database_shorter_than_it_says_is_refused(database: Path):
    """A cut-off database is an error with both sizes: SQLite itself would read its missing pages as zeros."""
    whole = database.read_bytes()
    database.write_bytes(whole[:-1])
    with pytest.raises(SourceError, match=f"{len(whole):,} bytes by its header, found {len(whole) - 1:,}"), readonly(database):
        pass


# ---- JSON


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"a": NaN, "b": -Infinity, "c": 1e999, "d": 1e3}', {"a": "NaN", "b": "-Infinity", "c": "1e999", "d": 1000.0}),
        ('["\\ud800", "\\uDFFFx", "\\ud83d\\ude00", {"\\udc00": 1}]', ["\ufffd", "\ufffdx", "\U0001f600", {"\ufffd": 1}]),
        (json.dumps("[" * 1000), "[" * 1000),
        ("[" * 200 + "]" * 200, None),
    ],
)
def test_json_is_parsed_into_what_can_be_written_again(text: str | bytes, value: object):
    """What JSON can't hold comes as text, half characters as U+FFFD, so that every parsed value can be encoded as strict JSON in UTF-8."""
    found = parse_json(text)
    assert value is None or found == value
    assert json.loads(json.dumps(found, allow_nan=False, ensure_ascii=False).encode()) == found


@pytest.mark.parametrize("text", ["", "{", b"\xff", "[" * 202 + "]" * 202, "[" * 100_000, "1" * 5000, '{"a": 1} x'])
def test_what_is_no_json_is_a_value_error(text: str | bytes):
    """Whatever the fault of a text, from broken UTF-8 to hostile nesting and endless digits, it is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


@pytest.mark.parametrize(
    ("head", "keys"),
    [
        (b'{"a": {"inner": [{"b": 1}]}, "c" : "x: \\"d\\": {", "e": [', {"a", "c", "e"}),
        (b' [ {"a": 1}, {"b": 2}]', {"a"}),
        (b'{"a": "cut off inside \\"b\\": {', {"a"}),
        (b'{"a": 1}\n{"b": 2}', {"a"}),
        (b"[[1]]", set()),
        (b'"a": 1', set()),
        (b"\x00\xff", set()),
    ],
)
def test_the_keys_of_the_first_object_are_found_in_a_head(head: bytes, keys: set[str]):
    """Only the outermost object's own keys count, of as much of it as there is."""
    assert first_keys(head) == keys


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'{"a": 1}\n{"a": 2}\n', [(1, {"a": 1}), (2, {"a": 2})]),
        (b'{"a": 1}\n{"a":\n{"a": 3}', [(1, {"a": 1}), (2, None), (3, {"a": 3})]),
        (b'{"a":\n{"a": 2}', [(1, None), (2, {"a": 2})]),
        (b'{\n "a": 1\n}', [(1, {"a": 1})]),
        (b'[\n{"a": 1}\n]', [(1, [{"a": 1}])]),
        (b'[{"a": 1},\n{"a": 2}]', [(1, [{"a": 1}, {"a": 2}])]),
    ],
)
def test_json_lines_and_one_document_are_told_apart(content: bytes, found: list[tuple[int, object]], tmp_path: Path):
    """Each line is a document of its own where the first, or after a broken one the second, is whole; else the file is one document."""
    documents_found = list(json_documents(written(tmp_path, content)))
    assert [(number, None if isinstance(value, SourceError) else value) for number, value in documents_found] == found


@pytest.mark.parametrize("content", [b'{"a":"x\xff\xc3","b":1}\n{"a":2}', b'{"a":"x\xff\xc3",\n"b":1}\n{"a":2}'], ids=["lines", "laid out"])
def test_a_byte_that_is_no_utf8_costs_no_more_than_itself(content: bytes, tmp_path: Path):
    """The document stands with U+FFFD in its place, and is preceded by what says so and in how many places; U+FFFD that stands there rightly isn't counted."""
    told, first, *rest = [document for _, document in json_documents(written(tmp_path, content))]
    assert str(told).endswith("file:1: no UTF-8 in 2 places, read as U+FFFD; the rest stands")
    assert (first, rest) == ({"a": "x\ufffd\ufffd", "b": 1}, [{"a": 2}])
    fine = '{"a":"\ufffd"}\n'.encode()
    assert str(next(json_documents(written(tmp_path, fine + b'{"a":"\xff"}')))[1]) == "{'a': '\ufffd'}"


def test_a_byte_that_is_no_utf8_where_it_breaks_json_is_an_error(tmp_path: Path):
    """Outside of a text nothing can stand in its place: the line is an error, the others are read."""
    first, second = [document for _, document in json_documents(written(tmp_path, b'{"a":1}\n{"a":\xff1}'))]
    assert first == {"a": 1}
    assert "file:2: no whole JSON document" in str(second)


def test_a_depth_past_the_limit_is_refused_in_objects_too(monkeypatch: pytest.MonkeyPatch):
    """Lists and objects count alike, whichever way they are nested."""
    monkeypatch.setattr(documents, "MAX_DEPTH", 3)
    assert parse_json('{"a": [{"b": 1}], "c": {}}') == {"a": [{"b": 1}], "c": {}}
    with pytest.raises(ValueError, match="nested deeper than 3"):
        parse_json('{"a": [{"b": [1]}], "c": {}}')
