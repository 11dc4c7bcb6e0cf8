"""Databases that are named by a URL instead of a path, and their passwords, which are neither stored nor shown.

`location` tells the two apart. A `Database` is its URL without the password: that is what is printed, stored as the origin of records, and
compared. A password that stood in the URL is remembered for this process alone; later processes take it from where libpq looks: `PGPASSWORD`,
`~/.pgpass` or a service file.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from workbench.source import SourceError

if TYPE_CHECKING:
    import psycopg

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
SECRET = frozenset(("password", "sslpassword", "oauth_client_secret"))
HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:@/]*)(:\d*)?")
SPELLINGS = {"postgres": "postgresql", "postgresql+psycopg": "postgresql"}
WANTED = "postgresql://user@host:5432/database; in a user name or password, write @ : / ? # as %40 %3A %2F %3F %23"

CONNECT_SECONDS = 10
STATEMENT_MS, LOCK_MS = 60_000, 10_000
LIMITS = "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)"
MISSING = "reading PostgreSQL needs psycopg, which is not installed: pip install 'replay-workbench[postgres]'"

_SECRETS: dict[str, dict[str, str]] = {}
"""What was left out of each URL, for as long as this process lives."""


@dataclass(frozen=True)
class Database:
    """A database by its URL, without any password. Made by `location`."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def scheme(self) -> str:
        """What stands before the `://`, in lower case: "postgresql"."""
        return self.url.partition("://")[0]

    @property
    def name(self) -> str:
        """The name of the database itself, empty where the URL names none."""
        return urlsplit(self.url).path.removeprefix("/")

    @property
    def secrets(self) -> dict[str, str]:
        """The passwords that were given with this URL in this process, by libpq's name of them. Only for connecting."""
        return dict(_SECRETS.get(self.url, {}))


Location = Path | Database
"""Where records come from: a file or folder, or a database."""


def location(given: str | os.PathLike[str]) -> Location:
    """The place that a person named: a Database for a URL, else a path. SourceError, which repeats nothing of it, for a URL that can't be read."""
    if not isinstance(given, str) or not (scheme := SCHEME.match(given)):
        return Path(given)
    parts = _split(given, scheme[1].lower())
    credentials, at, host = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    options = parse_qsl(parts.query, keep_blank_values=True)
    shown = [(key, value) for key, value in options if key not in SECRET]
    netloc = f"{user}{at}{host}" if user else host
    url = f"{SPELLINGS.get(parts.scheme, parts.scheme)}://{netloc}{parts.path}" + (f"?{urlencode(shown, quote_via=quote)}" if shown else "")
    secrets = {key: value for key, value in options if key in SECRET} | ({"password": unquote(password)} if password else {})
    if secrets:
        _SECRETS[url] = secrets
    return Database(url)


def _split(given: str, scheme: str) -> SplitResult:
    """The parts of a URL that can be read in one way only: elsewhere a part of a password could pass for a host, and be shown."""
    try:
        parts = urlsplit(given)
    except ValueError:
        raise SourceError(f"a {scheme} URL that can't be read; it should look like {WANTED}") from None
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if given.count("@") > 1 or (given.count("@") == 1 and "@" not in parts.netloc) or "#" in given or not all(HOST.fullmatch(host) for host in hosts):
        raise SourceError(f"a {scheme} URL that can be read in more than one way; it should look like {WANTED}")
    return parts


def require_driver() -> None:
    """SourceError, which says what to install, where psycopg is missing."""
    if importlib.util.find_spec("psycopg") is None:
        raise SourceError(MISSING)


def connect(database: Database) -> psycopg.Connection[tuple[Any, ...]]:
    """A PostgreSQL connection. Nothing is prepared, so that poolers are fine with it.

    SourceError when psycopg is missing or the server can't be reached, with its reason and no password.
    """
    require_driver()
    import psycopg  # noqa: PLC0415  # an extra, and slow to import
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        options: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "application_name": "replay-workbench", "client_encoding": "utf8"}
        options |= conninfo_to_dict(database.url) | database.secrets
        return psycopg.Connection.connect(prepare_threshold=None, **options)
    except psycopg.Error as error:
        raise SourceError(f"{database}: can't be reached: {_told(error, database)}") from None


@contextlib.contextmanager
def reading(database: Database) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A PostgreSQL connection whose every transaction is READ ONLY and one snapshot. SourceError as for `connect`."""
    with contextlib.closing(connect(database)) as connection:
        import psycopg  # noqa: PLC0415  # as above

        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield connection


def limited(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Begin a new snapshot with time limits. They are set for it alone: behind a pooler, a setting of the session would reach other programs."""
    with broken_told():
        connection.rollback()
        connection.execute(LIMITS, (str(STATEMENT_MS), str(LOCK_MS)))


@contextlib.contextmanager
def broken_told() -> Iterator[None]:
    """What the server says goes wrong while it is read, as a SourceError on one line."""
    import psycopg  # noqa: PLC0415  # as above

    try:
        yield
    except psycopg.Error as error:
        raise SourceError(" ".join(str(error).split())) from error


def _told(error: Exception, database: Database) -> str:
    """What the server says, on one line and without any password."""
    said = " ".join(str(error).split())
    for secret in filter(None, database.secrets.values()):
        said = said.replace(secret, "…")
    return f"{said} (a password that is not in the URL is taken from PGPASSWORD or ~/.pgpass)" if "password" in said else said
