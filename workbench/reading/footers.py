"""What a Parquet file says of its own sizes, read before anything of it is unpacked: a small file can hold pages that grow to terabytes.

Both places are read that a decoder allocates by: the footer (rows and values of each row group) and the header before each page. They are Thrift
structures in its compact protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md), with the fields of
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift. Nothing but lengths and numbers is taken from them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

Value = int | bytes | list["Value"] | dict[int, "Value"] | None

MAGIC, TAIL_BYTES = b"PAR1", 8
MAX_FOOTER_BYTES = 64 * 1024 * 1024
MAX_GROUP_BYTES = 1024 * 1024 * 1024
MAX_GROUP_ROWS = 20_000_000
MAX_GROUPS, MAX_PAGES = 100_000, 1_000_000
HEADER_BYTES = 64 * 1024
MAX_DEPTH = 20
ROW_GROUPS, COLUMNS, GROUP_ROWS, CHUNK_METADATA = 4, 1, 3, 3
NUM_VALUES, COMPRESSED, DATA_AT, DICTIONARY_AT = 5, 7, 9, 11
PAGE_UNPACKED, PAGE_PACKED = 2, 3
TRUE, FALSE, BYTE, DOUBLE, BINARY, LISTS, STRUCT = 1, 2, 3, 7, 8, (9, 10), 12
INTEGERS = (4, 5, 6)


def oversized(path: Path) -> str | None:
    """Why a Parquet file would not fit into memory, in words; None for one that does, and for one whose sizes can't be read: no decoder reads it either."""
    try:
        with path.open("rb") as stream:
            for number, group in enumerate(_groups(stream)):
                if reason := _too_much(stream, group):
                    return f"row group {number} {reason}"
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error):
        return None
    return None


def _too_much(stream: BinaryIO, group: dict[int, Value]) -> str | None:
    rows = cast("int", group[GROUP_ROWS])
    if rows > MAX_GROUP_ROWS:
        return f"has {rows:,} rows; at most {MAX_GROUP_ROWS:,} are read at once"
    total = 0
    for column in cast("list[dict[int, dict[int, Value]]]", group[COLUMNS]):
        chunk = column[CHUNK_METADATA]
        total += sum(unpacked for unpacked in _pages(stream, chunk))
        if (values := cast("int", chunk[NUM_VALUES])) > MAX_GROUP_ROWS:
            return f"has {values:,} values in a column; at most {MAX_GROUP_ROWS:,} are read at once"
        if total > MAX_GROUP_BYTES:
            return f"unpacks to more than {MAX_GROUP_BYTES:,} bytes"
    return None


def _groups(stream: BinaryIO) -> list[dict[int, Value]]:
    """The row groups of the footer. ValueError for a file that has none."""
    size = stream.seek(0, 2)
    stream.seek(max(size - TAIL_BYTES, 0))
    length, magic = struct.unpack("<I4s", stream.read(TAIL_BYTES))
    if magic != MAGIC or length > min(size - TAIL_BYTES, MAX_FOOTER_BYTES):
        raise ValueError("no footer")
    stream.seek(size - TAIL_BYTES - length)
    groups = _Compact(stream.read(length)).struct()[ROW_GROUPS]
    return cast("list[dict[int, Value]]", groups)[:MAX_GROUPS]


def _pages(stream: BinaryIO, chunk: dict[int, Value]) -> Iterator[int]:
    """The unpacked size of each page of a column, by the page's own header."""
    at = min(cast("int", chunk[key]) for key in (DATA_AT, DICTIONARY_AT) if chunk.get(key))
    end = at + cast("int", chunk[COMPRESSED])
    for _ in range(MAX_PAGES):
        if at >= end:
            return
        stream.seek(at)
        reader = _Compact(stream.read(HEADER_BYTES))
        header = reader.struct()
        yield cast("int", header[PAGE_UNPACKED])
        at += reader.at + cast("int", header[PAGE_PACKED])


@dataclass
class _Compact:
    """Reads Thrift's compact protocol: structures as their fields by number."""

    data: bytes
    at: int = 0
    depth: int = 0

    def struct(self) -> dict[int, Value]:
        """A structure, its fields by their numbers."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError("nested too deep")
        found: dict[int, Value] = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._integer()
            found[field] = self._value(head & 15)
        self.depth -= 1
        return found

    def _value(self, kind: int) -> Value:
        if kind in (TRUE, FALSE):
            return int(kind == TRUE)
        if kind in INTEGERS:
            return self._integer()
        if kind == STRUCT:
            return self.struct()
        if kind in LISTS:
            return self._list()
        if kind == BINARY:
            return self._take(self._varint())
        if kind in (BYTE, DOUBLE):
            return self._take(1 if kind == BYTE else 8)
        raise ValueError(f"no kind {kind}")

    def _list(self) -> Value:
        head = self._byte()
        count = head >> 4 if head >> 4 != 15 else self._varint()  # noqa: PLR2004  # 15 means that the count follows
        if count > len(self.data):
            raise ValueError("a list longer than the file")
        return [self._item(head & 15) for _ in range(count)]

    def _item(self, kind: int) -> Value:
        return self._byte() if kind in (TRUE, FALSE) else self._value(kind)  # in a list a truth value takes a byte

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128 or shift > 63:  # noqa: PLR2004  # seven bits a byte, 64 in all
                return value

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]
