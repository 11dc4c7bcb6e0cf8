"""Shuts the current process in, for good: no network, writes to given folders only, nothing executed, bounded memory and time.

Linux offers all of it to an unprivileged process: namespaces, Landlock, seccomp, resource limits. Each measure says whether it took hold, from
what the kernel does afterwards rather than from what was asked. Where one is missing, the process is guarded by the tripwire alone, and the
isolation says so. Files can still be read, as the user could. Call it before any thread exists and before any code of others is imported.
"""

from __future__ import annotations

import platform
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from workbench.replay.sandbox import kernel, landlock, limits, namespaces, seccomp
from workbench.replay.sandbox.limits import MEMORY_BYTES
from workbench.replay.sandbox.measures import Isolation, Measure

__all__ = ["MEMORY_BYTES", "Isolation", "Measure", "enter"]


def enter(writable: Sequence[Path], *, seconds: float, witness: Path, memory_bytes: int = MEMORY_BYTES, around: str = "") -> Isolation:
    """Shut this process in. `writable` are the folders it may still write to; `witness` is one it must not be able to write to, as the proof.

    `around` names walls that already stand, such as a container without a network, which may leave no room for namespaces inside.
    """
    if sys.platform != "linux":
        reason = f"{platform.system()} offers no unprivileged sandbox that we use"
        lacking = (Measure("no network", False, reason), Measure("writes only to scratch", False, reason))
        return Isolation((*lacking, limits.limit(seconds, memory_bytes, alone=False)))
    network = namespaces.found()
    limited = limits.limit(seconds, memory_bytes, alone=network.held)
    frozen = (namespaces.freeze(writable, witness),) if network.held else ()
    kernel.drop_privileges()
    measures = (network, *landlock.confine(writable, witness), *frozen, *_from_outside(around, witness))
    return Isolation((*_strongest(measures), *seccomp.filter_calls(), limited))


def _from_outside(around: str, witness: Path) -> tuple[Measure, ...]:
    """What the walls around keep out, as seen from inside them."""
    if not around:
        return ()
    others = [name for _, name in socket.if_nameindex() if name != "lo"]
    return (
        Measure("no network", not others, f"{around} without one" if not others else f"{around} with {', '.join(others)}"),
        Measure("writes only to scratch", not landlock.can_write(witness), f"{around}, read-only"),
    )


def _strongest(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    """One measure for each thing kept out: held if any holds it."""
    found: dict[str, Measure] = {}
    for one in measures:
        known = found.get(one.keeps)
        if known is None or (one.held and not known.held):
            found[one.keeps] = one
        elif one.held:
            found[one.keeps] = replace(known, says=f"{known.says}, {one.says}")
    return tuple(found.values())
