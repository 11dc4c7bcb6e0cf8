"""What in a run can harm whoever runs or renders it: tools that run whatever they are given, and active content that was read and passed on.

Active content is a script, an event handler, a terminal escape, a template, or an image that calls home. What is quoted as code is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from workbench.analysis.effects import is_act
from workbench.analysis.grounding import leaves, trusted
from workbench.analysis.instructions import name_words
from workbench.model import Run, Step, canonical

RUNNERS = frozenset(
    {"bash", "shell", "sh", "terminal", "command", "exec", "execut", "python", "code", "interpret", "powershell", "ssh", "eval", "script", "run"}
)
"""Stemmed words of the names of tools that run whatever they are given."""
ISOLATED = re.compile(r"sandbox|container|docker|podman|gvisor|firecracker|microvm|\bvm\b|\be2b\b|isolat", re.IGNORECASE)
ACTIVE = (
    ("a script", re.compile(r"<\s*(?:script|iframe|object|embed)\b[^>]{0,300}>|javascript:[^\s\"'<>]{3,200}", re.IGNORECASE)),
    ("an event handler", re.compile(r"<\w[^>]{0,200}\son(?:error|load|click|mouseover|focus)\s*=[^>]{1,300}>", re.IGNORECASE)),
    ("a terminal escape", re.compile("\x1b[\\[\\]][0-9;?]{0,20}[A-Za-z]?")),
    ("an image that calls home", re.compile(r"!\[[^\]]{0,200}\]\(\s*https?://[^\s)]{1,300}\?[^\s)]{1,300}\)")),
    ("a template", re.compile(r"\{\{[^{}\n]{0,100}(?:__|\bconfig\b|\brequest\b|\bself\b|\d\s*\*\s*\d)[^{}\n]{0,100}\}\}|\$\{jndi:[^}\s]{1,200}\}")),
)
CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)


def runs_code(step: Step) -> bool:
    """Whether a tool runs whatever it is given, going by its name."""
    return step.kind == "tool" and not RUNNERS.isdisjoint(name_words(step.name))


def isolated(run: Run) -> bool:
    """Whether the run says that its tools ran in a sandbox, container or virtual machine."""
    return ISOLATED.search(canonical([run.metadata, run.notes])) is not None


def step_isolated(step: Step) -> bool:
    """Whether a step says so of itself."""
    return ISOLATED.search(" ".join(step.notes)) is not None


@dataclass
class Piece:
    """A piece of active content that a tool brought: its kind, the step that read it, and the first that gave it to readers as it was, with the path there.

    `spoken_after` says whether anything was given to readers after it was read.
    """

    kind: str
    read_at: int
    given_at: int | None = None
    path: str = ""
    spoken_after: bool = False


def active_content(run: Run) -> list[Piece]:
    """Every piece of active content that tools brought and no person had asked for by name, in the order it was read."""
    read: dict[str, Piece] = {}
    told, spoken_at = set[str](), -1
    for step in run.steps:
        told.update(piece for text in trusted(step) for piece, _ in _active(text))
        for path, text in _given(step):
            spoken_at = step.index
            for said, _ in _active(CODE.sub(" ", text)):
                if said in read and said not in told and read[said].given_at is None:
                    read[said].given_at, read[said].path = step.index, path
        for _, text in leaves(step.result) if step.kind == "tool" else ():
            for said, kind in _active(text):
                read.setdefault(said, Piece(kind, step.index))
    return [replace(piece, spoken_after=piece.read_at < spoken_at) for piece in read.values()]


def _active(text: str) -> Iterator[tuple[str, str]]:
    yield from ((match.group(), kind) for kind, pattern in ACTIVE for match in pattern.finditer(text))


def _given(step: Step) -> Iterator[tuple[str, str]]:
    """What a step gives to readers: the agent's answer, or the arguments of a call that acts."""
    if step.kind == "model" and step.output and not step.output.tool_calls:
        yield "$.output.content", step.output.content
    if step.kind == "tool" and step.tool_call and is_act(step):
        yield from (("$.tool_call.arguments", text) for _, text in leaves(step.tool_call.arguments))
