"""The server that re-runs are forked from: one for many, without secrets, replaced where it died."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.replay_recording import record
from workbench.replay.process import forkserver
from workbench.replay.process.parent import WITHHELD


def test_one_server_for_many(tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two re-runs, each with an environment of its own, are forked from one server, which no secret was handed to; after a kill another takes its place."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-to-be-seen")
    recording = record(tmp_path, "graph", [["book", {"flight": "NH 1"}]])
    before = ledger.read_text()
    forkserver.close()
    servers = []
    for number in range(3):
        monkeypatch.setenv("LEDGER", str(tmp_path / f"ledger-{number}.txt"))
        forked = recording.fork(0, run_id=f"fork-{number}", scratch=tmp_path / f"fork-{number}.sqlite")
        assert forked.receipt.clean
        assert forked.receipt.isolation.startswith(("sandboxed", "guarded"))
        server = forkserver._server
        assert server is not None
        servers.append(server.process.pid)
        told = Path(f"/proc/{server.process.pid}/environ").read_bytes()
        assert b"never-to-be-seen" not in told
        assert f"OPENAI_API_KEY={WITHHELD}".encode() in told
        if number == 1:
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
    assert servers[0] == servers[1] != servers[2]
    assert ledger.read_text() == before


def test_no_server(tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no server can be had, a re-run's process is started by itself."""
    recording = record(tmp_path, "graph", [["book", {"flight": "NH 1"}]])
    monkeypatch.setattr(forkserver.sys, "platform", "elsewhere")
    with pytest.raises(forkserver.ForkserverError, match="elsewhere"), (tmp_path / "errors").open("wb") as errors:
        forkserver.spawn((), {}, errors)
    monkeypatch.undo()
    monkeypatch.setenv("LEDGER", str(ledger))
    monkeypatch.setattr(forkserver.Server, "started", lambda *_: (_ for _ in ()).throw(forkserver.ForkserverError("none")))
    forkserver.close()
    assert recording.fork(0).receipt.clean


def test_a_process_that_the_user_forks() -> None:
    """A process forked while another thread starts a server can have one of its own, for nothing of its parent's keeps it waiting."""
    with forkserver._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if forkserver._lock.acquire(blocking=False) and forkserver._server is None else 1)
    assert os.waitpid(child, 0)[1] == 0
