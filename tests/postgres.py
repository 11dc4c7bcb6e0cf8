"""A real PostgreSQL for tests: of the machine's own binaries, in a folder of its own, on a loopback port, without writing for durability."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest

DEBIAN = Path("/usr/lib/postgresql")
OWNER, PASSWORD = "owner", "s3cr3t/:@ of the owner"
"""The password has the characters that mean something in a URL."""
SETTINGS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "full_page_writes": "off", "max_connections": "40"}
NUMBERS = count(1)


@dataclass(frozen=True)
class Server:
    """A running server. Each test takes a database of its own."""

    port: int
    binaries: Path

    def url(self, name: str, *, password: str = PASSWORD, user: str = OWNER) -> str:
        """The URL of a database, password and all."""
        quoted = password.replace("/", "%2F").replace(":", "%3A").replace("@", "%40").replace(" ", "%20")
        return f"postgresql://{user}:{quoted}@127.0.0.1:{self.port}/{name}"

    def create(self, sql: str | bytes = "") -> str:
        """A new database with what this SQL makes in it; returns its URL."""
        name = f"test_{next(NUMBERS)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        if sql:
            with psycopg.connect(self.url(name), autocommit=True) as connection:
                connection.execute(sql)
        return self.url(name)

    def load(self, dump: Path) -> str:
        """A new database with what this pg_dump file holds; returns its URL."""
        url = self.create("CREATE ROLE postgres" if not self._has_role("postgres") else "")
        subprocess.run([self.binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", dump, url], check=True, capture_output=True, text=True)
        return url

    def _has_role(self, name: str) -> bool:
        with psycopg.connect(self.url("postgres")) as connection:
            return bool(connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchall())


def binaries() -> Path | None:
    """The folder of the newest server on this machine: Debian keeps them off the PATH."""
    found = sorted((path.parent for path in DEBIAN.glob("*/bin/initdb")), key=lambda path: float(path.parent.name))
    return found[-1] if found else Path(on_path).parent if (on_path := shutil.which("initdb")) else None


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server that ends with the block. The test is skipped, visibly, where PostgreSQL isn't installed."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (no initdb): `make postgres` installs Debian's package")
    with tempfile.TemporaryDirectory(prefix="workbench-postgres-") as name:
        folder, user = Path(name), _user()
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        port = _free_port()
        with _started(programs, folder, user, port):
            yield Server(port, programs)


def _user() -> pwd.struct_passwd | None:
    """Whom to run it as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _started(programs: Path, folder: Path, user: pwd.struct_passwd | None, port: int) -> Iterator[None]:
    data, secret = folder / "data", folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def run(*command: str | Path) -> None:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, **identity)
        if done.returncode:
            log = (folder / "log").read_text() if (folder / "log").exists() else ""
            pytest.fail(f"{Path(command[0]).name} failed: {done.stdout}{done.stderr}{log}")

    run(programs / "initdb", "-D", data, "-U", OWNER, "-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--no-sync", "--no-instructions")
    options = " ".join(f"-c {key}='{value}'" for key, value in SETTINGS.items())
    run(programs / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", f"-p {port} {options}", "start")
    try:
        yield
    finally:
        run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")  # by the pid in its own data folder
