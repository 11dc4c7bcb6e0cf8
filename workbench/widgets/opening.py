"""Views that open runs: what was opened stands below, in the same output, so that one cell is enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import anywidget
import ipywidgets
from ipywidgets.widgets.widget import Widget

from workbench.model import Json
from workbench.widgets.excerpt import sendable
from workbench.widgets.stepper import Stepper

Open = Callable[[str, int | None], Stepper]
"""What makes the view of a run, at a step or (None) at its first bad one. LookupError for a run that isn't there."""


class Static(NamedTuple):
    """How a view reads without its kernel: makers of escaped HTML and of text."""

    html: Callable[[], str]
    text: Callable[[], str]


class Opener(anywidget.AnyWidget):
    """A view that opens runs below itself. `opened` is the step-through view that stands there; the one before it is closed."""

    def __init__(self, open_run: Open, static: Static, **traits: Any) -> None:
        self._open = open_run
        self._static = static
        self.opened: Stepper | None = None
        super().__init__(**traits)
        self.box = ipywidgets.VBox([self])
        self.on_msg(self._on_message)

    @property
    def code(self) -> str:
        """The line that repeats what was done last."""
        raise NotImplementedError

    def show(self, run_id: str, step: int | None = None) -> Stepper:
        """Open a run below, at its first bad step unless one is given."""
        opened = self._open(run_id, step)
        before, self.opened = self.opened, opened
        self.place(opened)
        if before is not None:
            before.close()
        return opened

    def place(self, below: Widget | None) -> None:
        """Let a widget stand below this one, in place of what stood there."""
        self.box.children = (self,) if below is None else (self, getattr(below, "box", below))

    def _on_message(self, _widget: object, content: dict[str, Json], _buffers: object) -> None:
        self.send(self.answer(content))

    def answer(self, question: dict[str, Json]) -> dict[str, Json]:
        """What the view is told when it asks: the question repeated with the answer's fields added; whatever goes wrong comes back as `error`."""
        try:
            return {**question, **self._answer(question)}
        except Exception as error:  # noqa: BLE001  # what opens a run may raise anything; it is shown, not lost in the kernel's log
            return {**question, "error": sendable(f"{type(error).__name__}: {error}"[:2000])}

    def _answer(self, question: dict[str, Json]) -> dict[str, Json]:
        if question["ask"] != "open":
            raise ValueError(f"can't answer {question['ask']!r}")
        return {"opened_step": self.show(question["run_id"], question.get("step")).step}

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view, with what it opens below it, where there is a kernel; a static page where there isn't, plain text everywhere else."""
        data = self.box._repr_mimebundle_(**kwargs) or {}  # IPython's protocol for showing a value
        return {**data, "text/html": self._static.html(), "text/plain": self._static.text()}, {}
