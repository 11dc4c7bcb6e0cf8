"""How strongly a re-run is shut in: by the risk of the run, a process sandbox, a container, gVisor or a Firecracker microVM.

What runs inside is always `workbench.replay.process.child`, which shuts itself in as well; request and answer travel as files, and what it tells and asks
meanwhile over its standard input and output. A level that this machine does not reach is refused with what is missing: nothing falls back by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from workbench import project
from workbench.model import Level
from workbench.replay.isolation.container import Container
from workbench.replay.isolation.launch import Launch, Task
from workbench.replay.isolation.microvm import MicroVM
from workbench.replay.isolation.risk import risk_of
from workbench.replay.isolation.settings import LEVELS, RISKS, IsolationError, Settings, parse
from workbench.replay.protocol import Request

__all__ = ["LEVELS", "RISKS", "IsolationError", "Launch", "Level", "Settings", "Task", "lacks", "launched", "settings_of"]


def settings_of(folder: Path) -> Settings:
    """What `[tool.workbench.isolation]` of the nearest pyproject.toml says. IsolationError for what it can't hold."""
    return parse(*project.table("isolation", folder))


def lacks(level: Level, settings: Settings) -> str:
    """What this machine lacks to reach a level, empty when it does. Of the process sandbox the re-run itself tells what took hold."""
    backend = _backend(level, settings)
    return backend.lacks() if backend else ""


@contextmanager
def launched(request: Request, task: Task, settings: Settings) -> Iterator[Launch]:
    """The command that does a request at the level asked for, else at that of its risk. IsolationError when this machine does not reach it."""
    risk = risk_of(request)
    level = request.isolation or settings.level(risk)
    if lacking := lacks(level, settings):
        reached = [one for one in LEVELS if not lacks(one, settings)]
        raise IsolationError(
            f"{'this fork' if request.isolation else f'a run of {risk} risk'} is to be re-run at the level {level!r}, "
            f"which this machine does not reach: {lacking}. Install it, or choose another with isolation= (--isolation), or in "
            f'[tool.workbench.isolation] of your pyproject.toml, such as {risk} = "{reached[-1]}"; reached here: {", ".join(reached)}'
        )
    backend = _backend(level, settings)
    if backend is None:
        _, _, *arguments = task.arguments("")
        yield Launch((sys.executable, *task.arguments("")), task.environment, level, tuple(arguments))
        return
    with backend.launched(task) as launch:
        yield replace(launch, level=level)


def _backend(level: Level, settings: Settings) -> Container | MicroVM | None:
    if level in ("container", "gvisor"):
        return Container(settings.container, settings.memory_bytes, "runsc" if level == "gvisor" else "")
    return MicroVM(settings.firecracker, settings.memory_bytes) if level == "firecracker" else None
