"""Whose checkpoint databases may lead a re-run. Decoded strictly, a database runs no code; but its state and its Sends choose which nodes run, on what.

A database is trusted once somebody said so, which the store remembers by its place. No word is needed for what we recorded ourselves: the sample
incidents, the threads of forks, and threads whose spans our own recorder wrote into this store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from workbench.database import Location
from workbench.model import Run
from workbench.replay.forking import ForkError
from workbench.store import Store

SAMPLES = Path(__file__).resolve().parent.parent.parent / "sample_traces"
RECORDER = "recorder:"
SETTING = "trusted:"


class UntrustedError(ForkError):
    """A re-run from a database that nobody called trusted. The message says how to."""


def trust(store: Store, databases: Sequence[Location]) -> None:
    """Remember these databases as trusted."""
    for database in databases:
        store.setting(_name(database), lambda: b"1")


def check(store: Store, run: Run, databases: Sequence[Location]) -> None:
    """UntrustedError unless each of these databases, which hold a run's checkpoints, is trusted. Nothing has been loaded or run by then."""
    if any(source.startswith(RECORDER) for source in run.sources):
        return
    strange = [database for database in databases if not _ours(store, database) and not store.has_setting(_name(database))]
    if strange:
        names = ", ".join(map(str, strange))
        raise UntrustedError(
            f"{names} is not trusted yet: what stands in a checkpoint database chooses which of your nodes run, and on what. If you know where it comes "
            "from, say so once with trust=True (--trust on the command line); the store remembers it. Nothing was run"
        )


def _ours(store: Store, database: Location) -> bool:
    if not isinstance(database, Path):
        return False
    place = database.resolve()
    if any(place.is_relative_to(folder.resolve()) for folder in (SAMPLES, store.forks)):
        return True
    return place.is_file() and place.stat().st_size in _samples() and _sha256(place) in _samples()[place.stat().st_size]


@cache
def _samples() -> dict[int, frozenset[str]]:
    """The hashes of the sample incidents' databases, by size: a copy of one, byte for byte, is as good as the original."""
    found: dict[int, set[str]] = {}
    for path in SAMPLES.glob("*/*.sqlite"):
        found.setdefault(path.stat().st_size, set()).add(_sha256(path))
    return {size: frozenset(hashes) for size, hashes in found.items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _name(database: Location) -> str:
    return f"{SETTING}{database.resolve() if isinstance(database, Path) else database}"
