"""Shuts the current process in, for good: no network, writes to given folders only, nothing executed, bounded memory and time.

Linux offers all of it to an unprivileged process: user and network namespaces, Landlock, seccomp, resource limits. Each measure says whether
it took hold, from what the kernel does afterwards rather than from what was asked. Where one is missing, the process is guarded by the
tripwire alone, and the isolation says so. Call it before any thread exists and before any code of others is imported.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READS = 1 << 0, 1 << 1, 1 << 2 | 1 << 3
FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many file system rights each Landlock version knows."""
FROM_ABI_NETWORK, FROM_ABI_SCOPES = 4, 6
TCP, SCOPES = 0b11, 0b11
MEMORY_BYTES = 16 << 30
"""Address space, not resident memory: numerical libraries reserve far more than they use."""
FILE_BYTES = 8 << 30
SOCKET_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Per architecture: its number in an audit record, and that of the system call `socket`."""
IO_URING_SETUP, OTHER_RULES = 425, 0x40000000
"""A system call's number on every architecture, and the bit by which x86-64 tells 32-bit pointers."""


@dataclass(frozen=True)
class Measure:
    """One wall: what it keeps out, whether it stands, and how, or why not."""

    keeps: str
    held: bool
    says: str


@dataclass(frozen=True)
class Isolation:
    """The walls around this process."""

    measures: tuple[Measure, ...]
    needed: tuple[str, ...] = ("no network", "writes only to scratch")

    @property
    def sandboxed(self) -> bool:
        """Whether every wall stands without which code could still touch something real."""
        return {measure.keeps for measure in self.measures if measure.held}.issuperset(self.needed)

    def __str__(self) -> str:
        held = ", ".join(f"{measure.keeps} ({measure.says})" for measure in self.measures if measure.held)
        lacks = "; ".join(f"{measure.keeps}: {measure.says}" for measure in self.measures if not measure.held)
        if self.sandboxed:
            return f"sandboxed: {held}" + (f"; without {lacks}" if lacks else "")
        return f"guarded, not sandboxed: {lacks}" + (f"; in force: {held}" if held else "")


def enter(writable: Sequence[Path], *, seconds: float, witness: Path) -> Isolation:
    """Shut this process in. `writable` are the folders it may still write to; `witness` is one it must not be able to write to, as the proof."""
    limits = _limit(seconds)
    if sys.platform != "linux":
        why = f"{platform.system()} offers no unprivileged sandbox that we use"
        return Isolation((Measure("no network", False, why), Measure("writes only to scratch", False, why), limits))
    libc = ctypes.CDLL(None, use_errno=True)
    network = _cut_network(libc)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return Isolation((network, *_landlock(libc, writable, witness), _no_unix_sockets(libc), limits))


def _limit(seconds: float) -> Measure:
    keeps = "limited memory, file size and time"
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CPU, int(seconds * (os.cpu_count() or 1)) + 1),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(what, (least, least))
        except (ValueError, OSError) as error:
            return Measure(keeps, False, str(error))
    return Measure(keeps, True, f"{MEMORY_BYTES >> 30} GiB, {FILE_BYTES >> 30} GiB, {seconds:g} s")


def _cut_network(libc: ctypes.CDLL) -> Measure:
    """A network namespace of our own holds nothing but a loopback interface that is down."""
    before, user, group = Path("/proc/self/ns/net").readlink(), os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC):
        return Measure("no network", False, f"no user and network namespace here: {os.strerror(ctypes.get_errno())}")
    with suppress(OSError):  # cosmetic: without it the process sees itself as nobody
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    if Path("/proc/self/ns/net").readlink() == before:
        return Measure("no network", False, "the network namespace is still the one of before")
    return Measure("no network", True, "user and network namespace")


