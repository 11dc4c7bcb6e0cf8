"""What a backend is given to launch, and what it makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.model import Level

CHILD = "workbench.replay.process.child"


@dataclass(frozen=True)
class Task:
    """A request to be done: `question` and `outside` are only read inside, `inside` is written to and holds the `answer` afterwards."""

    question: Path
    answer: Path
    inside: Path
    outside: Path
    graph: str
    environment: Mapping[str, str]
    seconds: float
    memory_bytes: int

    def arguments(self, around: str) -> tuple[str, ...]:
        """What the interpreter is given; `around` names the walls that stand around it already."""
        return ("-m", CHILD, str(self.question), str(self.answer), str(self.memory_bytes), around)


@dataclass(frozen=True)
class Launch:
    """A command with its environment, and the level of isolation that it is to reach."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    level: Level = "process"
    arguments: tuple[str, ...] = ()
    """What our own child is given, where it may be forked instead of started; empty where the command has to be run."""
    scratch_bytes: int = 8 << 30
    """What it may write to scratch in all."""
