"""The C library, for what Python's own library does not offer, and its errors in words."""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache

CAPABILITY_VERSION_3 = 0x20080522
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, SIGKILL = 1, 38, 9


@cache
def libc() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def why() -> str:
    """The last call's error in words."""
    return os.strerror(ctypes.get_errno())


def drop_privileges() -> None:
    """Give up what a user namespace grants to its founder, for good, and end with the process that asked for the re-run."""
    libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc().capset(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24))
    libc().prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
