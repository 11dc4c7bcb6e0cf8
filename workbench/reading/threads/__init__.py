"""LangGraph threads wherever a checkpointer keeps them: read as checkpoints, as full states, and as rows to copy.

`tables` says what is read of any database, `sqlite` and `postgres` read it there (read-only, nothing decoded by LangGraph itself), `reading`
makes checkpoints of rows, and `states` makes the full state of one checkpoint. A collector is a thin shell around these; so is a fork's cut.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.database import Location, require_driver
from workbench.model import Checkpoint, Json, Skip
from workbench.reading import serde
from workbench.reading.threads.records import Skipped, Thread, read_threads
from workbench.reading.threads.states import state_of
from workbench.reading.threads.tables import BrokenOffError, CheckpointRow, MissingTablesError, Place, Tables
from workbench.source import SourceError

__all__ = ["BrokenOffError", "CheckpointRow", "MissingTablesError", "Place", "Skipped", "Tables", "checkpoints", "fetch_state", "opened", "read_threads"]


def checkpoints(location: Location, thread_id: str | None = None) -> Iterator[Checkpoint | Skip]:
    """The checkpoints of all threads or one, oldest first within each, and what could not be read. SourceError when nothing can."""
    skipped = Skipped(str(location))
    with opened(location) as tables:
        try:
            yield from read_threads(tables, skipped) if thread_id is None else Thread(tables, thread_id, skipped).checkpoints()
        except BrokenOffError as error:
            yield Skip(place=str(location), reason=f"{error}; what was read before stands")
    yield from skipped.skips()


def fetch_state(location: Location, thread_id: str, place: Place) -> dict[str, Json]:
    """The channel values of one checkpoint, DeltaChannels rebuilt. LookupError when it isn't there; SourceError when it can't be decoded."""
    name = f"{location}: checkpoint {place[1]} of thread {thread_id!r}"
    with opened(location) as tables:
        try:
            return state_of(tables, thread_id, place)
        except (serde.UndecodedError, BrokenOffError) as error:
            raise SourceError(f"{name}: {error}") from error
        except LookupError:
            raise LookupError(f"{name} is not there") from None


@contextmanager
def opened(location: Location) -> Iterator[Tables]:
    """A checkpoint database for reading, SQLite for a path, PostgreSQL for a URL. SourceError when it can't be opened or is another database."""
    if isinstance(location, Path):
        from workbench.reading.threads.sqlite import SqliteTables as Found  # noqa: PLC0415  # each driver only where it is needed
    else:
        require_driver()
        from workbench.reading.threads.postgres import PostgresTables as Found  # type: ignore[assignment]  # noqa: PLC0415
    with Found.opened(location) as tables:  # type: ignore[arg-type]
        yield tables
