"""Landlock: what this process may write to and execute, and which others it may signal. See the kernel's userspace-api/landlock."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from workbench.replay.sandbox.kernel import libc, why
from workbench.replay.sandbox.measures import Measure

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READS = 1 << 0, 1 << 1, 1 << 2 | 1 << 3
FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many file system rights each Landlock version knows."""
FROM_ABI_NETWORK, FROM_ABI_SCOPES = 4, 6
TCP, SCOPES = 0b11, 0b11


def confine(writable: Sequence[Path], witness: Path) -> tuple[Measure, ...]:
    """Let this process write beneath the folders only, execute nothing, and signal nobody else; it can trace nobody outside then either."""
    abi = int(libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1))
    failed = f"no Landlock: {why()}" if abi < 1 else _restrict(abi, writable)
    if failed:
        return Measure("writes only to scratch", False, failed), Measure("no programs", False, failed)
    held = not can_write(witness)
    says = f"Landlock ABI {abi}" if held else "Landlock is in force, yet a file could be made outside"
    scoped = abi >= FROM_ABI_SCOPES
    signals = Measure("no signals to other processes", scoped, f"Landlock ABI {abi}" if scoped else f"needs Landlock ABI {FROM_ABI_SCOPES}, here is {abi}")
    return Measure("writes only to scratch", held, says), Measure("no programs", held, says), signals


def can_write(folder: Path) -> bool:
    """Whether a file can be made in a folder, found out by making one."""
    try:
        os.close(os.open(folder / "escaped", os.O_WRONLY | os.O_CREAT))
    except OSError:
        return False
    return True


def _restrict(abi: int, writable: Sequence[Path]) -> str:
    """Handle every right but reading, and grant those of writing beneath the folders. Returns what went wrong, empty when nothing did."""
    rights = (1 << FS_RIGHTS[min(abi, 5)]) - 1 & ~READS
    words = (rights, TCP if abi >= FROM_ABI_NETWORK else 0, SCOPES if abi >= FROM_ABI_SCOPES else 0)
    size = 8 if abi < FROM_ABI_NETWORK else 16 if abi < FROM_ABI_SCOPES else 24
    ruleset = int(libc().syscall(CREATE_RULESET, struct.pack("=QQQ", *words), ctypes.c_size_t(size), 0))
    if ruleset < 0:
        return f"Landlock ruleset: {why()}"
    try:
        for path, granted in [(Path(os.devnull), WRITE_FILE), *((folder, rights & ~EXECUTE) for folder in writable)]:
            if failed := _grant(ruleset, path, granted):
                return failed
        return f"Landlock: {why()}" if libc().syscall(RESTRICT_SELF, ruleset, 0) else ""
    finally:
        os.close(ruleset)


def _grant(ruleset: int, path: Path, rights: int) -> str:
    beneath = os.open(path, os.O_PATH)
    try:
        failed = libc().syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, beneath), 0)
        return f"Landlock rule: {why()}" if failed else ""
    finally:
        os.close(beneath)
