"""Bounds what a re-run may use: memory, file size, processor time, threads."""

from __future__ import annotations

import os
import resource
import sys

from workbench.replay.sandbox.measures import Measure

MEMORY_BYTES = 4 << 30
"""Memory that a process writes to (RLIMIT_DATA), unless configured otherwise."""
RESERVED_FACTOR = 8
"""Address space against memory: numerical libraries reserve far more than they use."""
FILE_BYTES = 8 << 30
THREADS = 512


def limit(seconds: float, memory_bytes: int, *, alone: bool) -> Measure:
    """Set the limits of this process, for good. `alone`: it has a user namespace of its own, so that counting threads counts no one else's.

    The kernel exempts root from counting threads; there their stacks, which are memory, bound them.
    """
    keeps = "limited memory, file size and time"
    wanted = {
        resource.RLIMIT_AS: memory_bytes * RESERVED_FACTOR,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_CPU: int(seconds * (os.cpu_count() or 1)) + 1,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":  # elsewhere it leaves out what is mapped, so it would promise too much
        wanted[resource.RLIMIT_DATA] = memory_bytes
    if alone:
        wanted[resource.RLIMIT_NPROC] = THREADS
    for what, most in wanted.items():
        _, hard = resource.getrlimit(what)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(what, (least, least))
        except (ValueError, OSError) as error:
            return Measure(keeps, False, str(error))
    return Measure(keeps, True, f"{memory_bytes / (1 << 30):g} GiB, {FILE_BYTES >> 30} GiB, {seconds:g} s")
