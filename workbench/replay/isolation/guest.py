"""The first process inside a microVM: unpacks the request's drive, has it done, packs the answer's drive, and ends the machine.

`python -m workbench.replay.isolation.guest REQUEST_DRIVE ANSWER_DRIVE`. As process 1 it mounts what a bare root file system lacks.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

JOB = "job.json"
MOUNTS = ((b"proc", b"/proc"), (b"sysfs", b"/sys"), (b"devtmpfs", b"/dev"), (b"tmpfs", b"/tmp"))
RESTART = 0x01234567


def main(request_drive: str, answer_drive: str) -> int:
    """Do the job on one drive and leave what came of it on the other."""
    first = os.getpid() == 1
    if first:
        _mount()
    with tarfile.open(request_drive, "r:") as archive:
        job = json.load(archive.extractfile(JOB) or sys.stdin)
        archive.extractall("/", [one for one in archive if one.name != JOB], filter="data")
    Path(job["outside"]).mkdir(parents=True, exist_ok=True)
    inside = Path(job["inside"])
    done = subprocess.run(job["command"], cwd=inside, env=job["environment"], check=False)  # noqa: S603  # what the host packed for us
    with Path(answer_drive).open("r+b") as drive, tarfile.open(fileobj=drive, mode="w") as archive:
        archive.add(inside, arcname=".")
    os.sync()
    if first:
        ctypes.CDLL(None).reboot(RESTART)
    return done.returncode


def _mount() -> None:
    libc = ctypes.CDLL(None)
    for kind, where in MOUNTS:
        libc.mount(kind, where, kind, 0, None)  # what is mounted already stays


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
