"""Ways out of a re-run, tried by an agent's own code, most of them straight through the C library, past Python and its audit events.

What stands outside is named by the environment: OUTSIDE (a folder with `kept.txt`), PORT, UDP_PORT, UNIX_PATH, ABSTRACT, DATAGRAM_PATH, PARENT_ADDRESS,
FOREIGN_DB. `attempt` tries them all and tells, in JSON, what each came to; whether it is true is for a witness outside to say.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import platform
import signal
import socket
import sqlite3
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
X86 = platform.machine() == "x86_64"
ADD_KEY, PROCESS_VM_WRITEV, PRLIMIT = (248, 311, 302) if X86 else (217, 271, 261)
IO_URING_SETUP, AF_VSOCK, O_TMPFILE, AT_FDCWD, AT_SYMLINK_FOLLOW = 425, 40, 0o20200000, -100, 0x400
PTRACE_SEIZE, RLIMIT_NPROC, KEY_SPEC_USER_KEYRING = 0x4206, 6, -4
MARK = b"escaped"
SECRET = "hunter2"


def _outside(name: str = "kept.txt") -> bytes:
    return os.fsencode(os.environ["OUTSIDE"]) + b"/" + name.encode()


def _scratch(name: str) -> bytes:
    return os.fsencode(os.environ["TMPDIR"]) + b"/" + name.encode()


def _checked(result: int) -> int:
    """The result of a call of the C library, or its error as one of Python's."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _write_to(path: bytes, flags: int = os.O_WRONLY) -> None:
    handle = _checked(LIBC.open(path, flags, 0o600))
    _checked(LIBC.write(handle, MARK, len(MARK)))
    LIBC.close(handle)


def _inet(port: str) -> bytes:
    return struct.pack("=H", socket.AF_INET) + int(os.environ[port]).to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)


def _unix(path: bytes) -> bytes:
    return struct.pack("=H", socket.AF_UNIX) + path


def _connected(family: int, address: bytes) -> None:
    handle = _checked(LIBC.socket(family, socket.SOCK_STREAM, 0))
    _checked(LIBC.connect(handle, address, len(address)))


def tcp() -> None:
    _connected(socket.AF_INET, _inet("PORT"))


def udp() -> None:
    handle = _checked(LIBC.socket(socket.AF_INET, socket.SOCK_DGRAM, 0))
    _checked(LIBC.sendto(handle, MARK, len(MARK), 0, _inet("UDP_PORT"), 16))


def unix() -> None:
    _connected(socket.AF_UNIX, _unix(os.fsencode(os.environ["UNIX_PATH"]) + b"\0"))


def abstract_unix() -> None:
    _connected(socket.AF_UNIX, _unix(b"\0" + os.environ["ABSTRACT"].encode()))


def unix_datagram() -> None:
    """Send from one end of a pair, which needs no socket of its own: to any address, where the pair is one of datagrams."""
    pair = (ctypes.c_int * 2)()
    _checked(LIBC.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0, pair))
    _sent(pair[0])


def unix_stream() -> None:
    """The same from a pair of streams."""
    pair = (ctypes.c_int * 2)()
    _checked(LIBC.socketpair(socket.AF_UNIX, socket.SOCK_STREAM, 0, pair))
    _sent(pair[0])


def _sent(handle: int) -> None:
    address = _unix(os.fsencode(os.environ["DATAGRAM_PATH"]) + b"\0")
    _checked(LIBC.sendto(handle, MARK, len(MARK), 0, address, len(address)))


def vsock() -> None:
    _checked(LIBC.socket(AF_VSOCK, socket.SOCK_STREAM, 0))


def thread() -> None:
    """Connect from a thread of the agent's own."""
    found: list[BaseException] = []

    def try_it() -> None:
        try:
            tcp()
        except BaseException as error:  # noqa: BLE001  # handed over below
            found.append(error)

    one = threading.Thread(target=try_it)
    one.start()
    one.join()
    if found:
        raise found[0]


