"""Starts re-runs from a process that has LangGraph loaded already: `python -m workbench.replay.process.forkserver DESCRIPTOR`.

Loading LangGraph takes longer than most re-runs. So each process that forks runs keeps one server, which has loaded that and nothing of the user's,
holds no secrets, and has a single thread; it forks once for each re-run, and what it forks shuts itself in before it loads anything
else, as it does when it is started by itself (`workbench.replay.process.child`). The server ends with the process that keeps it, and its re-runs with it.

A request is a datagram over a Unix socket: JSON, and with it the descriptors of the re-run's standard streams and of a socket on which its
process id and its end are told. Linux only; elsewhere, and where a server can't be had, each re-run is started by itself.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Self

LOADED = ("workbench.replay.process.child", "workbench.replay.fence.rerun", "langgraph.prebuilt", "langchain.agents")
"""What a server loads; what isn't installed is left out."""
IMPORTED_BY = ("LANG", "PYTHON", "PYDANTIC")
"""How the variables begin that modules go by while they are loaded: with others, another server is needed."""
MAX_BYTES = 1 << 20
FIRST_OTHER_DESCRIPTOR = 3
PATIENCE_SECONDS = 60.0


class ForkserverError(RuntimeError):
    """There is no server to be had."""


# ---- the server


def serve(control: socket.socket) -> None:
    """Fork for each request until nobody can ask any more."""
    for name in LOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    told: dict[int, tuple[int, socket.socket]] = {}
    control.send(b"ready")
    while True:
        ready, _, _ = select.select([control.fileno(), *told], [], [])
        for one in ready:
            if one in told:
                _tell_end(one, *told.pop(one))
        if control.fileno() in ready and not _forked(control, told):
            os._exit(0)  # whatever it forked is killed with it


def _forked(control: socket.socket, told: dict[int, tuple[int, socket.socket]]) -> bool:
    """Fork for one request; False when there are no more."""
    data, descriptors, _, _ = socket.recv_fds(control, MAX_BYTES, 4)
    if not data:
        return False
    pid = os.fork()
    if pid == 0:
        _run(json.loads(data), descriptors[:3])
    for one in descriptors[:3]:
        os.close(one)
    watched, line = os.pidfd_open(pid), socket.socket(fileno=descriptors[3])
    told[watched] = pid, line
    with contextlib.suppress(OSError):
        socket.send_fds(line, [str(pid).encode()], [watched])
    return True


def _tell_end(watched: int, pid: int, line: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(watched)
    with line, contextlib.suppress(OSError):
        line.send(str(os.waitstatus_to_exitcode(status)).encode())


def _run(asked: dict[str, Any], streams: Sequence[int]) -> None:
    """Be the process of a re-run. Never returns."""
    status = 1
    try:
        os.setsid()
        for number, one in enumerate(streams):
            os.dup2(one, number)
        os.closerange(FIRST_OTHER_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))
        environment, arguments = asked["environment"], asked["arguments"]
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = None
        from workbench.replay.process import child  # noqa: PLC0415  # loaded by the server before

        sys.argv = [str(child.__file__), *arguments]
        status = child.main(*arguments)
    except BaseException:  # noqa: BLE001  # it is told as an interpreter would, and the process must end here in any case
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


# ---- who asks it


@dataclass
class Spawned:
    """The process of a re-run that a server forked, used as one of `subprocess.Popen`."""

    pid: int
    stdin: IO[str]
    stdout: IO[str]
    line: socket.socket
    pidfd: int
    returncode: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self) -> int | None:
        """Its status where it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. subprocess.TimeoutExpired where that does not come in time."""
        with self._lock:
            if self.returncode is None:
                waiting = select.poll()
                waiting.register(self.line, select.POLLIN)
                if not waiting.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired("the process of a re-run", timeout or 0)
                told = self.line.recv(64)
                self.returncode = int(told) if told else -signal.SIGKILL  # a server that is gone takes what it forked with it
            return self.returncode

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        self.wait()
        self.line.close()
        os.close(self.pidfd)


@dataclass
class Server:
    """A server of this process."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    key: object

    @classmethod
    def started(cls, environment: Mapping[str, str], key: object) -> Self:
        """Start one, and wait until it has loaded what it is for. ForkserverError where it can't."""
        control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, "-m", "workbench.replay.process.forkserver", str(other.fileno())]
            process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                pass_fds=[other.fileno()],
                start_new_session=True,
            )
        server = cls(process, control, key)
        control.settimeout(PATIENCE_SECONDS)
        try:
            if control.recv(64) != b"ready":
                raise ForkserverError("it ended before it was ready")
        except OSError as error:
            server.close()
            raise ForkserverError(str(error)) from error
        return server

    def spawn(self, arguments: Sequence[str], environment: Mapping[str, str], errors: IO[bytes]) -> Spawned:
        """Have a re-run's process forked. ForkserverError where the server is gone."""
        line, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        stdin, stdout = os.fdopen(ours_in, "w", encoding="utf-8"), os.fdopen(ours_out, encoding="utf-8")
        asked = json.dumps({"arguments": [*arguments], "environment": dict(environment)}).encode()
        try:
            with other:
                socket.send_fds(self.control, [asked], [theirs_in, theirs_out, errors.fileno(), other.fileno()])
            line.settimeout(PATIENCE_SECONDS)
            told, descriptors, _, _ = socket.recv_fds(line, 64, 1)
            pid, watched = int(told), descriptors[0]
        except (OSError, ValueError, IndexError) as error:  # nothing is sent by a server that is gone
            for one in (line, stdin, stdout):
                one.close()
            raise ForkserverError(f"it ended before it forked: {error}") from error
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        return Spawned(pid, stdin, stdout, line, watched)

    def close(self) -> None:
        """End it."""
        self.control.close()
        self.process.wait()


_server: Server | None = None
_lock = threading.Lock()


def spawn(arguments: Sequence[str], environment: Mapping[str, str], errors: IO[bytes]) -> Spawned:
    """The process of a re-run with these arguments and this environment, forked by the server of this process. ForkserverError where none can be had."""
    if sys.platform != "linux":
        raise ForkserverError(f"{sys.platform} can't pass on what this takes")
    key = os.getpid(), os.getcwd(), sorted(one for one in environment.items() if one[0].startswith(IMPORTED_BY))  # noqa: PTH109  # it is compared, not used
    with contextlib.suppress(ForkserverError):
        return _current(environment, key).spawn(arguments, environment, errors)
    with _lock:
        close()  # it was killed: another may do
    return _current(environment, key).spawn(arguments, environment, errors)


def _current(environment: Mapping[str, str], key: object) -> Server:
    """The server of this process."""
    global _server  # noqa: PLW0603  # one for each process
    with _lock:
        if _server is None or _server.key != key:
            close()
            _server = Server.started(environment, key)
        return _server


@atexit.register
def close() -> None:
    """End the server of this process, if there is one. One of the process that this was forked from is left alone."""
    global _server  # as above
    server, _server = _server, None
    if server is not None:
        server.control.close()
        if server.process.poll() is None and isinstance(server.key, tuple) and server.key[0] == os.getpid():
            server.process.wait()


def _begin_anew() -> None:
    """In a process that the user forks: a lock that another thread held then would stay shut for ever, and the server is the parent's."""
    global _lock  # noqa: PLW0603  # as above
    _lock = threading.Lock()
    close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
