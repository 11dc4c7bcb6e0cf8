"""A store that is open: its file or server, and its transactions. One writer at a time, any number of readers."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from workbench.database import Database, Location
from workbench.source import SourceError
from workbench.store import dialect
from workbench.store.dialect import APPLICATION_ID, BUSY_MS
from workbench.store.migrations import VERSION, StoreError, migrate
from workbench.store.packing import Texts

OWNERS_FILE, OWNERS_FOLDER = 0o600, 0o700
PAGE_BYTES = 16_384
"""Of a new store. Most payloads fit on such a page with others; on SQLite's 4 KiB many spill over."""
CACHE_KIB = 128 * 1024
"""How much of the file a connection keeps in memory at most. Addresses are hashes, so each batch writes all over their index, which at SQLite's own 2 MB
was read and written anew again and again: a tenth of the CPU of an ingest of 100,000 spans."""


class Opened:
    """The connections of a store."""

    def __init__(self, path: Location, engine: Engine) -> None:
        self.path = path
        self._engine = engine
        self._mine = threading.local()
        self._texts = Texts()

    @classmethod
    def open(cls, path: Location, *, create: bool = True) -> Self:
        """Open a store, creating or migrating it. StoreError says what is wrong with the file or database; it is then left as it was."""
        return cls._open_server(path, create) if isinstance(path, Database) else cls._open_file(path, create)

    @classmethod
    def _open_file(cls, path: Path, create: bool) -> Self:
        if not create and not path.exists():
            raise StoreError(f"there is no store {path}; `workbench ingest PATH --store {path}` makes one")
        if path.is_dir():
            raise StoreError(f"{path} is a folder; a store is one file, such as {path / 'workbench.db'}")
        if not path.parent.is_dir():
            raise StoreError(f"the folder {path.parent} of the store does not exist")
        version = _version_of(path)
        _touch(path)
        engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        store = cls(path, engine)
        try:
            if version != VERSION:
                with store._writing() as connection:
                    migrate(connection, str(path))
        except DatabaseError as error:
            raise StoreError(f"{path} can't be opened as a store: {error.orig}") from error
        return store

    @classmethod
    def _open_server(cls, database: Database, create: bool) -> Self:
        with ExitStack() as undone:
            try:
                store = cls(database, dialect.server(database))
                undone.enter_context(store)
                store._prepare(create)
            except SourceError as error:
                raise StoreError(str(error)) from error
            except DatabaseError as error:
                raise StoreError(f"{database} can't be opened as a store: {error.orig}") from error
            undone.pop_all()
        return store

    def _prepare(self, create: bool) -> None:
        """Make a server's database a store of the newest version, where it is one or is empty."""
        with self._engine.connect() as connection:
            version, others = dialect.version(connection), dialect.foreign_tables(connection)
        if others:
            raise StoreError(f"{self.path} is no workbench store: it has tables of something else ({', '.join(others[:3])}); give an empty database")
        if not create and not version:
            raise StoreError(f"there is no store in {self.path}; `workbench ingest PATH --store {self.path}` makes one")
        if version != VERSION:
            with self._writing() as connection:
                migrate(connection, str(self.path))

    @property
    def forks(self) -> Path:
        """The folder in which forks keep their own threads: beside a store's file, or for a server named after its database in the folder you work in."""
        return Path(f"{self.path.name or 'workbench'}.forks") if isinstance(self.path, Database) else self.path.with_name(f"{self.path.name}.forks")

    def close(self) -> None:
        """Let go of the file or server."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction that takes the write lock at once, so that two writers queue instead of failing halfway. Inside one of this thread's, that one."""
        if (outer := getattr(self._mine, "connection", None)) is not None:
            yield outer
            return
        with self._told_if_unwritable(), self._engine.connect().execution_options(immediate=True) as connection, connection.begin():
            self._mine.connection = connection
            try:
                yield connection
            finally:
                self._mine.connection = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep a store's file open meanwhile. Whoever closes it last makes SQLite empty its write-ahead log, which takes longer than to write one line."""
        with self._engine.connect() as connection:
            dialect.version(connection)  # the log is opened by the first who reads
            connection.rollback()
            yield

    @contextmanager
    def _told_if_unwritable(self) -> Iterator[None]:
        """A disk that is full, or a folder that can't be written, as a StoreError: the transaction is undone, and nothing is wrong with the store."""
        try:
            yield
        except DatabaseError as error:
            if reason := dialect.unwritable(error):
                raise StoreError(f"{self.path}: {reason}; what was stored before is as it was") from error
            raise

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection to read what is stored, and what this thread's own transaction has stored so far."""
        if (outer := getattr(self._mine, "connection", None)) is not None:
            yield outer
            return
        with self._engine.connect() as connection:
            yield connection


def _touch(path: Path) -> None:
    """Make a new store's file readable to its owner alone, as its key is; SQLite gives what it writes beside it the same mode."""
    with suppress(OSError):  # where it can't be made, SQLite says why
        path.touch(OWNERS_FILE)


def _version_of(path: Path) -> int:
    """The store version in a file's header, 0 for a new file; read as bytes, so that a file that is no store of ours is not touched."""
    if not path.exists():
        return 0
    with path.open("rb") as stream:
        header = stream.read(100)
    if not header:
        return 0
    if not header.startswith(b"SQLite format 3\0"):
        raise StoreError(f"{path} is no workbench store, nor any SQLite database; give another --store")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID and not _is_empty(path):
        raise StoreError(f"{path} is a SQLite database, but no workbench store; give another --store, or `workbench ingest {path}` to read it")
    return int.from_bytes(header[60:64], "big")


def _is_empty(path: Path) -> bool:
    """Whether a database is nobody's yet: a store that could not be finished, as on a full disk.

    Or the mark of a store stands in the write-ahead log alone, because another process made it just now.
    """
    how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=BUSY_MS / 1000)) as connection:
            application, tables = (connection.execute(query).fetchone()[0] for query in ("PRAGMA application_id", "SELECT count(*) FROM sqlite_master"))
    except sqlite3.DatabaseError:
        return False
    return bool(application == APPLICATION_ID or tables == 0)


def _configure(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are begun by us, see _begin
    sizes = f"page_size = {PAGE_BYTES}", f"cache_size = -{CACHE_KIB}", f"busy_timeout = {BUSY_MS}"
    for pragma in (*sizes, "journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN")