def _landlock(libc: ctypes.CDLL, writable: Sequence[Path], witness: Path) -> tuple[Measure, ...]:
    abi = int(libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1))
    if abi < 1:
        why = f"no Landlock: {os.strerror(ctypes.get_errno())}"
        return Measure("writes only to scratch", False, why), Measure("no programs", False, why)
    if why := _restrict(libc, abi, writable):
        return Measure("writes only to scratch", False, why), Measure("no programs", False, why)
    held = not _can_write(witness)
    says = f"Landlock ABI {abi}" if held else "Landlock is in force, yet a file could be made outside"
    return Measure("writes only to scratch", held, says), Measure("no programs", held, says), *_scopes(abi)


def _restrict(libc: ctypes.CDLL, abi: int, writable: Sequence[Path]) -> str:
    """Handle every right but reading, and grant those of writing beneath the folders. Returns what went wrong, empty when nothing did."""
    rights = (1 << FS_RIGHTS[min(abi, 5)]) - 1 & ~READS
    words = (rights, TCP if abi >= FROM_ABI_NETWORK else 0, SCOPES if abi >= FROM_ABI_SCOPES else 0)
    size = 8 if abi < FROM_ABI_NETWORK else 16 if abi < FROM_ABI_SCOPES else 24
    ruleset = int(libc.syscall(CREATE_RULESET, struct.pack("=QQQ", *words), ctypes.c_size_t(size), 0))
    if ruleset < 0:
        return f"Landlock ruleset: {os.strerror(ctypes.get_errno())}"
    try:
        for path, granted in [(Path(os.devnull), WRITE_FILE), *((folder, rights & ~EXECUTE) for folder in writable)]:
            if why := _grant(libc, ruleset, path, granted):
                return why
        return f"Landlock: {os.strerror(ctypes.get_errno())}" if libc.syscall(RESTRICT_SELF, ruleset, 0) else ""
    finally:
        os.close(ruleset)


def _grant(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> str:
    beneath = os.open(path, os.O_PATH)
    try:
        failed = libc.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, beneath), 0)
        return f"Landlock rule: {os.strerror(ctypes.get_errno())}" if failed else ""
    finally:
        os.close(beneath)


def _scopes(abi: int) -> tuple[Measure, ...]:
    held = abi >= FROM_ABI_SCOPES
    return (Measure("no signals to other processes", held, f"Landlock ABI {abi}" if held else f"needs Landlock ABI {FROM_ABI_SCOPES}, here is {abi}"),)


def _can_write(folder: Path) -> bool:
    try:
        os.close(os.open(folder / "escaped", os.O_WRONLY | os.O_CREAT))
    except PermissionError:
        return False
    return True


def _no_unix_sockets(libc: ctypes.CDLL) -> Measure:
    """Unix sockets reach daemons past any network namespace, so `socket(AF_UNIX, …)` is refused, and io_uring, which could make one too.

    `socketpair`, which asyncio needs, is let through: its two ends only reach each other.
    """
    keeps, machine = "no Unix sockets", platform.machine()
    if machine not in SOCKET_CALLS:
        return Measure(keeps, False, f"no seccomp filter for {machine}")
    architecture, number = SOCKET_CALLS[machine]
    load, equal, at_least, give, allow, refuse = 0x20, 0x15, 0x35, 0x06, 0x7FFF0000, 0x00050000 | errno.EPERM
    code = [
        (load, 0, 0, 4), (equal, 0, 7, architecture),  # a call by the rules of another architecture is refused
        (load, 0, 0, 0), (at_least, 5, 0, OTHER_RULES), (equal, 4, 0, IO_URING_SETUP), (equal, 0, 2, number),
        (load, 0, 0, 16), (equal, 1, 0, socket.AF_UNIX),  # the first argument of `socket`
        (give, 0, 0, allow), (give, 0, 0, refuse),
    ]  # fmt: skip
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    filters = struct.pack("@HP", len(code), ctypes.addressof(program))
    failed = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filters, 0, 0)
    return Measure(keeps, not failed, "seccomp" if not failed else f"seccomp: {os.strerror(ctypes.get_errno())}")
