"""The fork panel: change one thing at a step, see beforehand what will happen, re-run in the background, stop it, and see what came of it.

The editor checks and compares in the browser; what was typed comes here with the re-run, as one message. The re-run happens in a thread, so that the
kernel stays free. What was chosen are public traits, and `code` is the call of `fork` that repeats it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import traitlets

from workbench.model import CallRecord, Change, EffectClass, Interaction, Json, Receipt, Run
from workbench.replay.changes import change_of
from workbench.replay.forecast import Forecast, Reachable, tools_of
from workbench.replay.process.watch import Watch
from workbench.replay.shapes import ChangeError
from workbench.replay.wishes import ForkError
from workbench.report import static
from workbench.report.forecasts import COLUMNS, rows_of
from workbench.report.forecasts import says as says_of
from workbench.report.forks import became, deviates
from workbench.report.receipts import verdict
from workbench.widgets import assets, offers
from workbench.widgets.asking import Asking
from workbench.widgets.code import called, literal
from workbench.widgets.excerpt import sendable
from workbench.widgets.offers import KINDS

BUDGET = ("model_calls", "tokens", "usd", "seconds", "steps")
CHOSEN = ("step", "kind", "text", "as_text", "place", "live", "budget", "seconds", "graph", "trust", "context")
PUSH_SECONDS = 0.2
SECONDS = 120.0
"""How long a fork may take, unless told."""
STAGES = ("editing", "running", "stopping", "done", "failed")
OUTCOME_CHARS, ERROR_CHARS, MOST_EFFECTS = 2_000, 8_000, 20


class Forkable(Protocol):
    """What the panel asks of a recorded run."""

    run_id: str

    @property
    def run(self) -> Run:
        """The run itself."""

    @property
    def receipt(self) -> Receipt | None:
        """For a fork, what was asked and what ran."""

    def state(self, index: int) -> dict[str, Json]:
        """The full state before a step."""

    def exchanges(self, index: int) -> Sequence[Interaction]:
        """The HTTP calls that the node of a step made."""

    @property
    def fork(self) -> Callable[..., Any]:
        """Re-run from a step; returns the fork, which is such a run too."""

    @property
    def foresee(self) -> Callable[..., Any]:
        """What that would do; `forecast` is the value."""


class ForkPanel(Asking):
    """Fork a recorded run at a step. `fork` is the new run once there is one; `stop()` ends the re-run, as the button does.

    `kind` is what changes ("none" for nothing), `text` what stands in the editor: JSON, or plain text where `as_text` says so; `place` is the message that
    changes. `live`, `budget`, `seconds`, `graph`, `trust` and, as JSON, `context` are what `fork` takes. `declared` says what tools do, by name; `wait` is
    how many seconds a question waits for its answer.
    """

    _esm: ClassVar[Any] = assets.esm("values", "asking", "fork_panel")
    _css: ClassVar[Any] = assets.css("values", "asking", "fork_panel")

    step = traitlets.Int(help="Index of the step to fork at.").tag(sync=True, echo_update=False)
    kind = traitlets.Enum(("none", *KINDS), default_value="none", help="What changes.").tag(sync=True, echo_update=False)
    text = traitlets.Unicode(help="The new value as it stands in the editor.").tag(sync=True, echo_update=False)
    as_text = traitlets.Bool(help="The value is the text itself, not JSON.").tag(sync=True, echo_update=False)
    place = traitlets.Int(help="Which message of the history changes.").tag(sync=True, echo_update=False)
    live = traitlets.List(traitlets.Unicode(), help='What goes live: "model", "model:NAME", "tool:NAME".').tag(sync=True, echo_update=False)
    budget = traitlets.Dict(help="Limits: model_calls, tokens, usd, seconds, steps.").tag(sync=True, echo_update=False)
    seconds = traitlets.Float(SECONDS, help="How long the re-run may take, not counting how long it waits for a person.").tag(sync=True, echo_update=False)
    graph = traitlets.Unicode(help="module:attribute of the graph; empty for what the project configures.").tag(sync=True, echo_update=False)
    trust = traitlets.Bool(help="Trust the recorded checkpoint database.").tag(sync=True, echo_update=False)
    context = traitlets.Unicode(help="JSON: what the graph is started with as its context, by its fields; empty for what was recorded.").tag(
        sync=True, echo_update=False
    )
    stage = traitlets.Enum(STAGES, default_value="editing", help="What the panel is at.").tag(sync=True)
    _offers = traitlets.Dict().tag(sync=True)
    _forecast = traitlets.Dict().tag(sync=True)
    _progress = traitlets.Dict().tag(sync=True)
    _result = traitlets.Dict().tag(sync=True)

    def __init__(self, recorded: Forkable, step: int, *, declared: Mapping[str, EffectClass] | None = None, **given: Any) -> None:
        self.recorded, self.declared = recorded, declared or {}
        self.fork: Any = None
        self._watch: Watch | None = None
        self._thread: threading.Thread | None = None
        recorded.run.step(step)
        super().__init__(step=step, **given)
        self._moved(begin="kind" not in given)
        self.observe(lambda _: self._moved(begin=True), "step")
        self.observe(lambda _: self._look_ahead(), ["kind", "live"])

    # ---- what was chosen

    @property
    def change(self) -> Change:
        """The change as it stands in the editor. ChangeError says what is wrong with it, and where."""
        return Change() if self.kind == "none" else change_of({self.kind: offers.value_of(self.kind, self.text, as_text=self.as_text, place=self.place)})

    @property
    def limits(self) -> dict[str, float]:
        """The budget without what is not limited."""
        return {name: self.budget[name] for name in BUDGET if self.budget.get(name) is not None}

    @property
    def options(self) -> dict[str, Any]:
        """What `fork` is given, but for who approves."""
        change, seconds = self.change, {} if self.seconds == SECONDS else {"seconds": self.seconds}
        given: dict[str, Any] = {} if change.kind == "none" else {change.kind: change.value}
        chosen = {"live": list(self.live), "budget": self.limits, "graph": self.graph, "trust": self.trust, "context": self._context}
        return given | {name: value for name, value in chosen.items() if value} | seconds

    @property
    def _context(self) -> Json:
        """The context given by hand. ChangeError for what is no JSON."""
        try:
            return offers.value_of("context", self.context) if self.context.strip() else None
        except ChangeError as error:
            raise ChangeError(f"the context: {error}") from error

    @property
    def code(self) -> str:
        """The line that makes this very fork again."""
        line = called(f"bench.run({literal(self.recorded.run_id)}).fork", self.step, **self.options)
        return f"{line[:-1]}, approve=wb.ask_here())" if any(":" in one for one in self.live) else line

    # ---- what the browser is told

    def _moved(self, *, begin: bool) -> None:
        """Offer what can change at this step; `begin` with what one most likely wants to change there."""
        run = self.recorded.run
        step = run.step(self.step)
        kinds = offers.offers(run, step, self.recorded.exchanges(self.step))
        self._offers = {
            "run_id": sendable(self.recorded.run_id),
            "steps": [[one.index, one.kind, sendable(one.name[:120])] for one in offers.around(run, self.step)],
            "kinds": kinds,
            "tools": [_tool(one) for one in tools_of(run, self.declared)],
            "models": [sendable(one) for one in dict.fromkeys(one.model for one in run.of_kind("model") if one.model)],
            "budget": list(BUDGET),
            "seconds": SECONDS,
        }
        if begin:
            likely = offers.FIRST.get(step.kind, "none")
            self._begin(likely if kinds.get(likely, {}).get("can") else "none", kinds)
        self._look_ahead()

    def _begin(self, kind: str, kinds: dict[str, Json]) -> None:
        offer = kinds.get(kind, {})
        with self.hold_sync():
            self.kind, self.text, self.as_text = kind, offer.get("text", ""), bool(offer.get("as_text"))
            self.place = max(0, len(self.recorded.run.step(self.step).messages) - 1)

    def _look_ahead(self) -> None:
        """Tell what the fork would do, or why it can't be made."""
        try:
            change, context = self._likely(), self._context
            given = ({} if change.kind == "none" else {change.kind: change.value}) | ({} if context is None else {"context": context})
            self._forecast = _told(self.recorded.foresee(self.step, live=list(self.live), **given).forecast)
        except (ValueError, LookupError, OSError) as error:
            self._forecast = {"error": sendable(str(error))[:ERROR_CHARS]}

    def _likely(self) -> Change:
        """The change as it stands, or one of its kind while what stands there is none yet."""
        try:
            return self.change
        except ChangeError:
            return change_of({self.kind: offers.SAMPLES[self.kind]})

    def _answer(self, question: dict[str, Json]) -> dict[str, Json]:
        match question.get("ask"):
            case "foresee":
                self._take(question)
                self._look_ahead()
            case "rerun":
                self._take(question)
                self.rerun()
            case "stop":
                self.stop()
            case "state":
                return {"channels": offers.state_offer(self.recorded.state(self.step))}
            case _:
                return super()._answer(question)
        return {}

    def _take(self, question: Mapping[str, Json]) -> None:
        """What was typed and chosen in the browser, as one message."""
        with self.hold_trait_notifications():
            for name in CHOSEN:
                if name in question:
                    setattr(self, name, question[name])

    # ---- the re-run

    def rerun(self) -> None:
        """Start the re-run in a thread. ChangeError or ForkError for what can't be asked; what goes wrong later is shown."""
        if self._thread is not None and self._thread.is_alive():
            raise ForkError("a re-run is under way: stop it, or wait for its end")
        options = self.options
        self.fork, self._result = None, {}
        self.desk.open()
        watch = self._watch = Watch(stopping=self.desk.close)
        watch.heard = _Progress(self._tell, self._clock, int(self._forecast.get("calls", 0))).heard
        self.stage = "running"
        self._thread = threading.Thread(target=self._run, args=(self.step, options, watch), name="fork", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the re-run: its process is killed, questions are denied; what it did so far is kept, with a receipt that says who stopped it."""
        if self._watch is not None and self.stage == "running":
            self.stage = "stopping"
            self._watch.stop(self.by)

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the re-run has ended. TimeoutError when it hasn't by then."""
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                raise TimeoutError(f"the re-run has not ended within {seconds:g} s")

    def _tell(self, progress: dict[str, Json]) -> None:
        self._progress = progress

    def _run(self, step: int, options: dict[str, Any], watch: Watch) -> None:
        try:
            self.fork = self.recorded.fork(step, **options, approve=self, watch=watch)
            self._result, self.stage = self._came(self.fork), "done"
        except Exception as error:  # noqa: BLE001  # shown in the panel: nobody sees what a thread raises
            self._result, self.stage = {"error": sendable(f"{error}" or type(error).__name__)[:ERROR_CHARS]}, "failed"

    def _came(self, fork: Forkable) -> dict[str, Json]:
        before, after = (f"bench.run({literal(one.run_id)})" for one in (self.recorded, fork))
        receipt = fork.receipt
        told: dict[str, Json] = {
            "run_id": sendable(fork.run_id),
            "status": fork.run.status,
            "recorded": sendable(self.recorded.run.outcome[:OUTCOME_CHARS]),
            "outcome": sendable(fork.run.outcome[:OUTCOME_CHARS]),
            "code": {"compare": f"wb.compare({before}, {after}).view()", "step through": f"{after}.view()", "receipt": f"{after}.receipt.view()"},
        }
        if receipt is None:
            return told
        changed = {one.key: became(one) for one in receipt.effects if deviates(one)}
        effects = [[sendable(one.key[:300]), one.original, one.fork, changed.get(one.key, "")] for one in receipt.effects[:MOST_EFFECTS]]
        ran = {"clean": receipt.clean, "why": sendable(verdict(receipt)), "calls": receipt.calls.model_dump(), "effects": effects, "took": receipt.seconds}
        return {**told, **ran, "came": sendable(receipt.outcome[:OUTCOME_CHARS])}

    # ---- without a kernel

    def _static(self) -> tuple[str, list[str], list[tuple[str, ...]]]:
        chosen = {"changes": self.kind.replace("_", " "), "to": self.text[:400], "live": ", ".join(self.live) or "nothing"}
        limits = ", ".join(f"{name} ≤ {most:g}" for name, most in self.limits.items()) or "no limits"
        came = self._result.get("outcome") or self._result.get("error")
        says = [f"outcome: {came}"] if came else []
        try:
            says.append(self.code)
        except ChangeError as error:
            says.append(f"the change can't be made yet: {error}")
        return f"fork of {self.recorded.run_id} at step {self.step}: {self.stage}", says, [*chosen.items(), ("budget", limits)]

    def __repr__(self) -> str:
        title, says, rows = self._static()
        return static.tabular_text(title, says, ("", ""), rows)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view where there is a kernel, a static page where there isn't, plain text everywhere else."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        title, says, rows = self._static()
        receipt = self.fork.receipt if self.fork else None
        foreseen = self._forecast.get("rows", [])
        ahead = static.tabular_html("what will happen", self._forecast.get("says", []), COLUMNS, foreseen, [""] * len(foreseen)) if foreseen else ""
        data["text/html"] = static.tabular_html(title, says, ("", ""), rows, [""] * len(rows)) + (static.receipt_html(receipt) if receipt else ahead)
        data["text/plain"] = repr(self)
        return data, metadata


class _Progress:
    """Tells how far a re-run is, a few times a second at most: it may answer thousands of calls in that time."""

    def __init__(self, tell: Callable[[dict[str, Json]], None], clock: Callable[[], float], expected: int) -> None:
        self.tell, self.clock = tell, clock
        self.last = float("-inf")
        self.told: dict[str, Json] = {"calls": 0, "live": 0, "expected": expected, "last": ""}
        tell(dict(self.told))

    def heard(self, record: CallRecord) -> None:
        """One more call was answered."""
        last = f"{record.kind} {sendable(record.name[:120])}: {record.answer}"
        self.told |= {"calls": self.told["calls"] + 1, "live": self.told["live"] + (record.answer == "live"), "last": last}
        if self.clock() - self.last >= PUSH_SECONDS:
            self.last = self.clock()
            self.tell(dict(self.told))


def _tool(tool: Reachable) -> dict[str, Json]:
    return {"name": sendable(tool.name), "effect": tool.effect, "guessed": tool.guessed}


def _told(forecast: Forecast) -> dict[str, Json]:
    rows, tones = rows_of(forecast)
    shown = [[sendable(cell[:2_000]) for cell in row] for row in rows]
    calls = sum(one.kind not in ("node", "human") and one.how != "unreached" for one in forecast.steps)
    return {"rows": shown, "tones": tones, "says": [sendable(one) for one in says_of(forecast)], "calls": calls}
