"""Records the incidents again, all or those named: `python -m sample_traces.record [NAME…] [--out FOLDER]`.

Each goes into a folder of its name: spans, checkpoints, README, `incident.json` with the ledger of what the travel API really did, and the
findings that the workbench makes of it. Thread, trace, span, message and call ids are the same each time; times and checkpoint ids are not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sample_traces import findings
from sample_traces.incidents import ALL, Incident
from sample_traces.travel_api import acts, serve

HERE = Path(__file__).parent
QUIET = {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "OTEL_SDK_DISABLED": "false"}
LIFE_SECONDS = 120
PAGE_BYTES = 1024


class Process:
    """The agent's process of the moment, so that the travel API can kill it in the middle of a request."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None

    def run(self, arguments: list[str], environment: dict[str, str]) -> int:
        """Run a module of Python to its end; its exit code, negative for the signal that killed it."""
        with subprocess.Popen([sys.executable, "-m", *arguments], env=environment, cwd=HERE.parent) as self.child:
            try:
                return self.child.wait(LIFE_SECONDS)
            finally:
                self.child.kill()

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, closed or handled."""
        if self.child is None:
            raise RuntimeError("there is no process to kill")
        self.child.send_signal(signal.SIGKILL)


def record(incident: Incident, out: Path) -> Path:
    """Record one incident into its folder under `out`; the folder. The old recording stays until the new one is complete."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        exits = live(incident, made)
        settle(made / "checkpoints.sqlite")
        (made / "incident.json").write_text(json.dumps(notes(incident, exits, acts(made / "ledger.jsonl")), indent=1) + "\n", encoding="utf-8")
        (made / "README.md").write_text(f"# {incident.thread_id}\n\n" + "\n".join(incident.story) + "\n", encoding="utf-8")
        folder = out / incident.name
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*findings.RECORDED, "incident.json", "README.md"):
            shutil.copyfile(made / name, folder / name)
    return folder


def live(incident: Incident, folder: Path) -> list[str]:
    """Play every life of the incident against a travel API of its own; how each process ended. RuntimeError when one ended in an unplanned way."""
    process, ends = Process(), []
    with serve(folder / "ledger.jsonl", incident.faults, process.kill) as url:
        for life in range(len(incident.lives)):
            code = process.run(["sample_traces.life", incident.name, str(life), str(folder)], {**os.environ, **QUIET, "TRAVEL_API_URL": url})
            ends.append(signal.Signals(-code).name if code < 0 else f"exit {code}")
    planned = ["SIGKILL" if incident.faults.kill_at_receipt and life == 0 else "exit 0" for life in range(len(incident.lives))]
    if ends != planned:
        raise RuntimeError(f"{incident.name}: the processes ended with {', '.join(ends)}; planned was {', '.join(planned)}")
    return ends


def settle(database: Path) -> None:
    """Fold the journal into the database and leave one small file."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for command in ("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode=DELETE", f"PRAGMA page_size={PAGE_BYTES}", "VACUUM"):
            connection.execute(command).fetchall()


def notes(incident: Incident, ends: list[str], ledger: list[Any]) -> dict[str, Any]:
    """What `incident.json` says."""
    lives = [
        {"acts": [{"act": type(act).__name__.lower(), **asdict(act)} for act in acts], "ended": end} for acts, end in zip(incident.lives, ends, strict=True)
    ]
    return {
        "name": incident.name,
        "thread_id": incident.thread_id,
        "graph": "sample_traces.travel_agent:graph",
        "what_happened": " ".join(incident.story),
        "lives": lives,
        "ledger": ledger,
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sample_traces.record", description="Record the sample incidents again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; all without: {', '.join(ALL)}")
    parser.add_argument("--out", type=Path, default=HERE, metavar="FOLDER", help="where the folders go (default: beside this file)")
    parser.add_argument("--findings", choices=("write", "skip", "only"), default="write", help="whether findings.txt is written; only: without recording")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in ALL]:
        parser.error(f"no incident {', '.join(unknown)}; there are {', '.join(ALL)}")
    names = chosen.names or list(ALL)
    for name in names if chosen.findings != "only" else ():
        print(f"recorded {record(ALL[name], chosen.out).name}")
    if chosen.findings != "skip" and not findings.available():
        print("the workbench's command line is not here: findings.txt stays as it is", file=sys.stderr)
        return
    for name in names if chosen.findings != "skip" else ():
        folder = chosen.out / name
        (folder / "findings.txt").write_text(findings.expected(folder), encoding="utf-8")
        print(f"findings of {name} written")


if __name__ == "__main__":
    main()
