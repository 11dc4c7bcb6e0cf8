"""What one wants to know before asking why something doesn't work: versions, plugins, what re-runs are shut in by, and how the store is."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from workbench.database import Location
from workbench.plugins import collectors, detectors
from workbench.redaction import rules_of
from workbench.replay.isolation import LEVELS, RISKS, Level, lacks, settings_of
from workbench.store import Store, StoreError

PACKAGES = ("replay-workbench", "langgraph", "langchain-core", "opentelemetry-sdk", "polars", "jupyterlab", "anywidget", "sqlmodel")
PROBE = """
import sys
from pathlib import Path
from workbench.replay.sandbox import enter
walls = enter([Path(sys.argv[1])], seconds=30, witness=Path(sys.argv[2]))
print(walls)
sys.exit(0 if walls.sandboxed else 1)
"""
PROBE_SECONDS = 30


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: whether it is well, and what was seen."""

    name: str
    well: bool
    says: str


def examine(store: Location) -> Iterator[Check]:
    """Look at everything, one check at a time; nothing is changed, and no store is made."""
    yield Check(
        "python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.system()} {platform.machine()}, SQLite {sqlite3.sqlite_version}"
    )
    yield from map(_package, PACKAGES)
    yield Check("collectors", bool(collectors()), ", ".join(collectors()))
    yield Check("detectors", bool(detectors()), ", ".join(detectors()))
    yield _sandbox()
    yield from _isolation()
    rules = rules_of(Path.cwd())
    yield Check("redaction", True, f"replaces {', '.join(rules.kinds)} on the way in" if rules else "off, by pyproject.toml")
    yield from _store(store)


def _package(name: str) -> Check:
    try:
        return Check(name, True, version(name))
    except PackageNotFoundError:
        return Check(name, False, "is not installed; pip install replay-workbench brings it")


def _sandbox() -> Check:
    """What a re-run would be shut in by here, tried out in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as outside:
        command = [sys.executable, "-c", PROBE, scratch, outside]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)  # noqa: S603  # our own program
        except subprocess.TimeoutExpired:
            return Check("sandbox", False, f"did not answer within {PROBE_SECONDS} s")
    last_words = "".join(done.stderr.strip().splitlines()[-1:])
    return Check("sandbox", done.returncode == 0, done.stdout.strip() or last_words)


def _isolation() -> Iterator[Check]:
    """Which levels of isolation this machine reaches, and whether those are among them that the project asks for."""
    settings = settings_of(Path.cwd())
    asked: dict[Level, list[str]] = {}
    for risk in RISKS:
        asked.setdefault(settings.level(risk), []).append(risk)
    for level in LEVELS[1:]:
        lacking, wanted = lacks(level, settings), asked.get(level, [])
        says = f"not reached here: {lacking}" if lacking else "reached here"
        yield Check(f"level {level}", not (lacking and wanted), says + (f"; asked for by {', '.join(wanted)} risk" if wanted else ""))


def _store(where: Location) -> Iterator[Check]:
    """How a store is: what it holds, whether it can be written, and whether everything in it has the hash it is kept under."""
    if isinstance(where, Path) and not where.exists():
        yield Check("store", True, f"there is no {where} yet; workbench ingest makes it")
        return
    size = ""
    if isinstance(where, Path):
        can = os.access(where.parent, os.W_OK)
        yield Check("folder", can, f"{where.resolve().parent} {'can' if can else 'can NOT'} be written")
        size = f", {where.stat().st_size:,} bytes"
    try:
        with Store.open(where, create=False) as store:
            yield Check("store", True, f"{where}: {len(store.run_ids()):,} runs{size}")
            problems = store.verify()
    except StoreError as error:
        yield Check("store", False, str(error))
        return
    yield Check("payloads", not problems, "; ".join(problems[:3]) or "all have the hash they are kept under, and nothing is missing")
