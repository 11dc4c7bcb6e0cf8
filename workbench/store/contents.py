"""Contents under their addresses, compressed: the many of one batch together in segments, a few by themselves.

Together they compress better and faster, and a run's contents lie side by side. A segment is never changed: where something in it is deleted, what
is left moves to a new one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import zstandard
from sqlalchemy import Connection, bindparam, delete, select, update

from workbench.store.dialect import insert_new, is_server
from workbench.store.schema import TABLES

PAYLOAD, SEGMENT = TABLES["payload"], TABLES["segment"]
IN_CLAUSE = 500
COMPRESS_FROM_BYTES = 128
LEVEL, SEGMENT_LEVEL = 1, 2
WORTH_IT = 0.9
"""Compressed content is kept where it is at most this share of the plain one."""
FRAME = b"\x01"
"""What stands before a zstd frame made with `dictionary.txt`. No JSON begins so: content says by itself whether it is compressed."""
TOGETHER_FROM_BYTES = 64 * 1024
"""Fewer bytes than this are kept each by itself: a fork, a batch that came in live."""
SEGMENT_BYTES = 256 * 1024
SEGMENTS_OPEN = 16
IN_SEGMENT = bytearray()
"""What stands in place of a content that stands in a segment. No content is empty."""
PLACE = ("segment_id", "start", "size")
Addressed = tuple[str, bytes]
"""A content, behind its address."""


def save(connection: Connection, contents: Mapping[str, bytes]) -> None:
    """Write what is not stored yet. What is asked for and put is sorted as the index is, so that each of its pages is met once."""
    ordered = sorted(contents)
    known = _known(connection, ordered)
    small, apart = list[Addressed](), list[Addressed]()
    for one in contents.items():
        if one[0] not in known:
            (small if len(one[1]) <= SEGMENT_BYTES else apart).append(one)
    if sum([len(content) for _, content in small]) < TOGETHER_FROM_BYTES:
        small, apart = [], apart + small
    rows: dict[str, tuple[Any, ...]] = {address: (bytearray.fromhex(address), shut(content), None, None, None) for address, content in apart}
    for address, segment_id, start, size in _put_together(connection, small):
        rows[address] = bytearray.fromhex(address), IN_SEGMENT, segment_id, start, size
    insert_new(connection, PAYLOAD, [rows[address] for address in ordered if address in rows])


def _put_together(connection: Connection, contents: Iterable[Addressed]) -> Iterator[tuple[str, int, int, int]]:
    """Write segments; gives for each content in which it is, where, and how long."""
    rest = iter(contents)
    while part := _of_one_segment(rest):
        segment_id, start = _put_segment(connection, b"".join([content for _, content in part])), 0
        for address, content in part:
            size = len(content)
            yield address, segment_id, start, size
            start += size


def _of_one_segment(contents: Iterator[Addressed]) -> list[Addressed]:
    found, size = list[Addressed](), 0
    for one in contents:
        found.append(one)
        size += len(one[1])
        if size >= SEGMENT_BYTES:
            break
    return found


def _put_segment(connection: Connection, content: bytes) -> int:
    query = SEGMENT.insert().values(content=_segment_compressor().compress(content)).returning(SEGMENT.c.segment_id)
    return int(connection.execute(query).scalar_one())


def fetch(connection: Connection, addresses: Iterable[str]) -> dict[str, bytes]:
    """The contents behind these addresses, those that are there. ValueError for one that is damaged."""
    found: dict[str, bytes] = {}
    for batch in batched(addresses, IN_CLAUSE):
        for row in connection.execute(select(PAYLOAD).where(PAYLOAD.c.sha256.in_([*map(bytes.fromhex, batch)]))).all():
            found[row.sha256.hex()] = _content(connection, row)
    return found


def every(connection: Connection) -> Iterator[tuple[str, bytes | ValueError]]:
    """Every address with its content, or what is wrong with it; segment by segment."""
    query = select(PAYLOAD).order_by(PAYLOAD.c.segment_id, PAYLOAD.c.start)
    for row in connection.execution_options(yield_per=IN_CLAUSE).execute(query):
        try:
            yield row.sha256.hex(), _content(connection, row)
        except ValueError as error:
            yield row.sha256.hex(), error


def remove(connection: Connection, addresses: Iterable[str]) -> int:
    """Delete contents; returns how many bytes they took by themselves, or would have."""
    size, segments = 0, set[int]()
    for batch in batched(addresses, IN_CLAUSE):
        here = PAYLOAD.c.sha256.in_([*map(bytes.fromhex, batch)])
        for row in connection.execute(select(PAYLOAD).where(here)):
            size += len(row.content) or row.size
            segments |= {row.segment_id} - {None}
        connection.execute(delete(PAYLOAD).where(here))
    for segment_id in segments:
        _move_out(connection, segment_id)
    return size


def _move_out(connection: Connection, segment_id: int) -> None:
    """Put what is left of a segment into a new one, and delete it."""
    left = connection.execute(select(PAYLOAD).where(PAYLOAD.c.segment_id == segment_id)).all()
    if left:
        contents = {row.sha256.hex(): _content(connection, row) for row in left}
        moved = [{"address": bytes.fromhex(address), **dict(zip(PLACE, place, strict=True))} for address, *place in _put_together(connection, contents.items())]
        values: dict[str, Any] = {name: bindparam(name) for name in PLACE}
        connection.execute(update(PAYLOAD).where(PAYLOAD.c.sha256 == bindparam("address")).values(values), moved)
    connection.execute(delete(SEGMENT).where(SEGMENT.c.segment_id == segment_id))


def _content(connection: Connection, row: Any) -> bytes:
    if row.segment_id is None:
        return unshut(row.content)
    segment = _segment(connection, row.segment_id)
    return segment[row.start : row.start + row.size]


def _segment(connection: Connection, segment_id: int) -> bytes:
    """A segment's plain bytes. The last few stay open with the connection: a segment's number is never given again."""
    opened: dict[int, bytes] = connection.info.setdefault("segments", {})
    if segment_id not in opened:
        stored = connection.execute(select(SEGMENT.c.content).where(SEGMENT.c.segment_id == segment_id)).scalar()
        if stored is None:
            raise ValueError(f"its segment {segment_id} is missing")
        try:
            content = zstandard.ZstdDecompressor().decompress(stored)
        except zstandard.ZstdError as error:
            raise ValueError(f"its segment {segment_id} is damaged: {error}") from error
        for number in itertools.islice(list(opened), max(0, len(opened) - SEGMENTS_OPEN + 1)):
            del opened[number]
        opened[segment_id] = content
    return opened[segment_id]


def _known(connection: Connection, addresses: Iterable[str]) -> set[str]:
    """Those of these addresses that are stored already."""
    found: set[str] = set()
    for batch in batched(addresses, IN_CLAUSE):
        if is_server(connection):
            query = select(PAYLOAD.c.sha256).where(PAYLOAD.c.sha256.in_([*map(bytes.fromhex, batch)]))
            found.update(known.hex() for known in connection.execute(query).scalars())
        else:  # asked for every batch that comes in: the driver's own way costs a fifth
            marks = ", ".join("?" * len(batch))
            rows = connection.exec_driver_sql(f"SELECT sha256 FROM payload WHERE sha256 IN ({marks})", tuple(map(bytearray.fromhex, batch)))  # noqa: S608  # marks
            found.update(known.hex() for (known,) in rows)
    return found


def batched(values: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    """The values in tuples of at most this size."""
    rest = iter(values)
    while batch := tuple(itertools.islice(rest, size)):
        yield batch


# ---- compression


@cache
def _dictionary() -> zstandard.ZstdCompressionDict:
    """Words and names that most traces share, so that short content compresses too. Never edit the file: what is stored needs it to be read."""
    content = files("workbench.store").joinpath("dictionary.txt").read_bytes()
    return zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


@cache
def _compressor() -> zstandard.ZstdCompressor:
    dictionary = _dictionary()
    dictionary.precompute_compress(level=LEVEL)
    return zstandard.ZstdCompressor(level=LEVEL, dict_data=dictionary, write_checksum=False)


@cache
def _segment_compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=SEGMENT_LEVEL, write_checksum=False)


@cache
def _decompressor() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(dict_data=_dictionary())


def shut(content: bytes) -> bytes:
    """Content as it is stored by itself: compressed where that is worth it."""
    if len(content) < COMPRESS_FROM_BYTES:
        return content
    compressed = FRAME + _compressor().compress(content)
    return compressed if len(compressed) <= len(content) * WORTH_IT else content


def shut_checked(content: bytes) -> bytes:
    """Content that has no hash to be checked by: compressed with a checksum."""
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(content)


def unshut_checked(stored: bytes) -> bytes:
    """Content as `shut_checked` was given it. ValueError for a damaged frame."""
    try:
        return zstandard.ZstdDecompressor().decompress(stored)
    except zstandard.ZstdError as error:
        raise ValueError(f"damaged: {error}") from error


def unshut(stored: bytes) -> bytes:
    """Content as it was put. ValueError for a damaged frame."""
    if not stored.startswith(FRAME):
        return stored
    try:
        return _decompressor().decompress(stored[len(FRAME) :])
    except zstandard.ZstdError as error:
        raise ValueError(f"damaged: {error}") from error
