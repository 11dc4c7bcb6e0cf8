"""An agent's own code tries every way out of a re-run; witnesses outside see nothing of it."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.replay_escapes import MARK, SECRET, WAYS
from tests.replay_recording import record
from workbench.model import Receipt

SECRETS = {
    "OPENAI_API_KEY": SECRET,
    "LEDGER_DSN": SECRET,
    "WAREHOUSE": f"postgresql://reader:{SECRET}@warehouse/orders",
    "ODDLY_NAMED": f"sk_live_{SECRET * 3}",
    "PGPASSFILE": SECRET,
}


@dataclass
class Outside:
    """What stands outside of a re-run, with a witness for each way to it."""

    folder: Path
    database: Path
    tcp: socket.socket
    udp: socket.socket
    unix: socket.socket
    abstract: socket.socket
    datagrams: socket.socket
    memory: ctypes.Array[ctypes.c_char]
    limits: tuple[int, int]
    before: tuple[object, ...] = ()
    signals: list[int] = field(default_factory=list)

    def files(self) -> tuple[object, ...]:
        """Everything about the folder's files and the foreign database, as it stands."""
        kept = self.folder / "kept.txt"
        status = kept.stat()
        return sorted(one.name for one in self.folder.iterdir()), kept.read_bytes(), status.st_mode, status.st_mtime_ns, os.listxattr(kept), self.tables()

    def tables(self) -> bytes:
        """The foreign database's bytes."""
        return self.database.read_bytes()


@dataclass(frozen=True)
class Tried:
    """What an agent's attempts came to by its own account, the receipt of the re-run, and what stands outside."""

    told: dict[str, str]
    receipt: Receipt
    outside: Outside


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Listeners, files, memory and limits of a process that asks for a re-run."""
    folder, place = tmp_path_factory.mktemp("outside"), tmp_path_factory.mktemp("sockets")
    (folder / "kept.txt").write_bytes(b"kept as it was")
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    unix, abstract = (socket.socket(socket.AF_UNIX) for _ in range(2))
    unix.bind(str(place / "daemon"))
    abstract.bind(f"\0workbench-{os.getpid()}")
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagrams.bind(str(place / "log"))
    tcp = socket.create_server(("127.0.0.1", 0))
    with tcp, udp, unix, abstract, datagrams:
        for one in (unix, abstract):
            one.listen()
        for one in (tcp, udp, unix, abstract, datagrams):
            one.setblocking(False)
        memory = ctypes.create_string_buffer(f"parent: {SECRET}".encode(), 64)
        yield Outside(folder, place / "foreign.sqlite", tcp, udp, unix, abstract, datagrams, memory, resource.getrlimit(resource.RLIMIT_NPROC))


@pytest.fixture(scope="module")
def tried(outside: Outside, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """One re-run of an agent whose node tries every way out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEDGER", str(outside.folder.with_name("ledger.txt")))
        patch.delenv("ESCAPE", raising=False)
        recording = record(tmp_path_factory.mktemp("recorded"), "escaping", [["book", {"flight": "NH 1"}]])
        outside.database.write_bytes(recording.database.read_bytes())
        outside.before = outside.files()
        for name, value in {**SECRETS, **_addresses(outside), "ESCAPE": "every way"}.items():
            patch.setenv(name, value)
        previous = signal.signal(signal.SIGUSR1, lambda number, _: outside.signals.append(number))
        held = os.open(outside.folder / "kept.txt", os.O_RDWR)
        os.set_inheritable(held, True)
        try:
            forked = recording.fork(1)
        finally:
            os.close(held)
            signal.signal(signal.SIGUSR1, previous)
    said = next(step.changes["said"] for step in forked.run.steps if "said" in step.changes)
    if not forked.receipt.isolation.startswith("sandboxed"):
        assert forked.receipt.isolation.startswith("guarded, not sandboxed: ")
        pytest.skip(f"no sandbox here: {forked.receipt.isolation}")
    return Tried(json.loads(said), forked.receipt, outside)


def _addresses(outside: Outside) -> dict[str, str]:
    return {
        "OUTSIDE": str(outside.folder),
        "FOREIGN_DB": str(outside.database),
        "PORT": str(outside.tcp.getsockname()[1]),
        "UDP_PORT": str(outside.udp.getsockname()[1]),
        "UNIX_PATH": str(outside.unix.getsockname()),
        "ABSTRACT": outside.abstract.getsockname()[1:].decode(),
        "DATAGRAM_PATH": str(outside.datagrams.getsockname()),
        "PARENT_ADDRESS": str(ctypes.addressof(outside.memory)),
    }


def _silent(*sockets: socket.socket) -> bool:
    """Whether nothing has arrived."""
    for one in sockets:
        with pytest.raises(BlockingIOError):
            one.recv(16) if one.type == socket.SOCK_DGRAM else one.accept()
    return True


WITNESSES: dict[str, Callable[[Outside], bool]] = {
    "tcp": lambda it: _silent(it.tcp),
    "thread": lambda it: _silent(it.tcp),
    "udp": lambda it: _silent(it.udp),
    "unix": lambda it: _silent(it.unix),
    "abstract_unix": lambda it: _silent(it.abstract),
    "unix_datagram": lambda it: _silent(it.datagrams),
    "unix_stream": lambda it: _silent(it.datagrams),
    "signal_parent": lambda it: it.signals == [],
    "trace_parent": lambda _: "TracerPid:\t0\n" in Path("/proc/self/status").read_text(),
    "parent_memory": lambda it: MARK not in it.memory.raw and it.memory.value == f"parent: {SECRET}".encode(),
    "parent_memory_by_call": lambda it: MARK not in it.memory.raw,
    "parent_limits": lambda it: resource.getrlimit(resource.RLIMIT_NPROC) == it.limits,
    "keyring": lambda _: "workbench-escaped" not in Path("/proc/keys").read_text(),
}
"""What is looked at outside for each way; for those not named here, the files and the foreign database."""


@pytest.mark.parametrize("way", [one for one in WAYS if one != "environment"])
def test_escape(way: str, tried: Tried) -> None:
    """The attempt fails by the agent's own account, and what stands outside shows no trace of it."""
    assert tried.told[way].startswith("refused: ")
    witness = WITNESSES.get(way, lambda it: it.files() == it.before)
    assert witness(tried.outside)


def test_secrets(tried: Tried) -> None:
    """Nothing in a re-run's environment is secret by its name or by its value, and the caller's own environment can't be read."""
    assert SECRET not in json.dumps(tried.told)
    assert "OPENAI_API_KEY=withheld-from-re-run" in tried.told["environment"]


def test_nothing_is_missed(tried: Tried) -> None:
    """All walls stand where all of these ways were closed, and what Python itself told of is in the receipt."""
    assert "without" not in tried.receipt.isolation
    assert {one.kind for one in tried.receipt.records if one.answer == "blocked"} >= {"database"}
