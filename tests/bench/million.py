"""A million spans in one file: how much memory ingesting them takes, and whether the last go in as fast as the first.

    python -m tests.bench.million [SPANS]

Runs on request (`make bench-million`): the file has some six gigabytes with the shared generator. A process of its own ingests it; the rate is taken
from the time at which each tenth of the file was read, deriving included.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import workbench
from tests.bench.spans import write_spans
from workbench import collection
from workbench.model import Span

TENTHS = 10


def ingest(path: Path, spans: int) -> None:
    """Ingest in this process; prints the seconds at which each tenth was done, and the most memory it took, in bytes."""
    seen, marks = 0, [time.monotonic()]
    collect = collection._until_broken  # the one place every record of a file passes

    def counted(*arguments: object) -> object:
        nonlocal seen
        for record in collect(*arguments):  # type: ignore[arg-type]
            seen += isinstance(record, Span)
            if seen * TENTHS >= spans * len(marks):
                marks.append(time.monotonic())
            yield record

    collection._until_broken = counted  # type: ignore[assignment]
    bench = workbench.open(path.with_suffix(".db"))
    bench.ingest(path)
    bench.close()
    marks.append(time.monotonic())
    print(json.dumps({"marks": marks, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def main(spans: int = 1_000_000) -> None:
    """Print memory, rate and flatness."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        path = write_spans(folder, spans)
        command = [sys.executable, "-m", "tests.bench.million", str(path), str(spans)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        marks = found["marks"]
        first, last = marks[1] - marks[0], (marks[-2] if len(marks) > TENTHS else marks[-1]) - marks[-3]
        print(f"{spans:,} spans, {path.stat().st_size / 1e9:.1f} GB, {spans / (marks[-1] - marks[0]):,.0f} spans a second")
        print(f"  memory: {found['bytes'] / 1e9:.2f} GB (wanted: ≤ 1 GB)")
        print(f"  rate of the last tenth: {first / last:.0%} of the first (wanted: ≥ 80 %)")
        print(f"  left to do after the last span was read: {marks[-1] - marks[-2]:.1f} s")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[2:]:
        ingest(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main(*(int(argument) for argument in sys.argv[1:]))
