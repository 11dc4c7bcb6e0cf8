"""Asks a person in the notebook before something goes live: `run.fork(…, approve=wb.ask_here())`, and inside the fork panel.

A question shows the very arguments, what calling the tool does and who said so, the keys by which the act would be known again, and how long it has
waited. Nothing is answered by Enter; what nobody answers in time is refused. Who said what is kept by the ledger.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import anywidget
import traitlets

from workbench.model import Json
from workbench.replay.effects.approvals import Desk, Question, Reply, person
from workbench.widgets import assets
from workbench.widgets.excerpt import as_text, excerpt, sendable

ARGUMENT_CHARS = 20_000
WAIT_SECONDS = 600.0
MOST_SAID = 50


class Heard(anywidget.AnyWidget):
    """A widget that hears the browser while a cell runs, where the front end sends to a subshell (JupyterLab 4.4 and Notebook 7.4 with ipykernel 7 do).

    What is said may then be heard in another thread than the one a cell runs in.
    """

    def open(self) -> None:
        """Open the comm."""
        super().open()
        self._unbind()

    def _send(self, msg: Any, buffers: Any = None) -> None:
        super()._send(msg, buffers)
        self._unbind()

    def _unbind(self) -> None:
        """Ipykernel 7.4 hands a comm's messages to the shell that spoke on it last, which is the one a cell occupies; without that, to where they were sent."""
        if self.comm is not None:
            self.comm.__dict__.pop("_reply_subshell_id", None)

    def answer(self, question: dict[str, Json]) -> dict[str, Json]:
        """What the view is told when it asks; whatever goes wrong comes back as `error`, to be shown where the answer would stand."""
        try:
            return {"ask": question.get("ask"), **self._answer(question)}
        except Exception as error:  # noqa: BLE001  # shown to whoever asked, not lost in the kernel's log
            return {"ask": question.get("ask"), "error": sendable(f"{error}" or type(error).__name__)[:4000]}

    def _answer(self, question: dict[str, Json]) -> dict[str, Json]:
        raise NotImplementedError

    def _on_message(self, _widget: object, content: dict[str, Json], _buffers: object) -> None:
        self.send(self.answer(content))


class Asking(Heard):
    """A widget that has a desk: `approve=` of a fork. A question waits so many seconds (`wait`); `by` is who answers, `said` lists what was answered."""

    said = traitlets.List(traitlets.Dict(), help="What was answered, oldest first: what, approved, by, says, after so many seconds.").tag(sync=True)
    _waiting = traitlets.List(traitlets.Dict()).tag(sync=True)

    def __init__(self, *, wait: float = WAIT_SECONDS, by: str | None = None, clock: Callable[[], float] = time.monotonic, **traits: Any) -> None:
        self.by = by or person()
        self._clock = clock
        self._since: dict[int, float] = {}
        self._pushing = threading.RLock()
        self.desk = Desk(seconds=wait, changed=self._push)
        super().__init__(**traits)
        self.on_msg(self._on_message)

    def __call__(self, question: Question) -> Reply:
        """Ask, and wait in the thread that calls: an `approve=` for `fork`."""
        reply = self.desk(question)
        self._keep(question, reply)
        return reply

    def approve(self, number: int, says: str = "") -> None:
        """Say yes to an open question, as the button does. LookupError when it is not open."""
        self.desk.answer(number, True, self.by, says)

    def deny(self, number: int, says: str = "") -> None:
        """Say no to an open question. LookupError when it is not open."""
        self.desk.answer(number, False, self.by, says)

    def _answer(self, question: dict[str, Json]) -> dict[str, Json]:
        if question.get("ask") != "reply" or not isinstance(question.get("approved"), bool):
            raise ValueError(f"can't answer {question.get('ask')!r}")
        (self.approve if question["approved"] else self.deny)(int(question["number"]), str(question.get("says") or ""))
        return {}

    def _push(self) -> None:
        """Show the questions that wait now. Called from the fork's thread."""
        with self._pushing:
            now, waiting = self._clock(), self.desk.waiting
            self._since = {number: self._since.get(number, now) for number, _ in waiting}
            self._waiting = [{"number": number, **_shown(one), **self._times(now - self._since[number])} for number, one in waiting]

    def _times(self, waited: float) -> dict[str, Json]:
        return {"waited": round(waited, 1), "seconds": self.desk.seconds}

    def _keep(self, question: Question, reply: Reply) -> None:
        with self._pushing:
            what = sendable(question.key or f"{question.kind} {question.name}")[:400]
            line = {"what": what, "approved": reply.approved, "by": sendable(reply.by), "says": sendable(reply.says)[:400], "run_id": sendable(question.run_id)}
            self.said = [*self.said, {**line, "at": time.strftime("%H:%M:%S")}][-MOST_SAID:]


class AskHere(Asking):
    """A place in a notebook where re-runs ask before something goes live. Give it as `approve=`; it shows itself where it was made."""

    _esm: ClassVar[Any] = assets.esm("asking", "ask_here")
    _css: ClassVar[Any] = assets.css("asking")

    @property
    def code(self) -> str:
        """The line that makes such a place again."""
        return f"approve = wb.ask_here(seconds={self.desk.seconds:g})"

    def __repr__(self) -> str:
        """What waits, and what was said."""
        lines = [f"asks here before anything goes live; {len(self._waiting)} waiting, {len(self.said)} answered"]
        return "\n".join([*lines, *(_said_words(one) for one in self.said)])

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view where there is a kernel, text everywhere else."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        data["text/plain"] = repr(self)
        return data, metadata


def ask_here(seconds: float = WAIT_SECONDS, by: str | None = None) -> AskHere:
    """Make a place where a re-run asks, and show it below the cell that is running; `by` is who answers (your user name, unless given).

    What nobody answers in `seconds` is refused. While the cell runs, clicks reach the kernel in JupyterLab 4.4 and Notebook 7.4, or newer; elsewhere fork from
    `run.fork_panel(step)`, which leaves the kernel free.
    """
    from IPython.display import display  # noqa: PLC0415  # there is one in every notebook, and nowhere else

    place = AskHere(wait=seconds, by=by)
    display(place)  # type: ignore[no-untyped-call]  # IPython has no types
    return place


def _shown(question: Question) -> dict[str, Json]:
    arguments = None if question.kind != "tool" else excerpt(as_text(question.arguments), ARGUMENT_CHARS)
    told = question.model_dump(mode="json", exclude={"arguments", "injected", "already"})
    injected = [[sendable(name), excerpt(as_text(text), ARGUMENT_CHARS)] for name, text in question.injected.items()]
    shown = {name: sendable(value) if isinstance(value, str) else value for name, value in told.items()}
    return {**shown, "arguments": arguments, "injected": injected, "already": [sendable(one) for one in question.already]}


def _said_words(one: dict[str, Json]) -> str:
    return f"  {one['at']} {'approved' if one['approved'] else 'denied'} by {one['by']}: {one['what']}" + (f" ({one['says']})" if one["says"] else "")
