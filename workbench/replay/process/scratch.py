"""Bounds what a re-run writes to its scratch folder in all, so that it can't fill the disk: no limit of the kernel's counts more than one file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 512
LOOK_SECONDS = 0.2
"""How often it is looked at: what is written in between is written."""


@dataclass(frozen=True)
class Scratch:
    """A folder that a process writes to, `most` bytes in all. A file that was removed while it is open still counts, where the system tells of it."""

    folder: Path
    process_id: int
    most: int

    def full(self) -> bool:
        """Whether there is more in it than may be."""
        return max(self._held(), self._written()) > self.most

    def _held(self) -> int:
        return sum(_sizes(self.folder))

    def _written(self) -> int:
        """What the process had written to storage, less what it took back unwritten; 0 where the system doesn't tell."""
        with suppress(OSError, ValueError):
            fields = dict(line.split(": ") for line in Path(f"/proc/{self.process_id}/io").read_text("ascii").splitlines())
            return int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])
        return 0


def _sizes(folder: Path) -> Iterator[int]:
    """The bytes that each file takes, symbolic links not followed. What vanishes meanwhile takes none."""
    with suppress(OSError), os.scandir(folder) as entries:
        for one in entries:
            with suppress(OSError):
                found = one.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    yield from _sizes(Path(one.path))
                yield found.st_blocks * BLOCK_BYTES
