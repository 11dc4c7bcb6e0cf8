"""Ingest, durable and normalised, against a bare `sqlite3.executemany` of the same spans with JSON attributes and four indices.

    python -m tests.bench.ingest [SPANS] [ROUNDS]

The floor is told twice: inserting alone, and with the parsing that has to come before.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import workbench
from tests.bench.measuring import Spent, ratio, spent, told
from tests.bench.spans import write_spans

Row = tuple[str, str, str, str, int, int, int, str, str]
BATCH = 2_000


def rows_of(path: Path) -> Iterator[Row]:
    """The spans of a file as rows, attributes as JSON."""
    with path.open("rb") as stream:
        while prefix := stream.read(4):
            request = ExportTraceServiceRequest.FromString(stream.read(int.from_bytes(prefix, "big")))
            for span in (span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans):
                ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                attributes = json.dumps({pair.key: _plain(pair.value) for pair in span.attributes})
                yield *ids, span.name, span.start_time_unix_nano, span.end_time_unix_nano, span.status.code, span.status.message, attributes


def _plain(value: object) -> object:
    kind = value.WhichOneof("value")
    return [_plain(inner) for inner in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def floor(path: Path, target: Path) -> tuple[Spent, Spent]:
    """What parsing takes, and inserting the rows."""
    rows: list[Row] = []
    parsing = spent(lambda: rows.extend(rows_of(path)))
    return parsing, spent(lambda: insert(rows, target))


def insert(rows: list[Row], target: Path) -> None:
    """Insert the rows, batch by batch, each of them durable."""
    with closing(sqlite3.connect(target)) as connection:
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE span (trace_id, span_id, parent, name, start_ns, end_ns, status, message, attributes)",
            *(f"CREATE INDEX by_{column} ON span ({column})" for column in ("trace_id", "span_id", "start_ns", "name")),
        ):
            connection.execute(statement)
        for first in range(0, len(rows), BATCH):
            with connection:
                connection.executemany("INSERT INTO span VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows[first : first + BATCH])


def ingest(path: Path, target: Path) -> None:
    """Ingest the file: stored, normalised, flushed."""
    bench = workbench.open(target)
    bench.ingest(path)
    bench.close()


def import_seconds() -> float:
    """CPU seconds of `import workbench`, above those of an interpreter that imports nothing."""
    program = "import resource; {}; use = resource.getrusage(resource.RUSAGE_SELF); print(use.ru_utime + use.ru_stime)"
    bare, full = (
        min(float(subprocess.run([sys.executable, "-c", program.format(what)], capture_output=True, text=True, check=True).stdout) for _ in range(5))
        for what in ("pass", "import workbench")
    )
    return full - bare


def main(count: int, rounds: int) -> None:
    """Print the ratios, the median of some rounds."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        path = write_spans(folder, count)
        measured, disk = [], 0.0
        for number in range(rounds):
            parsing, inserting = floor(path, folder / f"floor{number}.db")
            ours = spent(lambda number=number: ingest(path, folder / f"store{number}.db"))  # type: ignore[misc]  # this round's number
            measured.append((ours, inserting, Spent(parsing.cpu + inserting.cpu, parsing.wall + inserting.wall)))
            disk = (folder / f"store{number}.db").stat().st_size / path.stat().st_size
            for used in folder.glob("*.db*"):
                used.unlink()
        print(f"ingest of {count:,} spans ({path.stat().st_size / count:,.0f} bytes each), {rounds} rounds")
        print(told("against executemany of rows that are made already", measured, "≤ 1 ×"))
        print(f"  against parsing, JSON and executemany: {ratio(measured, 'cpu', 0, 2):.2f} × in CPU, {ratio(measured, 'wall', 0, 2):.2f} × in wall time")
        ours, inserting, whole = (statistics.median(one[number].cpu for one in measured) / count * 1e6 for number in range(3))
        print(f"  CPU a span: {ours:.0f} µs; executemany {inserting:.0f} µs, parsing and JSON before it {whole - inserting:.0f} µs")
        print(f"  store against raw protobuf: {disk:.0%} (floor to beat: 35 %)")
        print(f"import workbench: {import_seconds():.2f} CPU seconds (floor to beat: 0.15)")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(100_000, 3)[len(given) :])
