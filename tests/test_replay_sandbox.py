"""What the isolation says of itself, and what the tripwire refuses."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.replay.fence.tripwire import BlockedError, Tripwire
from workbench.replay.sandbox import Isolation, Measure

WATCHED = """
import os, sqlite3, sys
from pathlib import Path
from workbench.replay.fence.tripwire import Tripwire
wire = Tripwire([Path(sys.argv[1])])
wire.install()
try:
    {code}
except Exception as error:
    print(type(error).__name__)
print([f"{{one.kind}} {{one.event}}" for one in wire.attempts])
"""


def measure(keeps: str, *, held: bool) -> Measure:
    return Measure(keeps, held, "a way" if held else "not here")


@pytest.mark.parametrize("absent", ["no network", "writes only to scratch"])
def test_guarded(absent: str) -> None:
    """Without a cut network or confined writes it says "guarded, not sandboxed", why, and what is in force."""
    walls = Isolation(tuple(measure(keeps, held=keeps != absent) for keeps in ("no network", "writes only to scratch", "no programs")))
    assert not walls.sandboxed
    assert str(walls).startswith(f"guarded, not sandboxed: {absent}: not here; in force: ")


def test_sandboxed() -> None:
    """With both it says sandboxed, and names what is missing beside them."""
    walls = Isolation((measure("no network", held=True), measure("writes only to scratch", held=True), measure("no Unix sockets", held=False)))
    assert str(walls) == "sandboxed: no network (a way), writes only to scratch (a way); without no Unix sockets: not here"


def watched(code: str, folder: Path) -> list[str]:
    """What a process prints that runs this code under a tripwire with `folder` as scratch."""
    done = subprocess.run([sys.executable, "-c", WATCHED.format(code=code), str(folder)], capture_output=True, text=True, check=True, cwd=folder.parent)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("open('outside.txt', 'w')", "['file open']"),
        ("open('scratch/../outside.txt', 'w')", "['file open']"),
        ("os.remove('keep.txt')", "['file os.remove']"),
        ("os.rename('scratch/inside.txt', 'outside.txt')", "['file os.rename']"),
        ("os.symlink('keep.txt', 'scratch/link')", "['file os.symlink']"),
        ("sqlite3.Connection('foreign.db')", "['database sqlite3.connect']"),
    ],
)
def test_refused(code: str, says: str, tmp_path: Path) -> None:
    """Changing anything outside scratch raises, and is remembered."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "keep.txt").touch()
    assert watched(code, tmp_path / "scratch") == ["BlockedError", says]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["keep.txt", "scratch"]


@pytest.mark.parametrize(
    "code",
    ["open('scratch/new.txt', 'w')", "open('keep.txt').read()", "open(os.devnull, 'w')", "sqlite3.connect('scratch/own.db').execute('CREATE TABLE t (x)')",
     "sqlite3.connect(':memory:').execute('CREATE TABLE t (x)')", "os.makedirs('.', exist_ok=True)", "sqlite3.connect('read.db').execute('SELECT * FROM t')"],
)  # fmt: skip
def test_let_through(code: str, tmp_path: Path) -> None:
    """Writing to scratch and reading anywhere are no attempts."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "keep.txt").touch()
    with sqlite3.connect(tmp_path / "read.db") as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    assert watched(code, tmp_path / "scratch") == ["[]"]


def test_blocked_is_a_permission_error() -> None:
    """Libraries meet a refusal as the operating system would give it."""
    wire = Tripwire([Path(os.curdir)])
    with pytest.raises(PermissionError, match="blocked in a re-run: it"):
        wire.refuse("network", "socket.connect", "it")
    assert issubclass(BlockedError, OSError)
    assert [(one.kind, one.says) for one in wire.attempts] == [("network", "it")]
