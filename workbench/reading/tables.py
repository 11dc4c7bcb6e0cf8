"""Rows out of Parquet files as plain JSON values: times as nanoseconds, maps as objects."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workbench.model import Json
from workbench.reading.footers import oversized
from workbench.source import Source, SourceError

if TYPE_CHECKING:
    import polars as pl

Fields = dict[str, Json]

MAGIC = b"PAR1"
BATCH_ROWS = 5_000
ROWS_AT_ONCE, BYTES_AT_ONCE = 512, 64 * 1024 * 1024
FRACTIONS = {"ns": 1, "us": 1_000, "ms": 1_000_000}


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
