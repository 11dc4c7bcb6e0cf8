"""The step-through view of one run, for a notebook: `Stepper(run, findings)`.

The browser gets an outline of every step, the tree of all spans around them, and the details of as many as fit; it asks for the rest, and for state, by
custom message. Reading needs no kernel, so one can step while a cell runs. The chosen step or span, the tab and what is folded are public traits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import traitlets
from ipywidgets.widgets.widget import Widget

from workbench.comparison.difference import difference
from workbench.model import Finding, Json, Run, Span, Step
from workbench.widgets import assets, fallback, packing
from workbench.widgets.code import literal, opening
from workbench.widgets.excerpt import CHUNK_CHARS, as_text, excerpt, fold_logprobs, sendable, whole
from workbench.widgets.opening import Below, Opener, Static
from workbench.widgets.spans import Spans

TABS = ("messages", "decision", "state", "changes", "findings", "raw", "span")
STATE_CHARS = 20_000
MAX_CHANGES = 400
MOST_FOLDED = 20
"""Up to how many folded ones the line of code names."""
NO_STATE = "No state to show: this view was opened without a reader of checkpoints."

ReadState = Callable[[Step], dict[str, Json]]
OpenFork = Callable[[int], Widget]


class Stepper(Opener):
    """Step through one run. Opens at the first bad step; `step` may name another (a TraitError names the nearest where the run has none such).

    `state` reads the full state in force before a step; it is called when a person looks at it, and its errors are shown in the pane. `fork` makes the
    panel that forks at a step; the one that stands below is `forked`. With the `spans` the run was read from, all of them can be shown, `every_span`, and
    one of them chosen, `span` (by its id or an unambiguous start of it: one that is a step chooses the step), and what is folded by hand is `toggled`.
    """

    _esm: ClassVar[Any] = assets.esm("opening", "tree", "stepper")
    _css: ClassVar[Any] = assets.css("opening", "stepper")

    # The browser is ahead of the kernel while keys repeat: an echo of an older choice would throw it back.
    step = traitlets.Int(help="Index of the chosen step.").tag(sync=True, echo_update=False)
    tab = traitlets.Enum(TABS, default_value=TABS[0], help="The pane's open tab.").tag(sync=True, echo_update=False)
    collapsed = traitlets.List(traitlets.Int(), help="Indices of the steps whose deeper steps are folded away.").tag(sync=True, echo_update=False)
    every_span = traitlets.Bool(help="Whether every span is shown, the steps among them.").tag(sync=True, echo_update=False)
    span = traitlets.Unicode(help="Id of the chosen span where it is no step; else empty.")
    toggled = traitlets.List(
        traitlets.Unicode(),
        help='What was folded or unfolded by hand where every span is shown: ids of spans, `"step-3"` for a step without one. What holds no step opens folded.',
    )
    _line = traitlets.Int(-1, help="The line of the tree that `span` is.").tag(sync=True, echo_update=False)
    _toggled = traitlets.List(traitlets.Int(), help="The lines of the tree that `toggled` names.").tag(sync=True, echo_update=False)
    _outline = traitlets.Dict().tag(sync=True)
    _details = traitlets.Dict().tag(sync=True)
    _spans = traitlets.Dict(help="The tree of all spans; empty where none was recorded.").tag(sync=True)

    def __init__(
        self,
        run: Run,
        findings: Sequence[Finding] = (),
        *,
        state: ReadState | None = None,
        step: int | None = None,
        fork: OpenFork | None = None,
        spans: Iterable[Span] = (),
        span: str | None = None,
        **shown: Any,
    ) -> None:
        self.run = run
        self.findings = tuple(findings)
        self.tree = Spans(run, spans)
        self._read_state = state
        self._pool = packing.Pool({}, {})
        chosen = packing.opening_step(run, self.findings) if step is None else step
        below = Below(fork=None if fork is None else lambda _run_id, at: fork(chosen if at is None else at))
        super().__init__(below, Static(self._html, self._text_form), step=chosen, **self._opened_with(chosen, forks=fork is not None), **shown)
        if span is not None:
            self.span = span

    def _opened_with(self, chosen: int, *, forks: bool) -> dict[str, Json]:
        """What the browser gets at once: the outlines of steps and spans, and in what they leave of the budget the details, those of steps first."""
        head = {
            **packing.outline(self.run, self.findings, self.tree.origin_ns),
            "span_count": self.run.span_count,
            "code": sendable(opening(self.run.run_id)),
            "forks": forks,
        }
        budget = packing.OPEN_BYTES - packing.size([head, str(self._esm), str(self._css)]) - 4_000
        tree = self.tree.columns(budget) if self.tree else {}
        budget -= packing.size(tree)
        steps = packing.eager(self.run, chosen, budget, self._pool)
        spans = self.tree.eager(chosen, budget - packing.size([steps, self._pool.messages])) if self.tree else {}
        return {"_outline": head, "_spans": tree, "_details": {"messages": self._pool.messages, "steps": steps, "spans": spans}}

    @property
    def code(self) -> str:
        """The line that opens this view again: at this step or span, the same tab open, the same folded."""
        place = f"span={literal(self.span)}" if self.span else f"step={self.step}{', every_span=True' if self.every_span else ''}"
        tab = "" if self.tab == TABS[0] else f', tab="{self.tab}"'
        name, folded = ("toggled", [literal(one) for one in self.toggled]) if self.every_span else ("collapsed", [str(index) for index in self.collapsed])
        more = f", {name}=[{', '.join(folded)}]" if 0 < len(folded) <= MOST_FOLDED else ""
        return f"{opening(self.run.run_id)}{place}{tab}{more})"

    @traitlets.validate("step")
    def _valid_step(self, proposal: dict[str, Any]) -> int:
        index: int = proposal["value"]
        if self.run.steps:
            try:
                self.run.step(index)
            except LookupError as error:
                raise traitlets.TraitError(error.args[0]) from error
        return index

    @traitlets.validate("span")
    def _valid_span(self, proposal: dict[str, Any]) -> str:
        try:
            return self.tree.ids[self.tree.place(proposal["value"])] if proposal["value"] else ""
        except LookupError as error:
            raise traitlets.TraitError(error.args[0]) from error

    @traitlets.validate("toggled")
    def _valid_toggled(self, proposal: dict[str, Any]) -> list[str]:
        try:
            return [self.tree.name(self.tree.place(one)) for one in proposal["value"]]
        except LookupError as error:
            raise traitlets.TraitError(error.args[0]) from error

    @traitlets.observe("toggled")
    def _toggled_spans(self, _change: object) -> None:
        self._toggled = sorted(self.tree.place(one) for one in self.toggled)

    @traitlets.observe("_toggled")
    def _toggled_lines(self, _change: object) -> None:
        names = (self.tree.name(line) for line in self._toggled if 0 <= line < len(self.tree.rows))
        self.toggled = [name for name in names if name]

    @traitlets.observe("span")
    def _chose_span(self, _change: object) -> None:
        """Show the span; one that is a step is chosen as that."""
        place = self.tree.place(self.span) if self.span else -1
        row = self.tree.rows[place]
        if place >= 0 and row.step is not None:
            self.every_span, self.tab, self.step, self.span = True, "span", self.run.steps[row.step].index, ""
        else:
            self.every_span = self.every_span or place >= 0
            self._line = place

    @traitlets.observe("_line")
    def _chose_place(self, _change: object) -> None:
        self.span = self.tree.ids[self._line] if 0 <= self._line < len(self.tree.ids) else ""

    @traitlets.observe("step")
    def _chose_step(self, _change: object) -> None:
        self.span = ""

    def _answer(self, question: dict[str, Json]) -> dict[str, Json]:
        match question:
            case {"ask": "span", "place": place}:
                return {"detail": self.tree.detail(place)}
            case {"ask": "text", "key": ["span", place, *path], "left": left}:
                return _more(self.tree.detail(place, whole), path, left)
        step = self.run.step(question["step"])
        match question["ask"]:
            case "step":
                packed, new = packing.pack(step, self._pool)
                return {"detail": packed, "messages": new}
            case "state":
                return self._state(step)
            case "raw":
                return {"raw": excerpt(self._whole(step, "raw")["raw"], STATE_CHARS)}
            case "text":
                key = question["key"]
                return _more(self._whole(step, key[0]), key, question["left"])
            case "fork":
                return super()._answer({"ask": "fork", "run_id": self.run.run_id, "step": step.index})
        raise ValueError(f"can't answer {question['ask']!r}; ask for step, span, state, raw, text or fork")

    def fork(self, step: int) -> Any:
        """Open the panel that forks at a step, below this view and in place of the one before. LookupError where there is nothing to fork from."""
        return self.show_fork(self.run.run_id, step)

    @property
    def forked(self) -> Any:
        """The panel that stands below; None where there is none."""
        return self._shown.get("fork")

    def _state(self, step: Step) -> dict[str, Json]:
        if self._read_state is None:
            raise LookupError(NO_STATE)
        now = self._read_state(step)
        shown = {"before": excerpt(as_text(now), STATE_CHARS)}
        earlier = self._earlier(step)
        if earlier is None:
            return shown
        lines = list(difference(self._read_state(earlier), now))
        changes = [[line.sign, sendable(line.path), excerpt(as_text(fold_logprobs(line.value)), 500)] for line in lines[:MAX_CHANGES]]
        return {**shown, "since": earlier.index, "changes": changes, "changes_count": len(lines)}

    def _earlier(self, step: Step) -> Step | None:
        """The nearest earlier step of the same graph that started from another checkpoint: steps of one super-step share their state."""
        same_graph = (other for other in reversed(self.run.steps) if other.index < step.index and other.namespace == step.namespace)
        return next((other for other in same_graph if other.checkpoint_id and other.checkpoint_id != step.checkpoint_id), None)

    def _whole(self, step: Step, part: str | int) -> dict[str, Json]:
        if part == "raw":
            return {"raw": as_text(step.model_dump(mode="json"))}
        if part == "state" and self._read_state is not None:
            return {"state": as_text(self._read_state(step))}
        return packing.detail(step, whole)

    def __repr__(self) -> str:
        """The call that would show this view, and what it shows."""
        return f"<Stepper {literal(self.run.run_id)} at step {self.step} of {len(self.run.steps)} steps: {self.code}>"

    def _html(self) -> str:
        return fallback.as_html(self.run, self.findings, self.step, self.code)

    def _text_form(self) -> str:
        return fallback.as_plain(self.run, self.findings, self.step, self.code)


def _more(value: Json, path: Sequence[str | int], left: int) -> dict[str, Json]:
    """The next part of a text of which `left` characters are still to come, found by its path in the uncut details: `["answer", "content"]`."""
    for part in path:
        value = value[part]
    start = len(value) - left
    return {"text": sendable(value[start : start + CHUNK_CHARS]), "more": max(0, left - CHUNK_CHARS)}
