"""Notices when code reaches for something real, refuses it, and remembers it even when the code swallows the refusal.

Python's audit events name each attempt: a socket, a process, a file outside scratch, a foreign database. A tripwire is no boundary (native code
raises no events); the sandbox is. What it adds is that a refusal is counted and named.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
TO_ADDRESS = ("socket.connect", "socket.sendto", "socket.sendmsg")
NETWORK = (*TO_ADDRESS, "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
"""Ways out. To bind a socket is none; libraries do it to see whether there is IPv6."""
PROCESS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn", "os.kill", "os.killpg")
CHANGES = ("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.chown", "os.utime", "os.setxattr", "os.removexattr")
TWO_PATHS = ("os.rename", "os.link", "os.symlink")
HARMLESS_SQL = frozenset({
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT, sqlite3.SQLITE_RECURSIVE,
})  # fmt: skip
_SQLITE_CONNECT = sqlite3.connect


class BlockedError(PermissionError):
    """Something real was reached for. A PermissionError, because that is how a library expects to be refused."""


@dataclass(frozen=True)
class Attempt:
    """One thing that was refused: `kind` is network, process, file or database, `event` Python's name for it, `task` whose code it was, if known."""

    kind: str
    event: str
    says: str
    task: str | None = None


@dataclass
class Tripwire:
    """An audit hook with a memory. `writable` are the folders in which files may be made and changed."""

    writable: Sequence[Path]
    attempts: list[Attempt] = field(default_factory=list)
    whose: Callable[[], str | None] = lambda: None
    """Says which task's code is running, as soon as somebody can."""

    def __post_init__(self) -> None:
        self._connecting = threading.local()
        self._roots = tuple(os.path.realpath(path) for path in self.writable)
        self._watchers: Mapping[str, Callable[[str, tuple[Any, ...]], None]] = {
            **dict.fromkeys(NETWORK, self._network),
            **dict.fromkeys(PROCESS, self._process),
            **dict.fromkeys(CHANGES, self._change),
            **dict.fromkeys(TWO_PATHS, self._move),
            "open": self._open,
            "sqlite3.connect": self._database,
        }

    def install(self) -> None:
        """Watch this process from now on; an audit hook can't be taken away again. Called before anyone else could take hold of `sqlite3.connect`."""
        sqlite3.connect = sqlite3.dbapi2.connect = self._connect  # type: ignore[assignment]  # overloaded in the stubs
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        watch = self._watchers.get(event)
        if watch is not None:
            watch(event, args)

    def refuse(self, kind: str, event: str, says: str) -> None:
        """Remember an attempt and raise BlockedError."""
        self.attempts.append(Attempt(kind, event, says, self.whose()))
        raise BlockedError(f"blocked in a re-run: {says}")

    def of(self, task: str) -> list[str]:
        """What the code of one task was refused."""
        return [one.says for one in self.attempts if one.task == task]

    def _network(self, event: str, args: tuple[Any, ...]) -> None:
        self.refuse("network", event, f"{event} {args[1] if event in TO_ADDRESS else args[0]!r}")

    def _process(self, event: str, args: tuple[Any, ...]) -> None:
        self.refuse("process", event, f"{event} {args[0]!r}" if args else event)

    def _open(self, event: str, args: tuple[Any, ...]) -> None:
        path, flags = args[0], args[2]
        if flags & WRITING and not self._allows(path) and path != os.devnull:
            self.refuse("file", event, f"writing {path!r}")

    def _change(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "os.mkdir" and os.path.isdir(args[0]):  # noqa: PTH112  # args[0] may be bytes
            return  # `makedirs(…, exist_ok=True)` on what is there changes nothing
        if not self._allows(args[0]):
            self.refuse("file", event, f"{event} {args[0]!r}")

    def _move(self, event: str, args: tuple[Any, ...]) -> None:
        if not (self._allows(args[0]) and self._allows(args[1])):
            self.refuse("file", event, f"{event} {args[0]!r} {args[1]!r}")

    def _allows(self, path: Any) -> bool:
        if isinstance(path, int):
            return True  # already open, so already judged
        real = os.path.realpath(os.fsdecode(path))
        return any(real == root or real.startswith(root + os.sep) for root in self._roots)

    def _database(self, event: str, args: tuple[Any, ...]) -> None:
        """Refuse a foreign database that is opened past `connect`, where no authoriser can be set on it."""
        path = os.fsdecode(args[0])
        if not getattr(self._connecting, "now", False) and path not in ("", ":memory:") and not self._allows(path):
            self.refuse("database", event, f"opening {path!r}")

    def _connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        """`sqlite3.connect` that lets a foreign database be read, as a graph's own module may open one, and refuses whatever would change it."""
        self._connecting.now = True
        try:
            connection: sqlite3.Connection = _SQLITE_CONNECT(*args, **kwargs)
        finally:
            self._connecting.now = False
        files = [row[2] for row in connection.execute("PRAGMA database_list") if row[2]]
        if not all(self._allows(file) for file in files):
            connection.set_authorizer(self._authoriser(", ".join(files)))
        return connection

    def _authoriser(self, files: str) -> Callable[..., int]:
        def authorise(action: int, first: str | None, second: str | None, *_: str | None) -> int:
            if action in HARMLESS_SQL or (action == sqlite3.SQLITE_PRAGMA and second is None):
                return sqlite3.SQLITE_OK
            self.attempts.append(Attempt("database", "sqlite3", f"changing {files} (SQLite action {action} on {first})", self.whose()))
            return sqlite3.SQLITE_DENY

        return authorise
