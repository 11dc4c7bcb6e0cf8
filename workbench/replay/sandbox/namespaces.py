"""Namespaces of one's own: a network that holds nothing but a loopback interface that is down, and mounts that are read-only outside scratch."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from workbench.replay.sandbox.kernel import libc, why
from workbench.replay.sandbox.measures import Measure

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, RDONLY = 442, -100, 0x8000, 1


def found() -> Measure:
    """Move this process into user, network, mount and IPC namespaces of its own."""
    before, user, group = Path("/proc/self/ns/net").readlink(), os.getuid(), os.getgid()
    if libc().unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS):
        return Measure("no network", False, f"no user and network namespace here: {why()}")
    with suppress(OSError):  # cosmetic: without it the process sees itself as nobody
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    if Path("/proc/self/ns/net").readlink() == before:
        return Measure("no network", False, "the network namespace is still the one of before")
    return Measure("no network", True, "user and network namespace")


def freeze(writable: Sequence[Path], witness: Path) -> Measure:
    """Make every mount read-only but those of the folders; needs a mount namespace of one's own. Landlock alone leaves modes, owners and times open."""
    keeps = "no changed modes or times outside"
    if failed := _remount(writable):
        return Measure(keeps, False, failed)
    try:
        witness.chmod(witness.stat().st_mode & 0o7777)
    except OSError:
        return Measure(keeps, True, "read-only mounts")
    return Measure(keeps, False, "the mounts are read-only, yet a mode could be set outside")


def _remount(writable: Sequence[Path]) -> str:
    """Returns what went wrong, empty when nothing did."""
    if libc().mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        return f"mounts can't be made private: {why()}"
    for folder in writable:
        if libc().mount(bytes(folder), bytes(folder), None, MS_BIND | MS_REC, None):
            return f"no mount of its own for {folder}: {why()}"
    changes = [(Path("/"), RDONLY, 0), *((folder, 0, RDONLY) for folder in writable)]
    for path, adds, takes in changes:
        attributes = struct.pack("=QQQQ", adds, takes, 0, 0)
        if libc().syscall(MOUNT_SETATTR, AT_FDCWD, bytes(path), AT_RECURSIVE, attributes, len(attributes)):
            return f"read-only mounts: {why()}"
    return ""
