"""CPU seconds a span beside Arize Phoenix, on the same file in the same run.

    python -m tests.bench.phoenix [SPANS]

Runs on request (`make bench-phoenix`): Phoenix is installed into a throw-away environment, and is given the file's requests over HTTP, as an exporter
would, until a second connection counts all their spans in its SQLite file. Without a package registry that can be reached, it says so and stops.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.bench.ingest import floor, ingest
from tests.bench.measuring import spent
from tests.bench.spans import write_spans

PACKAGE = "arize-phoenix"
START_SECONDS, INSTALL_SECONDS, STORE_SECONDS = 900, 3600, 1800
WARM_UP = 500
TICKS = os.sysconf("SC_CLK_TCK")


def installed(folder: Path) -> Path:
    """The Python of a fresh environment with Phoenix in it. SystemExit, saying why, where it can't be installed."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise SystemExit(f"{PACKAGE} could not be installed, so there is nothing to compare with: {' '.join(last)}")
    return python


def free_port() -> int:
    """A port nobody listens on."""
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def running(python: Path, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Phoenix's server, once it answers."""
    settings = {"PHOENIX_WORKING_DIR": str(folder), "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(free_port()), "PHOENIX_HOST": "127.0.0.1"}
    settings |= {"PHOENIX_TELEMETRY_ENABLED": "false", "PHOENIX_MAX_SPANS_QUEUE_SIZE": "1000000"}
    with (folder / "phoenix.log").open("wb") as log:
        server = subprocess.Popen([python, "-m", "phoenix.server.main", "serve"], env={**os.environ, **settings}, stdout=log, stderr=log)
    try:
        until = time.monotonic() + START_SECONDS
        while not answers(port):
            if server.poll() is not None or time.monotonic() > until:
                said = (folder / "phoenix.log").read_text("utf-8", "replace")[-400:] or "it said nothing"
                raise SystemExit(f"Phoenix did not start within {START_SECONDS} s (its exit code: {server.poll()}): {said}")
            time.sleep(0.5)
        yield server
    finally:
        server.kill()
        server.wait()


def answers(port: int) -> bool:
    """Whether someone listens there."""
    with closing(socket.socket()) as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def cpu_of(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds a process has used so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def send(path: Path, port: int) -> None:
    """Each request of a length-prefixed file, again after a while where the server has too much to do."""
    with path.open("rb") as stream:
        while prefix := stream.read(4):
            body = stream.read(int.from_bytes(prefix, "big"))
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            while True:
                try:
                    urllib.request.urlopen(request, timeout=120).close()
                    break
                except urllib.error.HTTPError as error:
                    if error.code not in {429, 503}:
                        raise
                    time.sleep(1)


def wait_until_stored(database: Path, spans: int) -> int:
    """How many spans a second connection counts, once they are all there or no more come."""
    until = time.monotonic() + STORE_SECONDS
    count, since = -1, time.monotonic()
    while time.monotonic() < until:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            now = int(connection.execute("SELECT count(*) FROM spans").fetchone()[0])
        if now >= spans or (now == count and time.monotonic() - since > 60):  # a minute without another span
            return now
        if now != count:
            count, since = now, time.monotonic()
        time.sleep(1)
    return count


def main(spans: int = 4096) -> None:
    """Print the ratio."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        python, port = installed(folder), free_port()
        ingest(write_spans(folder, WARM_UP), folder / "warm.db")  # as Phoenix has started before it is measured
        path = write_spans(folder, spans)
        with running(python, folder, port) as server:
            before = cpu_of(server)
            send(path, port)
            stored = wait_until_stored(folder / "phoenix.db", spans)
            theirs = (cpu_of(server) - before) / max(stored, 1)
        ours = spent(lambda: ingest(path, folder / "store.db")).cpu / spans
        parsing, inserting = (one.cpu / spans for one in floor(path, folder / "floor.db"))
        print(f"{spans:,} spans into Phoenix over HTTP until durable ({stored:,} arrived), and into the workbench from the same file")
        print(f"  CPU a span: {theirs * 1e6:,.0f} µs and {ours * 1e6:,.0f} µs: {theirs / ours:.0f} × fewer (wanted: ≥ 100 ×)")
        print(f"  what rows made already reach by executemany alone: {theirs / inserting:.0f} ×; with parsing: {theirs / (parsing + inserting):.0f} ×")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
