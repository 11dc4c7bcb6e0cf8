"""A Firecracker microVM: a kernel of its own behind KVM, under the jailer where we may use it, without a network device.

The request goes in on one read-only drive and the answer comes out on another, each a bare tar archive: no file system has to be made or mounted.
What is told and asked meanwhile passes over the serial console. Inside, `workbench.replay.isolation.guest` is the first process.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from uuid import uuid4

from workbench.model import Json
from workbench.replay.isolation.launch import Launch, Task
from workbench.replay.isolation.settings import IsolationError, MicroVMSettings

GUEST = "workbench.replay.isolation.guest"
REQUEST_DRIVE, ANSWER_DRIVE = "/dev/vdb", "/dev/vdc"
SECTOR, ANSWER_BYTES, MIB = 512, 2 << 30, 1 << 20
BOOT = "console=ttyS0 quiet loglevel=0 reboot=k panic=-1 pci=off i8042.noaux ro root=/dev/vda"
JOB = "job.json"
"""In the request's archive: the command and the environment for inside."""


@dataclass(frozen=True)
class MicroVM:
    """One way to run microVMs: a kernel, a root file system, and how much of the machine each gets."""

    settings: MicroVMSettings
    memory_bytes: int

    def lacks(self) -> str:
        """What is missing to run one here, empty when nothing is."""
        needed = ["firecracker", *(["jailer"] if self.settings.jailer else [])]
        lacking = [f"{one} is not on the PATH" for one in needed if which(one) is None]
        lacking += [] if os.access("/dev/kvm", os.R_OK | os.W_OK) else ["/dev/kvm can't be opened"]
        for name in ("kernel", "rootfs"):
            path = getattr(self.settings, name)
            lacking += [] if path and Path(path).is_file() else [f"tool.workbench.isolation.firecracker.{name} names no file ({path!r})"]
        lacking += ["the jailer must be started by root (jailer = false does without)"] if self.settings.jailer and os.getuid() else []
        return "; ".join(lacking)

    @contextmanager
    def launched(self, task: Task) -> Iterator[Launch]:
        """The command that does a task in a microVM of its own; afterwards the answer stands where it was wanted."""
        name = f"workbench-{uuid4().hex[:12]}"
        with TemporaryDirectory(prefix="workbench-vm-") as place:
            folder = Path(place, "firecracker", name, "root") if self.settings.jailer else Path(place)
            folder.mkdir(parents=True, exist_ok=True)
            self._furnish(folder, task)
            yield Launch(tuple(self.command(Path(place), name)), os.environ)
            unpack(folder / "answer.img", task.inside)

    def command(self, place: Path, name: str) -> list[str]:
        """The whole command: the jailer's, or Firecracker's own."""
        alone = ["--no-api", "--config-file"]
        if not self.settings.jailer:
            return [which("firecracker") or "firecracker", "--id", name, *alone, str(place / "config.json")]
        ids = ["--uid", str(self.settings.uid), "--gid", str(self.settings.gid)]
        program = ["--exec-file", which("firecracker") or "firecracker", "--chroot-base-dir", str(place)]
        return [which("jailer") or "jailer", "--id", name, *program, *ids, "--", *alone, "config.json"]

    def configuration(self, folder: str) -> dict[str, Json]:
        """Firecracker's own, of `--config-file`; paths beneath `folder`, which is "" inside the jailer's root. No network interface is named."""
        at = f"{folder}/" if folder else ""
        boot = f"{BOOT} init={self.settings.python} -- -m {GUEST} {REQUEST_DRIVE} {ANSWER_DRIVE}"
        return {
            "boot-source": {"kernel_image_path": f"{at}vmlinux", "boot_args": boot},
            "drives": [
                {"drive_id": "rootfs", "path_on_host": f"{at}rootfs.img", "is_root_device": True, "is_read_only": True},
                {"drive_id": "request", "path_on_host": f"{at}request.img", "is_root_device": False, "is_read_only": True},
                {"drive_id": "answer", "path_on_host": f"{at}answer.img", "is_root_device": False, "is_read_only": False},
            ],
            "machine-config": {"vcpu_count": self.settings.cpus, "mem_size_mib": max(128, self.memory_bytes // MIB), "smt": False},
            "logger": {"log_path": f"{at}firecracker.log", "level": "Warning"},
        }

    def _furnish(self, folder: Path, task: Task) -> None:
        """Put all that the microVM is made of into its folder."""
        for name, given in (("vmlinux", self.settings.kernel), ("rootfs.img", self.settings.rootfs)):
            try:
                (folder / name).hardlink_to(given)
            except OSError:  # another file system, or not ours to link
                shutil.copyfile(given, folder / name)
        pack(task, self.settings.python, folder / "request.img")
        with (folder / "answer.img").open("wb") as answer:
            answer.truncate(ANSWER_BYTES)  # sparse: takes no room until it is written to
        (folder / "firecracker.log").touch()
        config = self.configuration("" if self.settings.jailer else str(folder))
        (folder / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
        if self.settings.jailer:
            for one in ("answer.img", "firecracker.log"):
                os.chown(folder / one, self.settings.uid, self.settings.gid)


def pack(task: Task, python: str, drive: Path) -> None:
    """Write the request, the folder it works in, and the command for inside to a drive, as a tar archive of whole sectors."""
    job = {"command": [python, *task.arguments("a microVM")], "environment": dict(task.environment), "inside": str(task.inside), "outside": str(task.outside)}
    text = json.dumps(job).encode()
    with tarfile.open(drive, "w") as archive:
        entry = tarfile.TarInfo(JOB)
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
        for path in (task.question, task.inside):
            archive.add(path, arcname=str(path).lstrip("/"))
    with drive.open("ab") as stream:
        stream.truncate(-(-stream.tell() // SECTOR) * SECTOR)


def unpack(drive: Path, inside: Path) -> None:
    """Put the answer's files where they were wanted: plain files only, none outside, whatever the archive says. IsolationError where there is none."""
    try:
        with tarfile.open(drive, "r:") as archive:
            members = [one for one in archive if one.isfile()]
            archive.extractall(inside, members, filter="data")
    except tarfile.TarError as error:
        raise IsolationError(f"the microVM ended without an answer: {error}") from error
