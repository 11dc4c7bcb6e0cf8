"""Which isolation a risk asks for, as the user's own project says in its pyproject.toml.

[tool.workbench.isolation]
medium = "process"                             # process (default of all), container, gvisor or firecracker
high = "container"                             # risks: low, medium, high, critical
memory_gib = 4
scratch_gib = 8                                # what a re-run may write in all

[tool.workbench.isolation.container]           # gvisor too
engine = "docker"                              # or podman
image = "debian:stable-slim"                   # never pulled by us
python = ""                                    # the image's own interpreter; without it, this one is mounted read-only

[tool.workbench.isolation.firecracker]
kernel = "/srv/vmlinux"
rootfs = "/srv/agent.ext4"                     # holds Python, replay-workbench and the agent
python = "/usr/bin/python3"
jailer = true                                  # needs root, as the jailer does
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Literal, cast, get_args

from pydantic import Field, ValidationError

from workbench.model import Json, Level, Value

Risk = Literal["low", "medium", "high", "critical"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""From the weakest to the strongest."""
RISKS: tuple[Risk, ...] = get_args(Risk)


class IsolationError(ValueError):
    """A level that can't be reached, or settings that can't be used. The message says what would be right."""


class ContainerSettings(Value):
    """How containers are run."""

    engine: Literal["docker", "podman"] = "docker"
    image: str = "debian:stable-slim"
    python: str = ""
    processes: int = Field(default=512, gt=0)
    cpus: float | None = Field(default=None, gt=0)


class MicroVMSettings(Value):
    """What a microVM is made of."""

    kernel: str = ""
    rootfs: str = ""
    python: str = "/usr/bin/python3"
    jailer: bool = True
    uid: int = 65534
    gid: int = 65534
    cpus: int = Field(default=1, gt=0)


class Settings(Value):
    """The level of each risk, and what the backends need."""

    low: Level = "process"
    medium: Level = "process"
    high: Level = "process"
    critical: Level = "process"
    memory_gib: float = Field(default=4.0, gt=0)
    scratch_gib: float = Field(default=8.0, gt=0)
    container: ContainerSettings = ContainerSettings()
    firecracker: MicroVMSettings = MicroVMSettings()

    def level(self, risk: Risk) -> Level:
        """The level that a risk asks for."""
        return cast("Level", getattr(self, risk))

    @property
    def memory_bytes(self) -> int:
        """The memory of a re-run."""
        return int(self.memory_gib * (1 << 30))

    @property
    def scratch_bytes(self) -> int:
        """What a re-run may write in all."""
        return int(self.scratch_gib * (1 << 30))


def parse(table: dict[str, Json], place: str) -> Settings:
    """The settings in a `[tool.workbench.isolation]`. IsolationError names the entry, what it holds, and what would be right."""
    try:
        return Settings.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        known = [*Settings.model_fields, *ContainerSettings.model_fields, *MicroVMSettings.model_fields]
        near = get_close_matches(str(first["loc"][-1]), known, n=1) if first["type"] == "extra_forbidden" else []
        hint = f"; did you mean {near[0]}?" if near else ""
        raise IsolationError(f"{place}: tool.workbench.isolation.{where} = {first.get('input')!r}: {first['msg']}{hint}") from error
