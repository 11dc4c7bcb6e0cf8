"""A hardened container, by Docker or Podman; with gVisor's `runsc` as its runtime the kernel that code meets is gVisor's.

No network, a read-only root, no capabilities, no new privileges, bounded processes and memory, and of the host only what is named, read-only: the
request and the modules. The image is never pulled: what runs is what somebody chose to have here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from uuid import uuid4

from workbench.replay.isolation.launch import Launch, Task
from workbench.replay.isolation.settings import ContainerSettings

PATIENCE_S = 20
SCRATCH = "/tmp:rw,nosuid,nodev,noexec,size=64m"  # noqa: S108  # the container's own, gone with it
NOT_PASSED = frozenset(("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "HOSTNAME", "PWD", "SHELL", "USER", "LOGNAME", "TERM"))


@dataclass(frozen=True)
class Container:
    """One way to run containers: an engine, an image, and a runtime ("" is the engine's own)."""

    settings: ContainerSettings
    memory_bytes: int
    runtime: str = ""

    def lacks(self) -> str:
        """What is missing to run one here, empty when nothing is."""
        engine = self.settings.engine
        if which(engine) is None:
            return f"{engine} is not on the PATH"
        told = _asked(engine, "info", "--format", "{{json .}}")
        if told.returncode:
            return f"{engine} does not answer: {_last(told)}"
        if self.runtime and which(self.runtime) is None and self.runtime not in json.dumps(_parsed(told.stdout)):
            return f"{engine} knows no runtime {self.runtime!r}: install gVisor, and name it among {engine}'s runtimes"
        if _asked(engine, "image", "inspect", self.settings.image).returncode:
            image = self.settings.image
            return f"{engine} has no image {image!r} here: `{engine} pull {image}`, or name yours as tool.workbench.isolation.container.image"
        return ""

    @contextmanager
    def launched(self, task: Task) -> Iterator[Launch]:
        """The command that does a task in a container of its own."""
        name = f"workbench-{uuid4().hex[:12]}"
        variables = task.question.with_name("environment.list")
        kept = {key: value for key, value in task.environment.items() if key not in NOT_PASSED and "\n" not in value}
        variables.write_text("".join(f"{key}={value}\n" for key, value in kept.items()), "utf-8")
        engine = self.settings.engine
        try:
            yield Launch(tuple(self.command(task, name, variables)), os.environ)
        except BaseException:
            _asked(engine, "kill", name)  # to kill the engine's client, as one does that takes too long, leaves the container running
            raise
        finally:
            variables.unlink()

    def command(self, task: Task, name: str, variables: Path) -> list[str]:
        """The whole command, from the engine to the child's arguments."""
        around = "gVisor's container" if self.runtime else f"{self.settings.engine}'s container"
        return [
            self.settings.engine, "run", "--rm", "--interactive", "--name", name, "--pull", "never",
            *(("--runtime", self.runtime) if self.runtime else ()),
            *(("--runtime-flag", "network=none") if self.runtime and self.settings.engine == "podman" else ()),
            "--ulimit", "nofile=1024:1024", "--ulimit", f"nproc={self.settings.processes}:{self.settings.processes}",
            "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--ipc", "private",
            "--pids-limit", str(self.settings.processes), "--memory", str(self.memory_bytes), "--memory-swap", str(self.memory_bytes),
            *(("--cpus", str(self.settings.cpus)) if self.settings.cpus else ()),
            "--user", f"{os.getuid()}:{os.getgid()}", *(("--userns", "keep-id") if self.settings.engine == "podman" and os.getuid() else ()),
            "--tmpfs", SCRATCH, "--workdir", str(task.inside), "--env-file", str(variables),
            *(part for path in self.read(task) for part in ("--mount", f"type=bind,source={path},target={path},readonly")),
            "--mount", f"type=bind,source={task.inside},target={task.inside}",
            "--entrypoint", self.settings.python or sys.executable, self.settings.image, *task.arguments(around),
        ]  # fmt: skip

    def read(self, task: Task) -> list[Path]:
        """The files and folders of the host that can be read inside: request, witness, modules, the graph's own file, and the interpreter if it is ours."""
        graph = Path(task.graph.rpartition(":")[0])
        modules = [Path(one).resolve() for one in task.environment.get("PYTHONPATH", "").split(os.pathsep) if one]
        ours = [] if self.settings.python else [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent.parent]
        wanted = [task.question, task.outside, *modules, *([graph.resolve().parent] if graph.suffix == ".py" else []), *ours]
        return _topmost([one for one in wanted if one.exists()])


def _topmost(paths: list[Path]) -> list[Path]:
    """Without what lies beneath another of them."""
    every = sorted(set(paths))
    return [one for one in every if not any(other in one.parents for other in every)]


def _asked(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)  # noqa: S603  # an engine the user named
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {PATIENCE_S} s")


def _last(done: subprocess.CompletedProcess[str]) -> str:
    """Its last words, at length."""
    return next((line.strip() for line in reversed((done.stderr or done.stdout).splitlines()) if line.strip()), f"status {done.returncode}")


def _parsed(text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
