"""Views that let others stand below themselves: a run to step through, a fork panel, a comparison; in the same output, so that one cell is enough."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import ipywidgets
from ipywidgets.widgets.widget import Widget

from workbench.model import Json
from workbench.widgets.asking import Heard
from workbench.widgets.code import literal, opening
from workbench.widgets.excerpt import sendable

if TYPE_CHECKING:
    from workbench.widgets.stepper import Stepper

P = ParamSpec("P")
T = TypeVar("T")
BUSY = ("running", "stopping")


class Below(NamedTuple):
    """What makes the views that may stand below another; None where there is none to make. They raise LookupError for a run that isn't there."""

    run: Callable[[str, int | None], Stepper] | None = None
    """The view of a run at a step, or (None) at its first bad one."""
    fork: Callable[[str, int | None], Widget] | None = None
    """The panel in which one forks a run at a step."""
    compare: Callable[[Sequence[str]], Widget] | None = None
    """Runs side by side, the first as reference."""


class Static(NamedTuple):
    """How a view reads without its kernel: makers of escaped HTML and of text."""

    html: Callable[[], str]
    text: Callable[[], str]


class Opener(Heard):
    """A view below which others open: one run, one fork panel, one comparison, each in place of the one before. `opened` is the run's view."""

    def __init__(self, below: Below, static: Static, **traits: Any) -> None:
        self._below, self._static = below, static
        self._shown: dict[str, Widget] = {}
        super().__init__(**traits)
        self.box = ipywidgets.VBox([self])
        self.on_msg(self._on_message)

    @property
    def code(self) -> str:
        """The line that repeats what was done last."""
        raise NotImplementedError

    @property
    def opened(self) -> Stepper | None:
        """The step-through view that stands below."""
        return self._shown.get("run")

    def show(self, run_id: str, step: int | None = None) -> Stepper:
        """Open a run below, at its first bad step unless one is given."""
        opened = _maker(self._below.run)(run_id, step)
        self._place("run", opened)
        return opened

    def show_fork(self, run_id: str, step: int | None = None) -> Any:
        """Open the panel below in which one forks a run at a step."""
        return self._place("fork", _maker(self._below.fork)(run_id, step))

    def show_comparison(self, run_ids: Sequence[str]) -> Any:
        """Set runs side by side below, the first as reference."""
        return self._place("compare", _maker(self._below.compare)(run_ids))

    def _place(self, kind: str, widget: Any) -> Any:
        before = self._shown.get(kind)
        if getattr(before, "stage", None) in BUSY:
            widget.close()
            raise ValueError("a fork is under way in the panel below: stop it, or wait until it is done")
        self._shown[kind] = widget
        self.box.children = (self, *(getattr(one, "box", one) for one in self._shown.values()))
        if before is not None:
            before.close()
        return widget

    def close(self) -> None:
        """Close this view and what stands below it."""
        for one in (*getattr(self, "_shown", {}).values(), getattr(self, "box", None)):
            if one is not None:
                one.close()
        super().close()

    def answer(self, question: dict[str, Json]) -> dict[str, Json]:
        """What the view is told when it asks: the question repeated with the answer's fields added; whatever goes wrong comes back as `error`."""
        try:
            return {**question, **self._answer(question)}
        except Exception as error:  # noqa: BLE001  # what opens a run or reads a state may raise anything; it is shown, not lost in the kernel's log
            return {**question, "error": sendable(f"{type(error).__name__}: {error}"[:2000])}

    def _answer(self, question: dict[str, Json]) -> dict[str, Json]:
        if question["ask"] in {"open", "fork", "compare"} and _in_marimo():
            raise LookupError(f"marimo shows nothing below a view. Run this in a cell of its own: {_line_for(question)}")
        match question["ask"]:
            case "open":
                return {"opened_step": self.show(question["run_id"], question.get("step")).step}
            case "fork":
                self.show_fork(question["run_id"], question.get("step"))
                return {}
            case "compare":
                self.show_comparison(question["run_ids"])
                return {}
        raise ValueError(f"can't answer {question['ask']!r}")

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view, with what it opens below it, where there is a kernel; a static page where there isn't, plain text everywhere else."""
        data = self.box._repr_mimebundle_(**kwargs) or {}  # IPython's protocol for showing a value
        return {**data, "text/html": self._static.html(), "text/plain": self._static.text()}, {}


def _in_marimo() -> bool:
    """Whether this runs in a marimo notebook, where a view can only be made by a cell and a box of widgets isn't shown."""
    marimo = sys.modules.get("marimo")
    return marimo is not None and bool(marimo.running_in_notebook())


def _line_for(question: dict[str, Json]) -> str:
    """The line of code that opens what was asked for."""
    if question["ask"] == "compare":
        return f"wb.compare({', '.join(f'bench.run({literal(run_id)})' for run_id in question['run_ids'])}).view()"
    step = question.get("step")
    if question["ask"] == "fork":
        return f"bench.run({literal(question['run_id'])}).fork_panel({'' if step is None else step})"
    return f"{opening(question['run_id'])}{'' if step is None else f'step={step}'})"


def _maker(maker: Callable[P, T] | None) -> Callable[P, T]:
    if maker is None:
        raise LookupError("this view was made without a store, so there is nothing to open from it")
    return maker
