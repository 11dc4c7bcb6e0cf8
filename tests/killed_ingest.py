"""Ingests the given files into a new store again and again, each time killed at a random moment: `killed_ingest.py LIVES FOLDER FILE…`.

It forks itself, so that no life has to start Python anew. For each it prints, as a line of JSON, what the killed process had said and how it ended.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

from workbench.cli import app


def live(store: Path, files: list[str], seconds: float | None) -> tuple[str, int]:
    """Ingest as `workbench ingest --json` does, in a process of its own; what it said and its exit status, -9 where it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        sys.stdout = os.fdopen(writing, "w")
        app(["ingest", *files, "--store", str(store), "--json"], standalone_mode=False)
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    until, said = None if seconds is None else time.monotonic() + seconds, b""
    while select.select([reading], [], [], None if until is None else max(0.0, until - time.monotonic()))[0]:
        block = os.read(reading, 65536)
        said += block
        if not block:
            break
    os.kill(child, signal.SIGKILL)  # a child that has ended is still there to be waited for
    os.close(reading)
    return said.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(lives: int, folder: Path, files: list[str]) -> None:
    """Take the time of a whole ingest, then kill so many in the midst of theirs."""
    begun, chosen = time.monotonic(), random.Random(5)
    live(folder / "whole.db", files, None)
    whole = time.monotonic() - begun
    for number in range(lives):
        said, status = live(folder / f"{number}.db", files, chosen.uniform(0, whole))
        sys.stdout.write(json.dumps({"store": f"{number}.db", "said": said, "status": status}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