def process() -> None:
    """Start a program; what it would leave is in scratch, where a program could write."""
    LIBC.system(b"echo escaped > " + _scratch("ran"))
    if not Path(os.fsdecode(_scratch("ran"))).exists():
        raise PermissionError("nothing ran")


def fork_bomb() -> None:
    """Fork a hundred times."""
    made = 0
    for _ in range(100):
        child = LIBC.fork()
        if child == 0:
            os._exit(0)
        made += child > 0
    if not made:
        _checked(-1)


def thread_bomb() -> None:
    """Start threads without end: an error is the end."""
    done = threading.Event()
    try:
        for _ in range(5000):
            threading.Thread(target=done.wait, daemon=True).start()
    finally:
        done.set()


def memory_bomb() -> None:
    """Take private memory without end."""
    [mmap.mmap(-1, 1 << 28, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(64)]


def shared_memory_bomb() -> None:
    """Take memory that is nobody's."""
    [mmap.mmap(-1, 1 << 28, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS) for _ in range(64)]


def write() -> None:
    _write_to(_outside())


def symlink() -> None:
    _checked(LIBC.symlink(_outside(), _scratch("link")))
    _write_to(_scratch("link"))


def hard_link() -> None:
    _checked(LIBC.link(_outside(), _scratch("hard")))
    _write_to(_scratch("hard"))


def rename_out() -> None:
    Path(os.fsdecode(_scratch("mine"))).write_bytes(MARK)
    _checked(LIBC.rename(_scratch("mine"), _outside()))


def rename_in() -> None:
    _checked(LIBC.rename(_outside(), _scratch("taken")))


def unnamed_file() -> None:
    """Make a file without a name outside, and give it one."""
    handle = _checked(LIBC.open(_outside(""), O_TMPFILE | os.O_RDWR, 0o600))
    _checked(LIBC.linkat(AT_FDCWD, f"/proc/self/fd/{handle}".encode(), AT_FDCWD, _outside("unnamed"), AT_SYMLINK_FOLLOW))


def remove() -> None:
    _checked(LIBC.unlink(_outside()))


def make_folder() -> None:
    _checked(LIBC.mkdir(_outside("made"), 0o700))


def make_pipe() -> None:
    _checked(LIBC.mkfifo(_outside("pipe"), 0o600))


def truncate() -> None:
    _checked(LIBC.truncate(_outside(), ctypes.c_long(0)))


def change_mode() -> None:
    _checked(LIBC.chmod(_outside(), 0o777))


def change_times() -> None:
    _checked(LIBC.utimes(_outside(), struct.pack("=qqqq", 1, 0, 1, 0)))


def change_attribute() -> None:
    _checked(LIBC.setxattr(_outside(), b"user.escaped", MARK, len(MARK), 0))


def own_memory() -> None:
    """Write to a file's read-only mapping by way of one's own memory."""
    with Path(os.fsdecode(_outside())).open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    where = next(int(line.partition("-")[0], 16) for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("kept.txt"))
    handle = _checked(LIBC.open(b"/proc/self/mem", os.O_RDWR))
    _checked(LIBC.pwrite(handle, MARK, len(MARK), ctypes.c_long(where)))
    mapped.close()


def open_again() -> None:
    """Open a file to read, and the same file again to write by its descriptor."""
    handle = _checked(LIBC.open(_outside(), os.O_RDONLY))
    _write_to(f"/proc/self/fd/{handle}".encode())


def inherited() -> None:
    """Write to a file that the process which asked for the re-run holds open."""
    open_here = [int(one.name) for one in Path("/proc/self/fd").iterdir() if os.path.realpath(one) == os.fsdecode(_outside())]
    held = [one for one in open_here if fcntl.fcntl(one, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY]
    if not held:
        raise PermissionError("nothing was handed down")
    os.write(held[0], MARK)


def signal_parent() -> None:
    _checked(LIBC.kill(os.getppid(), signal.SIGUSR1))


def trace_parent() -> None:
    _checked(LIBC.ptrace(PTRACE_SEIZE, os.getppid(), None, None))


def _address() -> int:
    return int(os.environ["PARENT_ADDRESS"])


def parent_memory() -> None:
    handle = _checked(LIBC.open(f"/proc/{os.getppid()}/mem".encode(), os.O_RDWR))
    _checked(LIBC.pwrite(handle, MARK, len(MARK), ctypes.c_long(_address())))


def parent_memory_read() -> str:
    with Path(f"/proc/{os.getppid()}/mem").open("rb", buffering=0) as stream:
        stream.seek(_address())
        return stream.read(64).decode("latin-1")


def parent_memory_by_call() -> None:
    text = ctypes.create_string_buffer(MARK)
    mine, other = (struct.pack("=QQ", place, len(MARK)) for place in (ctypes.addressof(text), _address()))
    _checked(LIBC.syscall(PROCESS_VM_WRITEV, os.getppid(), mine, 1, other, 1, 0))


def parent_limits() -> None:
    _checked(LIBC.syscall(PRLIMIT, os.getppid(), RLIMIT_NPROC, struct.pack("=QQ", 7, 7), None))


def parent_environment() -> str:
    return Path(f"/proc/{os.getppid()}/environ").read_text()


def environment() -> str:
    return "\n".join(f"{name}={value}" for name, value in os.environ.items()) + Path("/proc/self/environ").read_text()


def io_uring() -> None:
    _checked(LIBC.syscall(IO_URING_SETUP, 8, ctypes.create_string_buffer(120)))


def keyring() -> None:
    _checked(LIBC.syscall(ADD_KEY, b"user", b"workbench-escaped", MARK, len(MARK), KEY_SPEC_USER_KEYRING))


def new_namespace() -> None:
    """Found another user namespace, in which one would be root again."""
    _checked(LIBC.unshare(0x10000000))


def nested_graph() -> None:
    """A graph inside a node, invoked with a thread of its own and a saver of its own."""
    from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415  # as an agent's node would
    from langgraph.graph import START, StateGraph  # noqa: PLC0415

    builder = StateGraph(dict)
    builder.add_node("inner", lambda state: state)
    builder.add_edge(START, "inner")
    with sqlite3.connect(os.environ["FOREIGN_DB"], check_same_thread=False) as connection:
        builder.compile(checkpointer=SqliteSaver(connection)).invoke({"said": "escaped"}, {"configurable": {"thread_id": "escaped"}})


def _store_in_a_closure() -> Callable[[], None]:
    kept: list[Any] = []

    def put() -> None:
        from langgraph.store.sqlite import SqliteStore  # noqa: PLC0415  # as above

        kept.append(SqliteStore(sqlite3.connect(os.environ["FOREIGN_DB"], check_same_thread=False, isolation_level=None)))
        kept[0].setup()
        kept[0].put(("memories",), "escaped", {"said": "escaped"})

    return put


store_in_a_closure = _store_in_a_closure()

WAYS: dict[str, Callable[[], Any]] = {
    one.__name__: one
    for one in (
        tcp, udp, unix, abstract_unix, unix_datagram, unix_stream, vsock, thread, process, fork_bomb, thread_bomb, memory_bomb, shared_memory_bomb, write,
        symlink, hard_link, rename_out, rename_in, unnamed_file, remove, make_folder,
        make_pipe, truncate, change_mode, change_times, change_attribute, own_memory, open_again,
        inherited, signal_parent, trace_parent, parent_memory, parent_memory_read, parent_memory_by_call, parent_limits, parent_environment, environment,
        io_uring, keyring, new_namespace, nested_graph,
    )
} | {"store_in_a_closure": store_in_a_closure}  # fmt: skip


def attempt() -> str:
    """Try every way; by name either `refused` with the error, or what it came to."""
    return json.dumps({name: _attempted(way) for name, way in WAYS.items()})


def _attempted(way: Callable[[], Any]) -> str:
    try:
        return f"escaped: {way()}"
    except Exception as error:  # noqa: BLE001  # whatever stopped it
        return f"refused: {type(error).__name__}: {error}"
