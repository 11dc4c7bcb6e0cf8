"""Rows out of tables as plain JSON values: Parquet, CSV and TSV with a header, ClickHouse's JSONCompactEachRowWithNames.

From Parquet, times come as nanoseconds and maps as objects. A cell of text that is a Python literal, as pandas writes lists, is its value; JSON in
text is left to whoever knows the column.
"""

from __future__ import annotations

import base64
import csv
import io
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workbench.model import Json
from workbench.reading.documents import parse_json
from workbench.reading.footers import oversized
from workbench.reading.python_literals import python_literal
from workbench.source import DAMAGED, MAX_LINE_BYTES, Source, SourceError

if TYPE_CHECKING:
    import polars as pl

Fields = dict[str, Json]

MAGIC = b"PAR1"
BATCH_ROWS = 5_000
ROWS_AT_ONCE, BYTES_AT_ONCE = 512, 64 * 1024 * 1024
LEAST_COLUMNS = 3
COLUMN = re.compile(r"[A-Za-z_][\w.:/ -]{0,200}")
UNTOLD = frozenset({"", "None", "NULL", "nan", "NaN", "\\N"})
"""How a cell of text says that there is nothing in it."""
FRACTIONS = {"ns": 1, "us": 1_000, "ms": 1_000_000}


def columns_of(source: Source) -> frozenset[str]:
    """The names of a table's columns; empty for what is none, and for one that is damaged."""
    return parquet_columns(source) if source.head.startswith(MAGIC) else frozenset(_header(source) or ())


def table_rows(source: Source) -> Iterator[tuple[int, Fields]]:
    """Each row of a table with its number: from 0 in Parquet, in text the line it ends in. SourceError where it can't be read on."""
    if source.head.startswith(MAGIC):
        yield from parquet_rows(source)
        return
    names = _header(source) or []
    for number, cells in _json_rows(source) if source.head.startswith(b"[") else _text_rows(source):
        if cells != names:
            yield number, dict(zip(names, cells, strict=False))


def _header(source: Source) -> list[str] | None:
    """The names in the first line of a table of text; None where it is none."""
    line = source.head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].decode("utf-8", "replace").strip("\r")
    try:
        names = parse_json(line) if line.startswith("[") else next(csv.reader([line], delimiter=_delimiter(line)), [])
    except (ValueError, csv.Error):
        return None
    usable = isinstance(names, list) and all(isinstance(name, str) and COLUMN.fullmatch(name) for name in names)
    return names if usable and len(set(names)) == len(names) >= LEAST_COLUMNS else None


def _delimiter(line: str) -> str:
    return "\t" if "\t" in line else ","


def _text_rows(source: Source) -> Iterator[tuple[int, list[Json]]]:
    """The rows of CSV or TSV, header included, as text; a row may go over several lines."""
    csv.field_size_limit(MAX_LINE_BYTES)
    delimiter = _delimiter(source.head.partition(b"\n")[0].decode("utf-8", "replace"))
    with io.TextIOWrapper(source.open(), encoding="utf-8-sig", errors="replace", newline="") as stream:
        rows = csv.reader(stream, delimiter=delimiter)
        try:
            for row in rows:
                yield rows.line_num, row if rows.line_num == 1 else [_cell(text) for text in row]
        except (*DAMAGED, csv.Error) as error:
            raise SourceError(f"{source.path}:{rows.line_num}: cut off or damaged: {error}") from error


def _json_rows(source: Source) -> Iterator[tuple[int, list[Json]]]:
    """The rows of JSONCompactEachRow, the names included and the types of the columns, which may follow them, left out."""
    for number, line in source.lines():
        try:
            row = parse_json(line) if isinstance(line, bytes) else None
        except ValueError:
            row = None
        if not isinstance(row, list):
            raise SourceError(f"{source.path}:{number}: no list of a row's values")
        if number != 2 or "String" not in row:  # noqa: PLR2004  # the second line
            yield number, row


def _cell(text: str) -> Json:
    """What a cell of text says: nothing, a Python literal's value, or the text. Nothing is ever evaluated."""
    if text in UNTOLD:
        return None
    if text[0] not in "{[":
        return text
    try:
        value = parse_json(text)
    except ValueError:
        try:
            found = python_literal(text)
        except ValueError:
            return text
        return text if found is None else found
    return text if value else value


def parquet_columns(source: Source) -> frozenset[str]:
    """The names of a Parquet file's columns; empty for another kind of file, for one inside a compression, and for a damaged one."""
    found = _schema(source)
    return frozenset() if isinstance(found, str) else found  # a damaged file is claimed by nobody; `damage` says what is wrong with it


def damage(source: Source) -> str | None:
    """What is wrong with a file that is Parquet by its first bytes and can't be opened as such; None for any other."""
    found = _schema(source)
    return f"Parquet, cut off or damaged: {found}" if isinstance(found, str) else None


def _schema(source: Source) -> frozenset[str] | str:
    """The names of a Parquet file's columns, none for another kind of file; what polars says of a damaged one."""
    if not source.head.startswith(MAGIC) or source.compressed:
        return frozenset()
    import polars as pl  # noqa: PLC0415  # few files need it, and importing it takes a while

    try:
        return frozenset(pl.scan_parquet(source.path, glob=False).collect_schema().names())
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        return str(error)


def parquet_rows(source: Source) -> Iterator[tuple[int, Fields]]:
    """Each row of a Parquet file with its number from 0. SourceError where the file can't be read on, and for one that would not fit into memory."""
    import polars as pl  # noqa: PLC0415  # as above

    if reason := oversized(source.path):
        raise SourceError(f"{source.path}: {reason}; write it anew with smaller row groups")
    start = 0
    while True:
        try:
            batch = pl.scan_parquet(source.path, glob=False).slice(start, BATCH_ROWS).collect()
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise SourceError(f"{source.path}:row {start}: cut off or damaged: {error}") from error
        for number, row in enumerate(_plain(batch).iter_rows(named=True, buffer_size=_at_once(batch)), start):
            yield number, {key: _json(value) for key, value in row.items()}
        start += batch.height
        if batch.height < BATCH_ROWS:
            return


def _at_once(batch: pl.DataFrame) -> int:
    """How many rows to turn into Python's values at a time: a column that says one long text again and again is small until then."""
    import polars as pl  # noqa: PLC0415  # as above

    texts = [pl.col(name).cast(pl.Binary).bin.size().cast(pl.Int64).max() for name, kind in batch.schema.items() if kind in (pl.String, pl.Binary)]
    longest = sum(size or 0 for size in batch.select(texts).row(0)) if texts and batch.height else 0
    return max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // max(longest, 1)))


def _plain(batch: pl.DataFrame) -> pl.DataFrame:
    """The frame with times as nanoseconds since 1970, at the top level and in lists."""
    import polars as pl  # noqa: PLC0415  # as above

    times = [_in_ns(pl.col(name), kind).alias(name) for name, kind in batch.schema.items() if isinstance(kind, pl.Datetime)]
    lists = [
        pl.col(name).list.eval(_in_ns(pl.element(), kind.inner)).alias(name)
        for name, kind in batch.schema.items()
        if isinstance(kind, pl.List) and isinstance(kind.inner, pl.Datetime)
    ]
    return batch.with_columns(*times, *lists)


def _in_ns(column: pl.Expr, kind: Json) -> pl.Expr:
    import polars as pl  # noqa: PLC0415  # as above

    return column.cast(pl.Int64) * FRACTIONS[kind.time_unit]


def _json(value: Json) -> Json:
    """A value as JSON has it. A map comes from Parquet as a list of {key, value}."""
    if isinstance(value, list):
        pairs = bool(value) and all(isinstance(item, dict) and item.keys() == {"key", "value"} for item in value)
        return {str(item["key"]): _json(item["value"]) for item in value} if pairs else [_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _json(inner) for key, inner in value.items()}
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _text(value: bytes) -> str:
    """Bytes as the text they are, for ClickHouse writes its strings so; else as base64."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii")
